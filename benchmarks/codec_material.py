"""The material of the codec's benchmark: clips of 512x512, and a judge that compares pictures with the camera's."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.material import REPOSITORY
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.evaluation.dlib_faces import DlibFaces
from vid2vid_cli.evaluation.judges import Landmarks, MeshLandmarks
from vid2vid_cli.evaluation.material import judged_square
from vid2vid_cli.evaluation.measures import PixelPoints, keypoint_distance, peak_signal_to_noise, similarity
from vid2vid_cli.face.crop import crop_frame
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.ffmpeg import Child
from vid2vid_cli.media.video import Frame, probe_video, read_video

SIDE = 512
JUDGED_SIDE = 256  # resolution at which keypoints are found, as in the literature
EXAMPLE = REPOSITORY / "examples" / "driving.mp4"
HELD_OUT = ("t14_", "t34_", "t41_author2_a", "t62_actor1")  # of MEDIA/train, not among those of the basis


@dataclass(frozen=True)
class Clip:
    """A lossless square of a clip. path: the file. frames: all its pictures (512, 512, 3)."""

    name: str
    path: Path
    fps: Fraction
    frames: list[Frame]


@dataclass(frozen=True)
class Scores:
    """Means over the judged frames. akd_px: at 256 px, by the judge's keypoints."""

    psnr: float
    ssim: float
    akd_px: float


def find_clips(media: Path) -> list[Path]:
    """List the clips that the basis was not computed from, or the bundled example if there are none."""
    held_out = [path for path in sorted((media / "train").glob("*.mp4")) if path.name.startswith(HELD_OUT)]
    return [*sorted((media / "drivings").glob("*.mp4")), *held_out] or [EXAMPLE]


def cut_square(path: Path, count: int, analyzer: FaceAnalyzer, folder: Path) -> Clip | None:
    """Cut the square around the first frame's face out of the first frames of a clip. None if there is no face."""
    info, tracker = probe_video(path), FaceTracker(analyzer)
    square, frames = None, []
    for frame in itertools.islice(read_video(path, info=info), count):
        face = tracker.update(frame)
        if square is None:
            if face is None:
                return None
            square = judged_square(face, frame.shape, SIDE)
        frames.append(np.ascontiguousarray(crop_frame(frame, square)))
    output = folder / f"{path.stem}.mkv"
    feed_ffmpeg(frames, info.fps, ["-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "0"], output)
    return Clip(path.stem, output, info.fps, frames)


def feed_ffmpeg(frames: list[Frame], fps: Fraction, options: list[str], output: Path) -> None:
    """Encode frames (512, 512, 3) with ffmpeg."""
    raw = [
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-video_size",
        f"{SIDE}x{SIDE}",
        "-framerate",
        str(fps),
    ]
    with Child([*raw, "-i", "pipe:0", *options, f"file:{output}"], str(output), has_stdin=True) as child:
        for frame in frames:
            child.feed(frame.data.cast("B"))
        if child.wait() != 0:
            raise ValueError(f"{output}: {child.error_line()}")


def choose_judge(analyzer: FaceAnalyzer) -> Landmarks:
    """Choose dlib's points, which take no part in driving, or the mesh's if dlib is not installed."""
    try:
        return DlibFaces()
    except WeightsError:
        return MeshLandmarks(analyzer)


class Judge:
    """Compare pictures. Keypoints of each picture are found only once."""

    def __init__(self, landmarks: Landmarks) -> None:
        self.landmarks = landmarks
        self._seen: dict[int, tuple[Frame, PixelPoints | None]] = {}

    def keypoints(self, picture: Frame) -> PixelPoints | None:
        """Return keypoints (N, 2), in px of a picture of 256x256."""
        if id(picture) not in self._seen:  # keeping the picture keeps its id from being reused
            self._seen[id(picture)] = picture, self.landmarks(resize_frame(picture, (JUDGED_SIDE, JUDGED_SIDE)))
        return self._seen[id(picture)][1]

    def forget(self) -> None:
        """Forget all pictures."""
        self._seen.clear()

    def distance_px(self, shown: list[Frame], other: list[Frame]) -> float:
        """Return the mean distance of keypoints over the pairs in which both pictures show a face."""
        pairs = [(self.keypoints(one), self.keypoints(two)) for one, two in zip(shown, other, strict=True)]
        known = [keypoint_distance(one, two) for one, two in pairs if one is not None and two is not None]
        return float(np.mean(known)) if known else float("nan")

    def score(self, shown: list[Frame], camera: list[Frame]) -> Scores:
        """Return the means over pairs of pictures."""
        pairs = list(zip(shown, camera, strict=True))
        psnr = float(np.mean([peak_signal_to_noise(one, other) for one, other in pairs]))
        ssim = float(np.mean([similarity(one, other) for one, other in pairs]))
        return Scores(psnr, ssim, self.distance_px(shown, camera))
