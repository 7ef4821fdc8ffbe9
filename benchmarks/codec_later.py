"""What a receiver sees five seconds into a call, when its patches have come, beside `reenact` and H.264.

python -m benchmarks.codec --later     measure, and put it into benchmarks/codec.json

All that is sent after the picture counts: motion, what is said of it once, and patches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.codec_material import Clip, Judge, Scores, cut_square, find_clips
from benchmarks.codec_rivals import SETTINGS, encode_video
from vid2vid_cli.call.decode import decode_call
from vid2vid_cli.call.encode import encode_call
from vid2vid_cli.call.info import describe_call
from vid2vid_cli.evaluation.measures import mean_error, window_around
from vid2vid_cli.media.image import read_image, write_image
from vid2vid_cli.media.video import Frame
from vid2vid_cli.models.registry import LoadedModel, load_face_analyzer
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.options import DecodeOptions, ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

FROM_S, TO_S, EVERY = 5, 6, 5  # every fifth frame of the sixth second is judged
LEAST_FRAMES = 3  # judged of a clip; shorter ones are left out
MOUTH_MARGIN = 0.3
RIVAL = "H.264 veryslow"
CALLS: dict[str, dict[str, Any]] = {
    "call": {},
    "call, --patches 0": {"patches": 0},
    "call, --head-only --patches 0": {"patches": 0, "body": False},
}
REENACT = "reenact"


@dataclass(frozen=True)
class LaterScores(Scores):
    """Means over the judged frames, also of L1 over the picture and around the mouth, from 0 to 255."""

    l1: float
    mouth_l1: float


@dataclass(frozen=True)
class LaterSetup:
    """model: of both ends. judge: of what is seen. videos: for how many clips H.264 is measured. folder: for files."""

    model: LoadedModel
    judge: Judge
    videos: int
    folder: Path


def measure_later(media: Path, setup: LaterSetup, clips: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure all clips that are long enough."""
    analyzer, rows = load_face_analyzer(), list[dict[str, Any]]()
    for path in find_clips(media):
        if len(rows) == clips:
            break
        clip = cut_square(path, TO_S * 60, analyzer, setup.folder)
        if clip is None or len(judged(clip)) < LEAST_FRAMES:
            continue
        clip = replace(clip, frames=clip.frames[: round(TO_S * clip.fps)])
        rows.append(measure_clip_later(clip, setup, with_videos=len(rows) < setup.videos))
        say(
            f"{clip.name}: "
            + ", ".join(f"{k} {v['bytes']:.1f} B L1 {v['l1']:.2f}" for k, v in rows[-1]["ways"].items())
        )
        setup.judge.forget()
    return rows


def judged(clip: Clip) -> list[int]:
    """Return the numbers of the frames that are judged."""
    return list(range(round(FROM_S * clip.fps), min(len(clip.frames), round(TO_S * clip.fps)), EVERY))


def measure_clip_later(clip: Clip, setup: LaterSetup, *, with_videos: bool) -> dict[str, Any]:
    """Measure one clip by all ways."""
    ways = {name: _measure_call(clip, EncodeOptions(**given), setup) for name, given in CALLS.items()}
    ways[REENACT] = {"bytes": float("nan"), **asdict(score(_reenacted(clip, setup), clip, setup))}
    videos = []
    if with_videos:
        for setting in (setting for setting in SETTINGS if setting.codec == RIVAL):
            sizes, seen = encode_video(clip, setting, setup.folder)
            rest = sum(sizes[1:]) / max(1, len(sizes) - 1)
            shown = [seen[min(index, len(seen) - 1)] for index in judged(clip)]
            videos.append({**asdict(setting), "bytes": rest, **asdict(score(shown, clip, setup))})
    return {"clip": clip.name, "fps": float(clip.fps), "ways": ways, "videos": videos}


def _measure_call(clip: Clip, options: EncodeOptions, setup: LaterSetup) -> dict[str, float]:
    call, folder = setup.folder / "later.v2v", setup.folder / "later"
    end = str(float(len(clip.frames) / clip.fps))
    encoding = replace(options, audio="none", key_quality=80, force=True, end=end)
    encode_call(clip.path, call, encoding, model=setup.model)
    decode_call(call, folder, DecodeOptions(force=True), model=setup.model)
    info = describe_call(call)
    motion = info.sizes["motion"] / info.tally.frames
    bytes_ = {"bytes": info.whole_bytes_a_frame, "motion": motion, "patches": float(info.patches)}
    return {**bytes_, **asdict(score(_frames_in(folder, clip), clip, setup))}


def _reenacted(clip: Clip, setup: LaterSetup) -> list[Frame]:
    """Return what `reenact` makes of the first frame, moved by the clip."""
    picture, folder = setup.folder / "first.png", setup.folder / "reenacted"
    write_image(picture, clip.frames[0], provenance=None, force=True)
    options = ReenactOptions(reference_frame="0", audio="none", force=True)
    reenact(picture, clip.path, folder, options, model=setup.model)
    return _frames_in(folder, clip)


def _frames_in(folder: Path, clip: Clip) -> list[Frame]:
    return [read_image(folder / f"frame_{index:06d}.png") for index in judged(clip)]


def score(shown: list[Frame], clip: Clip, setup: LaterSetup) -> LaterScores:
    """Compare the judged frames with the camera's."""
    camera = [clip.frames[index] for index in judged(clip)]
    mouths = []
    for one, truth in zip(shown, camera, strict=True):
        points = setup.judge.keypoints(truth)
        if points is not None:
            scale = truth.shape[0] / 256
            lips = points[setup.judge.landmarks.mouth] * scale
            window = window_around(lips, MOUTH_MARGIN, (truth.shape[0], truth.shape[1]))
            mouths += [] if window is None else [mean_error(one, truth, window)]
    whole = float(np.mean([mean_error(one, truth) for one, truth in zip(shown, camera, strict=True)]))
    scores = asdict(setup.judge.score(shown, camera))
    return LaterScores(**scores, l1=whole, mouth_l1=float(np.mean(mouths)) if mouths else float("nan"))
