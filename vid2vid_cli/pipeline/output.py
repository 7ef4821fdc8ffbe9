"""Write what a pipeline renders: a picture, a clip, an animation or a folder of frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from vid2vid_cli.errors import MediaError
from vid2vid_cli.face.crop import Frame
from vid2vid_cli.media.image import write_image
from vid2vid_cli.media.video import FrameWriter, WriteOptions, open_writer
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.process.streaming import prefetch

OpenWriter = Callable[[str | Path, tuple[int, int], WriteOptions], FrameWriter]
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def is_picture_name(path: str | Path) -> bool:
    """Say whether an output's name asks for one picture; a name that ends in a slash asks for a folder."""
    return not str(path).endswith(("/", "\\")) and Path(path).suffix.lower() in PICTURES


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

    open_output: gives a writer for the path and the size.
    """
    with closing(prefetch(frames, 4)) as rendered:  # type: ignore[type-var]
        first = next(rendered, None)
        if first is None:
            raise MediaError(f"{path}: there is no frame to write")
        size = (first.shape[0], first.shape[1])
        if is_picture_name(path):
            write_image(path, first, provenance=options.provenance, force=options.force)
            for _ in rendered:  # a still has one frame; its end also says what went wrong
                pass
            return 1, size
        with open_output(path, size, options) as writer:
            for count, frame in enumerate(itertools.chain([first], rendered), 1):
                writer.write(frame)
                hooks.progress(count, total)
        return count, size
