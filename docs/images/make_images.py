"""Make the README's pictures: python docs/images/make_images.py [MEDIA] (the package installed).

From the bundled examples; paintings and the sheets of other portraits only where the folder of real media is named.
They show what was made of paintings and of faces that belong to nobody; of the driving clips they show nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from vid2vid_cli import load_model, personalize, reenact, rotate
from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.image import contact_sheet, read_image
from vid2vid_cli.media.mark import EXIF_DESCRIPTION
from vid2vid_cli.media.provenance import MARKED
from vid2vid_cli.media.publishing import tags_of
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.person.options import PersonalizeOptions

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
MOMENTS = (0, 22, 40, 62, 78, 91)  # frames of the driving clip: rest, a turn, smile, surprise, frown, wink
SIDE_PX, FAILURE_PX, PERSON_PX = 200, 300, 190
MOVING_MOMENTS = range(0, 120, 2)  # 12.5 frames/s
MOVING_SIDE_PX = 280
MOVING_PAINTING = "s01_mona_lisa.jpg"
# Sheet: portrait, driving clip, frames of it.
SHEETS = {
    "mona_lisa": ("s01_mona_lisa.jpg", "d03_woman_expressions_audio.mp4", (0, 15, 135, 195, 300, 330)),
    "pearl_earring": ("s02_pearl_earring.jpg", "d06_man_mouth_wide_audio.mp4", (0, 27, 63, 81, 117, 135)),
    "nobody": ("s27_ai_woman.png", "d06_man_mouth_wide_audio.mp4", (0, 27, 63, 81, 117, 135)),
    "painted_man": ("s08_painted_man_glasses.png", "d06_man_mouth_wide_audio.mp4", (0, 27, 63, 81, 117, 135)),
}
# Who speaks the bundled sound, and frames of it: shut in a pause, m, o, teeth on f, open, round, b, open.
SPEAKING = ("s27_ai_woman.png", "s01_mona_lisa.jpg", "s08_painted_man_glasses.png")
SPOKEN = (0, 9, 19, 29, 33, 57, 82, 100)
VOICE = EXAMPLES / "voice.flac"
# Portraits that are turned from side to side, one a row.
TURNED = ("s01_mona_lisa.jpg", "s02_pearl_earring.jpg", "s27_ai_woman.png", "s08_painted_man_glasses.png")
# A person by number of pictures: clip of the person, driving, frames of it (shut eyes, a turn, open mouths), numbers of
# pictures, and what is shown of each frame: left, top and side, in shares of it.
PERSON, PERSON_DRIVING = "train/t15_aisolo.mp4", "d03_woman_expressions_audio.mp4"
PERSON_MOMENTS, PERSON_VIEWS, PERSON_BOX = (60, 174, 306, 336), (1, 2, 4, 8, 30), (0.2, 0.17, 0.58)
# What still fails: heads half in profile that are turned to the camera, and heads that are turned too far.
FAILURES = {
    "s02_pearl_earring.jpg": RotateOptions(frontalize=True),
    "s08_painted_man_glasses.png": RotateOptions(frontalize=True),
    "s01_mona_lisa.jpg": RotateOptions(yaw="-45"),
    "s27_ai_woman.png": RotateOptions(yaw="45"),
}


def main() -> None:
    """Write demo.jpg, rotate.jpg and moving.webp beside this file, and the sheets."""
    model = load_model()
    media = [Path(folder) for folder in sys.argv[1:2]]
    shown = moments_of(DRIVING, MOMENTS) + move(PORTRAIT, DRIVING, MOMENTS, model)
    save(HERE / "demo.jpg", [contact_sheet(shown, len(MOMENTS))])
    save(HERE / "rotate.jpg", [turned(PORTRAIT, "-30:30:15", model)])
    portraits = [PORTRAIT, *(folder / "sources" / MOVING_PAINTING for folder in media)]
    save(HERE / "moving.webp", moving_frames(portraits, model))
    for folder in media:
        for name, (portrait, clip, moments) in SHEETS.items():
            frames = move(folder / "sources" / portrait, folder / "drivings" / clip, moments, model)
            save(HERE / f"{name}.jpg", [contact_sheet(frames, len(moments))])
        speakers = [folder / "sources" / name for name in SPEAKING]
        spoken = [frame for who in speakers for frame in move(who, VOICE, SPOKEN, model)]
        save(HERE / "speech.jpg", [contact_sheet(spoken, len(SPOKEN))])
        rows = [turned(folder / "sources" / portrait, "-40:40:20", model) for portrait in TURNED]
        save(HERE / "turned.jpg", [contact_sheet(rows, 1)])
        save(HERE / "person.jpg", [person_sheet(folder / PERSON, folder / "drivings" / PERSON_DRIVING, model)])
        views = [view(folder / "sources" / portrait, options, model) for portrait, options in FAILURES.items()]
        save(HERE / "failures.jpg", [contact_sheet(views, len(views))])


def turned(portrait: Path, yaw: str, model: LoadedModel) -> Frame:
    """Return five views of a portrait, side by side."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "turned.png"
        rotate(portrait, result, RotateOptions(yaw=yaw, paste_back=False, columns=5, size=240), model=model)
        return read_image(result)


def view(portrait: Path, options: RotateOptions, model: LoadedModel) -> Frame:
    """Return one view of a portrait, small."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "view.png"
        rotate(portrait, result, replace(options, paste_back=False), model=model)
        return resize_frame(read_image(result), (FAILURE_PX, FAILURE_PX))


def person_sheet(clip: Path, driving: Path, model: LoadedModel) -> Frame:
    """Return a person as another one's clip moves it: a row for each moment, a column for each number of pictures."""
    columns, (left, top, side) = [], PERSON_BOX
    with tempfile.TemporaryDirectory() as folder:
        for count in PERSON_VIEWS:
            person = Path(folder) / f"{count}.person"
            personalize(clip, person, PersonalizeOptions(views=count))
            shown = move(person, driving, PERSON_MOMENTS, model, 2 * SIDE_PX)
            first, second, length = (round(share * 2 * SIDE_PX) for share in (left, top, side))
            cut = [frame[second : second + length, first : first + length] for frame in shown]
            columns.append([resize_frame(frame, (PERSON_PX, PERSON_PX)) for frame in cut])
    return contact_sheet([frame for row in zip(*columns, strict=True) for frame in row], len(PERSON_VIEWS))


def moving_frames(portraits: Sequence[Path], model: LoadedModel) -> list[Frame]:
    """Return the driving clip beside what it makes of portraits, in half its frame rate."""
    panels = [moments_of(DRIVING, MOVING_MOMENTS, MOVING_SIDE_PX)]
    panels += [move(portrait, DRIVING, MOVING_MOMENTS, model, MOVING_SIDE_PX) for portrait in portraits]
    return [contact_sheet(row, len(row)) for row in zip(*panels, strict=True)]


def save(path: Path, frames: Sequence[Frame]) -> None:
    """Write a frame as JPEG, or frames as a moving WebP, small enough for a page and marked as synthetic.

    WebP, since a GIF of it is several times as large, with 256 colours that break up skin.
    """
    exif = Image.Exif()
    exif[EXIF_DESCRIPTION] = tags_of(MARKED)["description"]
    first, *rest = map(Image.fromarray, frames)
    if rest:
        first.save(path, save_all=True, append_images=rest, duration=80, loop=0, quality=55, method=6, exif=exif)
    else:
        first.save(path, quality=88, exif=exif)


def move(
    portrait: Path, driving: Path, moments: Collection[int], model: LoadedModel, side_px: int = SIDE_PX
) -> list[Frame]:
    """Return the portrait's head as some frames of a driving clip move it, small."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.mp4"
        options = ReenactOptions(paste_back=False, crf=8, size=2 * side_px, audio="none")
        reenact(portrait, driving, result, options, model=model)
        return moments_of(result, moments, side_px)


def moments_of(clip: Path, moments: Collection[int], side_px: int = SIDE_PX) -> list[Frame]:
    """Return the frames of a clip that are shown, square."""
    frames = []
    for index, frame in enumerate(read_video(clip)):
        if index in moments:
            side = min(frame.shape[:2])
            left = (frame.shape[1] - side) // 2
            frames.append(resize_frame(frame[:side, left : left + side], (side_px, side_px)))
        if index >= max(moments):
            break
    return frames


if __name__ == "__main__":
    main()
