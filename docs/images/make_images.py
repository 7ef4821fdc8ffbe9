"""Make the README's pictures from the bundled examples: python docs/images/make_images.py (the package installed)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from vid2vid_cli import load_model, reenact, rotate
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.image import contact_sheet, write_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
MOMENTS = (0, 16, 36, 61, 78, 88)  # frames of the driving clip
SIDE_PX = 200


def main() -> None:
    """Write demo.jpg and rotate.jpg beside this file."""
    model = load_model()
    driving = EXAMPLES / "driving.mp4"
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.mp4"
        reenact(EXAMPLES / "portrait.jpg", driving, result, ReenactOptions(paste_back=False, crf=8), model=model)
        rows = [resize_frame(f, (SIDE_PX, SIDE_PX)) for clip in (driving, result) for f in moments_of(clip)]
    write_image(HERE / "demo.jpg", contact_sheet(rows, len(MOMENTS)), force=True)
    sweep = RotateOptions(yaw="-30:30:15", paste_back=False, columns=5, size=240, force=True)
    rotate(EXAMPLES / "portrait.jpg", HERE / "rotate.jpg", sweep, model=model)


def moments_of(clip: Path) -> list:
    """Return the frames of a clip that are shown."""
    return [frame for index, frame in enumerate(read_video(clip)) if index in MOMENTS]


if __name__ == "__main__":
    main()
