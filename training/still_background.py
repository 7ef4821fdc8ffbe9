"""Measure how still the background is: turn or reenact portraits, and compare what is background before and after.

What the matte of the source or of the result takes for a person, grown by 2 % of the longer side, does not count. The
difference is the mean over all other pixels, in grey levels of 255; the camera of a driving should not move.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.image import contact_sheet, read_image, write_image
from vid2vid_cli.models.registry import LoadedModel, load_model, load_person_matte
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.open_scene import open_scene
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.rotate import rotate

YAWS = "-40:40:10"
GROWN, NOBODY = 0.02, 0.1  # of the longer side; of a matte: where it is less, a pixel is background


def main() -> None:
    """Print the mean and the worst frame of each pair, and of all, and write a sheet of the worst frames if asked."""
    given = arguments()
    model = load_model(given.checkpoint)
    means, worst = [], []
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(Path(folder) / "memory")
        for source, driving in itertools.product(given.sources, given.drivings or [None]):
            before = read_image(source)
            if driving is None:
                frames = turned(source, model, Path(folder) / source.stem)
            else:
                frames = reenacted(source, driving, model, memory, given)
            judged = [(moved_background(before, frame), frame) for frame in frames]
            means.append(float(np.mean([moved for moved, _ in judged])))
            worst.append(max(judged, key=lambda one: one[0]))
            name = f"{source.stem[:3]} {driving.stem[:3] if driving else 'turned'}"
            print(f"{name}: {means[-1]:.2f}, worst frame {worst[-1][0]:.2f}", flush=True)
    print(f"mean {np.mean(means):.2f}, worst pair {max(means):.2f}, worst frame {max(w for w, _ in worst):.2f}")
    if given.sheet is not None:
        shown = [resize_frame(frame, (given.tile * len(frame) // frame.shape[1], given.tile)) for _, frame in worst]
        write_image(given.sheet, contact_sheet(shown, 4, [f"{moved:.2f}" for moved, _ in worst]), force=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, nargs="+", help="portraits")
    parser.add_argument("--drivings", type=Path, nargs="+", help=f"clips; without any, yaws of {YAWS} are tried")
    parser.add_argument("-c", "--checkpoint", default="compact", help="a checkpoint file; default: the embedded one")
    parser.add_argument("--every", type=int, default=6, help="compare every so many frames")
    parser.add_argument("--seconds", help="of each clip; default: all of it")
    parser.add_argument("--sheet", type=Path, help="write the worst frames to this picture")
    parser.add_argument("--tile", type=int, default=480, help="width of a frame there, px")
    return parser.parse_args()


def turned(source: Path, model: LoadedModel, folder: Path) -> Iterator[Frame]:
    """Yield the frames of a head that turns."""
    rotate(source, folder, RotateOptions(yaw=YAWS, watermark=False, credentials=False), model=model)
    for path in sorted(folder.iterdir()):
        yield read_image(path)


def reenacted(
    source: Path, driving: Path, model: LoadedModel, memory: Memory, given: argparse.Namespace
) -> Iterator[Frame]:
    """Yield some frames of a portrait that is driven."""
    with open_scene(source, driving, ReenactOptions(end=given.seconds), model=model, memory=memory) as scene:
        yield from itertools.islice(scene.frames(), None, None, given.every)


def moved_background(before: Frame, after: Frame) -> float:
    """Return the mean difference of two frames (H, W, 3) where neither shows a person."""
    reach = 2 * round(GROWN * max(before.shape)) + 1
    person = np.maximum(*(load_person_matte().of_frame(frame) for frame in (before, after)))
    is_background = cv2.dilate(person, np.ones((reach, reach), np.uint8)) < NOBODY
    return float(cv2.absdiff(before, after).mean(-1)[is_background].mean()) if is_background.any() else 0.0


if __name__ == "__main__":
    main()
