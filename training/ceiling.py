"""Say what a perfect warp of one picture would reach in self-reenactment: what of the errors a better mesh can mend.

    python -m training.ceiling CLIPS [--every 6]

Each frame that the model shows is laid onto the true one by the optical flow between both (DIS, Kroeger et al., ECCV
2016), which no driver could know better: "moved". Then it also takes the true frame's light, all that is coarser than
COARSE_PX: "lit", which is mostly the true frame itself. dlib reads all as in training.judge, but in COPIES slightly
moved copies that are turned upright by the tilt of the true face, of whose points the median counts: read once, its
points differ by 0.8 px between a picture and the same one moved by a pixel.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from training.judge import make_setup
from vid2vid_cli.arrays import Frame, Map
from vid2vid_cli.evaluation.dlib_faces import DlibFaces
from vid2vid_cli.evaluation.material import Material, TrackedFrames
from vid2vid_cli.evaluation.measures import PixelPoints, keypoint_distance, mean_error
from vid2vid_cli.evaluation.options import FrameOptions
from vid2vid_cli.evaluation.self_reenactment import JudgedClip
from vid2vid_cli.pipeline.progress import Hooks, WarningLog

COARSE_PX = 4.0
COPIES = ((0, 0, 1.0), (1, 0, 1.0), (0, 1, 1.0), (-1, -1, 1.0), (0, 0, 1.03), (0, 0, 0.97), (1, -1, 1.015))
"""How the copies are moved, px, and scaled."""
EYES = slice(36, 42), slice(42, 48)  # of dlib's points
Reading = tuple[PixelPoints, Map]
"""Points (68, 2) in px, and an embedding (128,)."""


def main() -> None:
    """Print a table for each clip."""
    given = arguments()
    setup, faces, log = make_setup(given), DlibFaces(), WarningLog(Hooks(warn=print))
    for clip in Material(log).clips(given.clips):
        frames = TrackedFrames(clip, FrameOptions(given.every, given.frames), setup.engine.analyzer, log)
        source, stream = frames.split()
        judged = JudgedClip(setup, source, clip.path.stem)
        rows: dict[str, list[tuple[float, float, float]]] = {}
        with closing(stream):  # type: ignore[type-var]
            for tracked in stream:
                frame = judged.judge(tracked)
                for name, row in compare(faces, frame.truth, frame.shown):
                    rows.setdefault(name, []).append(row)
        print(f"{clip.path.name}\n{'':8}{'frames':>8}{'l1':>8}{'akd':>8}{'identity':>10}")
        for name, found in rows.items():
            l1, akd, identity = np.mean(found, 0)
            print(f"{name:8}{len(found):8}{l1:8.2f}{akd:8.3f}{identity:10.3f}", flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="a clip, or a folder of clips")
    parser.add_argument("-c", "--checkpoint", default="compact")
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--frames", type=int, default=120)
    parser.set_defaults(size=256, threads=1, head_only=False)
    return parser.parse_args()


def compare(faces: DlibFaces, truth: Frame, shown: Frame) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Yield L1, keypoint distance and distance of embeddings to a true frame of each picture in which a face is."""
    points = faces(truth)
    if points is None:
        return
    upright = upright_affine(points, truth)
    true = read(faces, truth, upright)
    moved = lay_onto(truth, shown)
    pictures = {"shown": shown, "moved": moved, "lit": light_as(truth, moved)}
    for name, picture in pictures.items():
        found = read(faces, picture, upright)
        if true is not None and found is not None:
            apart = float(np.linalg.norm(true[1] - found[1]))
            yield name, (mean_error(truth, picture), keypoint_distance(true[0], found[0]), apart)


def upright_affine(points: PixelPoints, picture: Frame) -> Map:
    """Return the affine (2, 3) that turns a picture until the line of a face's eyes is level."""
    right, left = (points[eye].mean(0) for eye in EYES)
    tilt_deg = float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0])))
    return np.asarray(cv2.getRotationMatrix2D((picture.shape[1] / 2, picture.shape[0] / 2), tilt_deg, 1))


def read(faces: DlibFaces, picture: Frame, upright: Map) -> Reading | None:
    """Return the median points, in px of the picture, and the mean embedding of its copies; None without a face."""
    height, width = picture.shape[:2]
    points, embeddings = [], []
    for x, y, scale in COPIES:
        copy = np.array([[scale, 0, x + (1 - scale) * width / 2], [0, scale, y + (1 - scale) * height / 2], [0, 0, 1]])
        affine = copy @ np.vstack([upright, [0, 0, 1]])
        moved = cv2.warpAffine(picture, affine[:2], (width, height), borderMode=cv2.BORDER_REPLICATE)
        found = faces(np.asarray(moved, np.uint8))
        embedding = None if found is None else faces.embed(np.asarray(moved, np.uint8))
        if found is not None and embedding is not None:
            back = np.column_stack([found, np.ones(len(found))]) @ np.linalg.inv(affine).T
            points.append(back[:, :2])
            embeddings.append(embedding)
    return (np.median(points, 0), np.mean(embeddings, 0)) if points else None


def lay_onto(truth: Frame, shown: Frame) -> Frame:
    """Move what is shown to where the true frame shows the same."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (truth, shown)]
    by = flow.calc(grey[0], grey[1], np.zeros((*truth.shape[:2], 2), np.float32))
    y, x = np.mgrid[: truth.shape[0], : truth.shape[1]].astype(np.float32)
    moved = cv2.remap(shown, x + by[..., 0], y + by[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def light_as(truth: Frame, shown: Frame) -> Frame:
    """Change all that is coarse in what is shown to what it is in the true frame."""
    coarse_truth, coarse_shown = (
        cv2.GaussianBlur(picture.astype(np.float32), (0, 0), COARSE_PX) for picture in (truth, shown)
    )
    return np.asarray(np.clip(shown + coarse_truth - coarse_shown, 0, 255), np.uint8)


if __name__ == "__main__":
    main()
