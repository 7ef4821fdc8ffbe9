"""Where a pipeline's frames go: a picture, a clip, an animation or a folder, checked before any work."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError, UsageError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.encoder import container_of
from vid2vid_cli.media.files import names_folder
from vid2vid_cli.media.image import write_image
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.suffixes import PICTURE_SUFFIXES, SOUND_SUFFIXES, VIDEO_SUFFIXES
from vid2vid_cli.media.video import FrameWriter, WriteOptions, check_encoding, open_writer
from vid2vid_cli.pipeline.background import check_transparency, wants_alpha
from vid2vid_cli.pipeline.options import EncodingOptions, PictureOptions
from vid2vid_cli.pipeline.progress import Hooks, WarningLog
from vid2vid_cli.process.streaming import prefetch

OpenWriter = Callable[[str | Path, tuple[int, int], WriteOptions], FrameWriter]
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
SMALLEST_PX, LARGEST_PX = 16, 16384
"""What `--size` may ask for: the longer side in pixels."""


def is_picture_name(path: str | Path) -> bool:
    """Say whether an output's name means one picture; a name that ends in a slash means a folder."""
    return not str(path).endswith(("/", "\\")) and Path(path).suffix.lower() in PICTURES


def check_size(longer_px: int | None) -> None:
    """Raise UsageError for a size out of range. longer_px: of the longer side; None keeps the source's size."""
    if longer_px is not None and not SMALLEST_PX <= longer_px <= LARGEST_PX:
        raise UsageError(f"--size {longer_px}: write the longer side in pixels, {SMALLEST_PX} to {LARGEST_PX}")


def fit_size(size: tuple[int, ...], longer_px: int) -> tuple[int, int]:
    """Return a size (height, width) with the same shape and the longer side given."""
    scale = longer_px / max(size[:2])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def check_target(target: str | Path, options: EncodingOptions, *, is_clip: bool) -> None:
    """Raise unless frames can be written under this name with these options.

    is_clip: there will be more than one frame. Whether the name is free is up to `media.files.check_output`.
    """
    check_name(target, options, is_clip=is_clip)
    if not is_picture_name(target):
        has_alpha = isinstance(options, PictureOptions) and wants_alpha(options)
        check_encoding(target, options.codec, options.crf, options.preset, has_alpha=has_alpha)
    elif is_clip and not may_move(target):
        raise UsageError(f"{target}: a picture cannot hold a clip; name a video, a GIF or a folder")


def check_name(target: str | Path, options: EncodingOptions, *, is_clip: bool = False) -> None:
    """Raise for a name by which nothing can be written: what is known of it before anything is loaded.

    is_clip: it is known that there will be more than one frame.
    """
    check_transparency(target, options)
    if is_picture_name(target) or names_folder(target):
        return
    try:
        container_of(Path(target))
    except MediaError as error:
        is_answered = is_clip or str(error).endswith("?")
        raise MediaError(f"{error}{'' if is_answered else '; a picture is .png, .jpg or .webp'}") from error


def misleading_name(target: str | Path, what: str, suffix: str) -> str | None:
    """Return a note on a name by which people expect a picture, film or sound. what, suffix: of what is written."""
    path = Path(target)
    if path.suffix.lower() not in PICTURE_SUFFIXES | VIDEO_SUFFIXES | SOUND_SUFFIXES:
        return None
    return f"{target}: is {what}, which no player opens; a name such as {path.stem}{suffix} says so"


def unused_encoding(target: str | Path, options: EncodingOptions, fps: str | None = None) -> str | None:
    """Return a note on options of videos that mean nothing for a picture. fps: the rate that was asked for."""
    given = {"--codec": options.codec, "--crf": options.crf, "--preset": options.preset, "--fps": fps}
    names = ", ".join(name for name, value in given.items() if value is not None)
    return f"{names}: without effect, since {target} is a picture" if names and is_picture_name(target) else None


def may_move(path: str | Path) -> bool:
    """Say whether a picture of this name may be an animation."""
    return Path(path).suffix.lower() == ".webp"


def write_options(
    options: EncodingOptions,
    fps: Fraction,
    provenance: Provenance,
    log: WarningLog,
    *,
    audio: AudioSource | None = None,
    pixel_aspect: Fraction = Fraction(1),
) -> WriteOptions:
    """Say how frames are encoded. log: gets the warnings. pixel_aspect: width over height of an output pixel."""
    return WriteOptions(
        fps=fps,
        codec=options.codec,
        crf=options.crf,
        preset=options.preset,
        audio=audio,
        warn=log.warn,
        lose=log.lose,
        provenance=provenance,
        force=options.force,
        pixel_aspect=pixel_aspect,
    )


def write_frames(
    path: str | Path,
    frames: Iterator[Frame],
    options: WriteOptions,
    total: int | None,
    hooks: Hooks,
    *,
    open_output: OpenWriter = open_writer,
) -> tuple[int, tuple[int, int]]:
    """Write all frames while a thread renders the next ones. Returns their number and size (height, width).

    open_output: opens a writer for the path and the size.
    """
    # A few frames ahead: rendering goes on while the encoder takes a frame, and memory stays bounded.
    with closing(prefetch(frames, 4)) as rendered:  # type: ignore[type-var]
        first = next(rendered, None)
        if first is None:
            raise MediaError(f"{path}: there is no frame to write")
        size = (first.shape[0], first.shape[1])  # only the first frame tells; all others have the same
        options = replace(options, has_alpha=first.shape[2] == 4)
        if is_picture_name(path) and not (may_move(path) and total != 1):
            for _ in rendered:  # there is one frame, but only the end tells whether a face was ever seen
                pass
            write_image(path, first, provenance=options.provenance, force=options.force)
            hooks.show(first)
            return 1, size
        with open_output(path, size, options) as writer:
            for count, frame in enumerate(itertools.chain([first], rendered), 1):
                writer.write(frame)
                hooks.show(frame)
                hooks.progress(count, total)
        return count, size
