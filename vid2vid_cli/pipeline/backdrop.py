"""What is behind the person in the output: kept, blurred, left out, or replaced by a colour, a picture or a video."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from fractions import Fraction
from pathlib import Path

import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.background_texture import add_texture
from vid2vid_cli.face.camera import CameraTracker, move_picture
from vid2vid_cli.face.compositing import (
    SteadyMasks,
    blend,
    blur_background,
    cover,
    foreground_colours,
    lay_on,
    with_alpha,
)
from vid2vid_cli.face.filling import fill_background, shown_background
from vid2vid_cli.face.matte import Mask
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.colour import Colour
from vid2vid_cli.media.encoder import holds_alpha
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, probe_video, read_video
from vid2vid_cli.models.registry import load_person_matte
from vid2vid_cli.pipeline.background import Background, parse_background
from vid2vid_cli.pipeline.options import EncodingOptions, PictureOptions
from vid2vid_cli.pipeline.scene import Scene

NOBODY = 0.01  # of the frame: where less of it is a person, there is none


class Ground(ABC):
    """What is laid behind the person."""

    @abstractmethod
    def next(self, size: tuple[int, int]) -> Frame:
        """Return what lies behind the next frame, (H, W, 3) of this size."""

    def watch(self, driving: Frame) -> None:  # noqa: B027  most do not move with it
        """See the driving's picture (h, w, 3) that moves the next frame."""

    def close(self) -> None:  # noqa: B027  most have opened nothing
        """Release what has been opened."""


class ColourGround(Ground):
    """The same colour everywhere."""

    def __init__(self, colour: Colour) -> None:
        self._colour = colour

    def next(self, size: tuple[int, int]) -> Frame:  # noqa: D102
        return np.full((*size, 3), self._colour, np.uint8)


class PictureGround(Ground):
    """A picture that covers the frame."""

    def __init__(self, path: Path, max_pixels: int) -> None:
        self._picture = read_image(path, max_pixels=max_pixels)
        self._covering: Frame | None = None

    def next(self, size: tuple[int, int]) -> Frame:  # noqa: D102
        if self._covering is None or self._covering.shape[:2] != size:
            self._covering = cover(self._picture, size)
        return self._covering


class VideoGround(Ground):
    """A video that plays along at its own speed, again and again."""

    def __init__(self, path: Path, fps: Fraction, max_pixels: int, warn: Callable[[str], None]) -> None:
        """Probe the video. fps: of the output."""
        self._path, self._info = path, probe_video(path, max_pixels)
        same_rate = self._info.is_constant_rate and self._info.fps == fps
        self._reading = ReadOptions(fps=None if same_rate else fps, warn=warn)
        self._frames = self._forever()

    def _forever(self) -> Generator[Frame, None, None]:
        while True:
            yield from read_video(self._path, self._reading, self._info)

    def next(self, size: tuple[int, int]) -> Frame:  # noqa: D102
        return cover(next(self._frames), size)

    def close(self) -> None:  # noqa: D102
        self._frames.close()


class MovedGround(Ground):
    """The source's own background, filled where the person stands, moved as the driving's camera moves."""

    def __init__(self, source: Frame) -> None:
        """Fill the background of a source (H, W, 3)."""
        matte = load_person_matte()
        person = matte.of_frame(source)
        picture = source.astype(np.float32) / np.float32(255)
        filled = add_texture(fill_background(picture, person), shown_background(picture, person))
        self._picture = np.asarray(filled * 255 + 0.5, np.uint8)
        self._camera = CameraTracker(matte.of_frame)
        self._moved = np.eye(3)

    def watch(self, driving: Frame) -> None:  # noqa: D102
        self._moved = self._camera(driving)

    def next(self, size: tuple[int, int]) -> Frame:  # noqa: D102
        moved = move_picture(self._picture, self._moved)
        return moved if moved.shape[:2] == size else resize_frame(moved, size)


class Backdrop:
    """Changes what is behind the person in frames that follow one another."""

    def __init__(
        self,
        replace: Callable[[Frame, Mask], Frame],
        warn: Callable[[str], None],
        ground: Ground | None = None,
        *,
        quickly: bool = False,
    ) -> None:
        """Take what makes a frame of a frame and its mask.

        warn: takes a line if the first frame shows nobody. ground: what lies behind frames that are transparent
        already, and is closed in the end. quickly: whether a mask is good enough that takes half of the time.
        """
        self._replace, self._warn, self._ground, self._quickly = replace, warn, ground, quickly
        self._steady: SteadyMasks | None = None

    def __call__(self, frame: Frame, driving: Frame | None = None) -> Frame:
        """Return the next frame (H, W, 3), or (H, W, 4) with straight alpha, before its new background.

        driving: the driving's picture, if there is one.
        """
        if driving is not None and self._ground is not None:
            self._ground.watch(driving)
        if frame.shape[2] == 4:
            return frame if self._ground is None else lay_on(frame, self._ground.next((frame.shape[0], frame.shape[1])))
        mask = load_person_matte().of_frame(frame, quickly=self._quickly)
        if self._steady is None:
            self._steady = SteadyMasks()
            if mask.mean() < NOBODY:
                self._warn("--background: hardly any of the first frame is taken for a person; a larger one may help")
        return self._replace(frame, self._steady(mask))

    def close(self) -> None:
        """Release what the background has opened."""
        if self._ground is not None:
            self._ground.close()


def cut_out(frame: Frame, mask: Mask) -> Frame:
    """Return a frame (H, W, 3) as (H, W, 4): the person alone, in colours without the background's."""
    return with_alpha(foreground_colours(frame, mask), mask)


def place_before(ground: Ground) -> Callable[[Frame, Mask], Frame]:
    """Return what lays the person before a ground."""

    def place(frame: Frame, mask: Mask) -> Frame:
        return blend(foreground_colours(frame, mask), ground.next((frame.shape[0], frame.shape[1])), mask)

    return place


def open_backdrop(
    background: Background, fps: Fraction, options: PictureOptions, warn: Callable[[str], None]
) -> Backdrop:
    """Open what a background names. fps: of the output."""
    if background.kind == "blur":
        return Backdrop(blur_background, warn, quickly=True)  # what is behind has the same colours as before
    if background.kind == "transparent":
        return Backdrop(cut_out, warn)
    ground: Ground = ColourGround(background.colour)
    if background.path is not None and background.kind == "picture":
        ground = PictureGround(background.path, options.max_pixels)
    elif background.path is not None:
        ground = VideoGround(background.path, fps, options.max_pixels, warn)
    return Backdrop(place_before(ground), warn, ground)


def set_background(
    scene: Scene, encoding: EncodingOptions | None, target: str | Path | None, warn: Callable[[str], None]
) -> None:
    """Give a scene the background that its source's options ask for.

    target: the output, None for frames that are not written; with the options of its encoding.
    """
    source = scene.source
    background = parse_background(source.options.background)
    is_see_through = background.kind != "colour" and source.is_see_through
    if background.kind in ("keep", "follow", "blur") and is_see_through:
        # Its background is nothing: it stays so where the output can say so.
        if encoding is not None and target is not None and keeps_alpha(target, encoding):
            scene.show_alpha()
        return
    if background.kind == "keep" or (background.kind == "colour" and source.is_see_through):
        return  # the source was laid on its colour when it was read
    if background.kind == "follow":
        ground = open_moved_ground(scene)
        scene.replace_background(Backdrop(place_before(ground), warn, ground))
        return
    if is_see_through:
        scene.show_alpha()
    scene.replace_background(open_backdrop(background, scene.fps, source.options, warn))


def open_moved_ground(scene: Scene) -> MovedGround:
    """Return the ground that moves with the driving's camera. UsageError where there is none to follow."""
    source, driving = scene.source, scene.driving
    if source.is_video:
        raise UsageError(f"{source.path}: --background follow: a video has a camera of its own; take a picture")
    if driving.picture_size is None:
        raise UsageError(f"{driving.path}: --background follow: has no pictures of what a camera saw; take a video")
    if not source.options.paste_back:
        raise UsageError("--background follow: moves the whole picture; leave out --crop-only")
    return MovedGround(next(source.frames()).frame)


def keeps_alpha(target: str | Path, options: EncodingOptions) -> bool:
    """Say whether an output takes alpha that was not asked for: if nothing else was asked of its encoder."""
    is_free = (options.codec, options.crf, options.preset) == (None, None, None)
    return holds_alpha(target, options.codec) and (is_free or Path(target).suffix.lower() != ".mov")
