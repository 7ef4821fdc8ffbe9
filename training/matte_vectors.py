"""Record what MediaPipe's own runtime answers to its selfie segmentation, for tests to compare our port with.

    python -m training.matte_vectors cut MEDIA -o pictures.npz
    python3.11 -m venv judge-env && judge-env/bin/pip install mediapipe==0.10.21
    judge-env/bin/python training/matte_vectors.py answer pictures.npz -o tests/golden/matte.npz

The network has an operation that only this runtime knows, so there are two steps, as in attention_vectors.py. The
pictures have the network's own size, so that the runtime does not resize anything. The result holds no pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIZE = 256  # px: side of the pictures
# Files of MEDIA and frames of them: a green screen, a hand, a man outdoors, a painting, a drawn man.
CASES = (
    ("drivings/d04_man_smile_green.mp4", 0),
    ("drivings/d12_woman_hand_over_face_audio.mp4", 90),
    ("sources/s16*", 0),
    ("sources/s01*", 0),
    ("sources/s09*", 0),
)
STEPS = 65535  # masks are kept as whole numbers, 0 to this
Pictures = npt.NDArray[np.uint8]


def draw() -> Pictures:
    """Draw a picture (256, 256, 3) that needs no file: a head with eyes and a mouth over shoulders."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    picture = np.stack([0.3 + 0.2 * x, 0.5 + 0.1 * y, 0.6 - 0.2 * x], axis=-1)
    shapes = (
        (0.5, 1.0, 0.36, 0.36, (0.2, 0.15, 0.3)),
        (0.5, 0.42, 0.17, 0.24, (0.25, 0.15, 0.1)),
        (0.5, 0.45, 0.14, 0.2, (0.85, 0.65, 0.55)),
        (0.44, 0.42, 0.025, 0.015, (0.1, 0.1, 0.1)),
        (0.56, 0.42, 0.025, 0.015, (0.1, 0.1, 0.1)),
        (0.5, 0.56, 0.05, 0.015, (0.6, 0.2, 0.2)),
    )
    for middle_x, middle_y, half_width, half_height, colour in shapes:
        picture[((x - middle_x) / half_width) ** 2 + ((y - middle_y) / half_height) ** 2 < 1] = colour
    return np.asarray(np.rint(picture * 255), np.uint8)


def find(media: Path, wanted: str) -> Path:
    """Return the file of a case."""
    return sorted(media.glob(wanted))[0]


def picture_of(path: Path, number: int) -> Pictures:
    """Read a frame of a clip, or a picture, and shrink it to the network's size."""
    from itertools import islice

    import cv2

    from vid2vid_cli.media.image import read_image
    from vid2vid_cli.media.video import read_video

    frame = next(islice(read_video(path), number, None)) if path.suffix == ".mp4" else read_image(path)
    return np.asarray(cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def cut(media: Path) -> dict[str, Any]:
    """Make the pictures (N, 256, 256, 3) of all cases, and a drawn one, for which a test needs no files."""
    paths = [find(media, wanted) for wanted, _ in CASES]
    numbers = [number for _, number in CASES]
    pictures = [picture_of(path, number) for path, number in zip(paths, numbers, strict=True)]
    files = [path.relative_to(media).as_posix() for path in paths]
    return {
        "files": np.array([*files, "drawn"]),
        "frames": np.array([*numbers, 0]),
        "pictures": np.stack([*pictures, draw()]),
    }


def answer(pictures: Pictures) -> npt.NDArray[np.uint16]:
    """Return the masks (N, 256, 256) of pictures (N, 256, 256, 3), in steps from 0 to 65535."""
    from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

    masks = []
    with SelfieSegmentation(model_selection=0) as segmentation:
        for picture in pictures:
            masks.append(segmentation.process(np.ascontiguousarray(picture)).segmentation_mask)
    return np.asarray(np.rint(np.stack(masks) * STEPS), np.uint16)


def main() -> None:
    """Run one of the two steps from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("cut", "answer"))
    parser.add_argument("input", type=Path, help="MEDIA, or the pictures of the first step")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if options.step == "cut":
        np.savez_compressed(options.output, **cut(options.input))
        return
    with np.load(options.input) as made:
        np.savez_compressed(options.output, files=made["files"], frames=made["frames"], masks=answer(made["pictures"]))


if __name__ == "__main__":
    main()
