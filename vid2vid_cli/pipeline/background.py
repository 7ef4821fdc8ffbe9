"""Parse --background, and check that the output can hold what it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import ImageColor

from vid2vid_cli.errors import UsageError
from vid2vid_cli.home import under_home
from vid2vid_cli.media.colour import WHITE, Colour
from vid2vid_cli.media.encoder import CONTAINERS, holds_alpha
from vid2vid_cli.media.files import shown
from vid2vid_cli.media.probe import sniff
from vid2vid_cli.near_names import hint_at, nearest_file, nearest_name
from vid2vid_cli.pipeline.options import EncodingOptions, PictureOptions

Kind = Literal["keep", "follow", "blur", "transparent", "colour", "picture", "video"]
CHOICES = "keep, follow, blur, transparent, a colour such as gray or #rrggbb, or the name of a picture or video"
ALPHA_OUTPUTS = ".png .webp .gif .webm .mov, or a folder of frames"
WORDS: dict[str, Kind] = {"keep": "keep", "follow": "follow", "blur": "blur", "transparent": "transparent"}


@dataclass(frozen=True)
class Background:
    """What is behind the person.

    colour: where it is one; also what a transparent source is laid on when it is read. path: of a picture or video.
    """

    kind: Kind
    colour: Colour = WHITE
    path: Path | None = None


def parse_background(text: str) -> Background:
    """Parse --background. A word or a colour counts before a file of the same name."""
    if text in WORDS:
        return Background(WORDS[text])
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]  # #rrggbbaa has a fourth, which a background cannot use
    except ValueError:
        return _parse_file(text)
    return Background("colour", Colour(red, green, blue))


def names_file(text: str) -> bool:
    """Say whether a background is neither a word nor a colour, without looking for a file of that name."""
    try:
        return text not in WORDS and not ImageColor.getrgb(text)
    except ValueError:
        return True


def _parse_file(text: str) -> Background:
    path = under_home(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a zero in it
        is_file = False
    if not is_file:
        raise UsageError(
            f"--background {shown(text)}: there is no such file; {hint_at(_meant(text), f'write {CHOICES}')}"
        )
    return Background("picture" if sniff(path) == "still" else "video", path=path)


def _meant(text: str) -> str | None:
    """Return the word, colour or file whose name is written most like a text that is none."""
    if (word := nearest_name(text, (*WORDS, *ImageColor.colormap))) is not None:
        return word
    try:
        file = nearest_file(under_home(text))
    except (OSError, ValueError):
        return None
    return None if file is None else shown(file)


def follows_camera(options: PictureOptions) -> bool:
    """Say whether the background is to move with the driving's camera, which takes the driving's pictures."""
    return parse_background(options.background).kind == "follow"


def wants_alpha(options: PictureOptions) -> bool:
    """Say whether the output is to be transparent."""
    return parse_background(options.background).kind == "transparent"


def check_transparency(target: str | Path, options: EncodingOptions) -> None:
    """Raise UsageError if a transparent background is asked for and an output of this name cannot have one."""
    if not isinstance(options, PictureOptions) or not wants_alpha(options) or holds_alpha(target, options.codec):
        return
    container = CONTAINERS.get(Path(target).suffix.lower())
    if options.codec is not None and container is not None and container.alpha_codec is not None:
        cure = f"--codec {options.codec} cannot be transparent there; leave it out"
    else:
        cure = f"this kind of file cannot be transparent; write {ALPHA_OUTPUTS}"
    raise UsageError(f"{target}: --background transparent: {cure}")


def clip_suffix(options: PictureOptions) -> str:
    """Return the suffix of a clip that the user did not name."""
    return ".webm" if wants_alpha(options) else ".mp4"
