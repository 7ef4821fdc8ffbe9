"""Make the README's pictures: python docs/images/make_images.py [MEDIA] (the package installed).

From the bundled examples; the sheets of other portraits only where the folder of real media is named. They show what
was made of paintings and of faces that belong to nobody; of the driving clips they show nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from vid2vid_cli import load_model, reenact, rotate
from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.image import contact_sheet, write_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
MOMENTS = (0, 16, 36, 61, 78, 88)  # frames of the driving clip
SIDE_PX = 200
# Sheet: portrait, driving clip, frames of it.
SHEETS = {
    "mona_lisa": ("s01_mona_lisa.jpg", "d03_woman_expressions_audio.mp4", (0, 20, 55, 100, 150, 200)),
    "pearl_earring": ("s02_pearl_earring.jpg", "d01_ai_man_turning_audio.mp4", (0, 30, 60, 80, 100, 140)),
    "nobody": ("s27_ai_woman.png", "d06_man_mouth_wide_audio.mp4", (0, 25, 50, 80, 120, 180)),
    "painted_man": ("s08_painted_man_glasses.png", "d08_man_dreadlocks_12fps.mp4", (0, 10, 20, 30, 40, 55)),
}


def main() -> None:
    """Write demo.jpg and rotate.jpg beside this file, and the sheets."""
    model = load_model()
    driving = EXAMPLES / "driving.mp4"
    shown = moments_of(driving, MOMENTS) + move(EXAMPLES / "portrait.jpg", driving, MOMENTS, model)
    write_image(HERE / "demo.jpg", contact_sheet(shown, len(MOMENTS)), force=True)
    sweep = RotateOptions(yaw="-30:30:15", paste_back=False, columns=5, size=240, force=True)
    rotate(EXAMPLES / "portrait.jpg", HERE / "rotate.jpg", sweep, model=model)
    for media in map(Path, sys.argv[1:]):
        for name, (portrait, clip, moments) in SHEETS.items():
            frames = move(media / "sources" / portrait, media / "drivings" / clip, moments, model)
            write_image(HERE / f"{name}.jpg", contact_sheet(frames, len(moments)), force=True)


def move(portrait: Path, driving: Path, moments: Collection[int], model: LoadedModel) -> list[Frame]:
    """Return the portrait's head as some frames of a driving clip move it, small."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.mp4"
        options = ReenactOptions(paste_back=False, crf=8, size=2 * SIDE_PX, audio="none")
        reenact(portrait, driving, result, options, model=model)
        return moments_of(result, moments)


def moments_of(clip: Path, moments: Collection[int]) -> list[Frame]:
    """Return the frames of a clip that are shown, square."""
    frames = []
    for index, frame in enumerate(read_video(clip)):
        if index in moments:
            side = min(frame.shape[:2])
            left = (frame.shape[1] - side) // 2
            frames.append(resize_frame(frame[:side, left : left + side], (SIDE_PX, SIDE_PX)))
        if index >= max(moments):
            break
    return frames


if __name__ == "__main__":
    main()
