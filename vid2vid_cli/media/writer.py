"""Write frames to a video file or a folder, which appears only when it is whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.audio import Muxing, Sound, SoundTarget, add_sound, encodings, find_sound, tracks_of
from vid2vid_cli.media.encoder import WriteOptions, container_arguments, container_of, encode_arguments
from vid2vid_cli.media.ffmpeg import Child
from vid2vid_cli.media.files import check_output, names_folder, open_scratch
from vid2vid_cli.media.gif import make_gif
from vid2vid_cli.media.image import save_still
from vid2vid_cli.media.publishing import keep, publish, publish_frames
from vid2vid_cli.media.watermark.marking import marked_provenance, watermarker_for
from vid2vid_cli.media.webp import describe_webp
from vid2vid_cli.process.scratch import Scratch


def open_writer(path: str | Path, size: tuple[int, int], options: WriteOptions) -> FrameWriter:
    """Return a writer of frames of `size` (height, width). Use it as a context manager and call `write`.

    The kind follows from the path: .mp4 .m4v .mov .mkv .webm .gif .webp, or a folder of PNG frames if it has no suffix.
    Errors that can be foreseen are raised here, before any frame is made.
    """
    if min(size) < 1:
        raise ValueError(f"a frame needs a size (height, width), not {size}")
    check_output(path, force=options.force)
    kind = FolderWriter if names_folder(path) else VideoWriter
    return kind(Path(path), size, options)


class FrameWriter(ABC):
    """Takes frames one by one. Publishes them if the `with` block ends well, else removes all traces."""

    def __init__(self, path: Path, size: tuple[int, int], options: WriteOptions) -> None:
        self._watermarker = watermarker_for(options.provenance, size)
        if self._watermarker is not None:
            options = replace(options, provenance=marked_provenance(options.provenance, size))
        self.path, self.size, self.options = path, size, options
        self.frame_count = 0

    def write(self, frame: Frame) -> None:
        """Append a frame (H, W, 3), uint8 RGB, of the size given at the start; (H, W, 4) if the options say so."""
        shape = (*self.size, 4 if self.options.has_alpha else 3)
        if frame.dtype != np.uint8 or frame.shape != shape:
            raise ValueError(f"expected a frame uint8 {shape}, got {frame.dtype} {frame.shape}")
        if self._watermarker is not None:
            frame = self._watermarker(frame)
        # Both writers below need the rows one after the other in memory.
        self._put(np.ascontiguousarray(frame))
        self.frame_count += 1

    def __enter__(self) -> FrameWriter:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The clean-up comes last in any case: publishing takes the output out of what it removes.
        try:
            if kind is None:
                if self.frame_count == 0:
                    raise MediaError(f"{self.path}: not written, as there was no frame")
                self._publish()
        finally:
            self._clean_up()

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _put(self, frame: Frame) -> None: ...

    @abstractmethod
    def _publish(self) -> None: ...

    @abstractmethod
    def _clean_up(self) -> None: ...


class VideoWriter(FrameWriter):
    """Feeds frames to ffmpeg, which encodes them under a temporary name. Sound or a palette is added afterwards."""

    def __init__(self, path: Path, size: tuple[int, int], options: WriteOptions) -> None:
        super().__init__(path, size, options)
        self._container = container_of(path)
        self._is_gif = self._container.muxer == "gif"
        # Looked for and tried now, in case it cannot be read or written: not after hours of work.
        self._sound = None if self._container.is_animation else self._find_sound()
        self._scratch: Scratch | None = None
        self._child: Child | None = None

    def _start(self) -> None:
        self._scratch = open_scratch(self.path)
        arguments = encode_arguments(self.path, self.size, self.options)
        arguments += self._container_arguments()
        subject = f"{self.path}: cannot be written"
        self._child = Child([*arguments, f"file:{self._encoded}"], subject, has_stdin=True)

    def _file(self, name: str) -> Path:
        if self._scratch is None:
            raise ValueError("the writer is used outside its with block")
        return self._scratch.file(f"{name}{self.path.suffix}")

    @property
    def _encoded(self) -> Path:
        # Matroska holds the lossless frames from which the GIF is made.
        return self._file("encoded").with_suffix(".mkv") if self._is_gif else self._file("encoded")

    def _container_arguments(self) -> list[str]:
        container = self.path.with_suffix(".mkv") if self._is_gif else self.path
        return container_arguments(container, self.options.provenance, self.options.codec)

    def _find_sound(self) -> Sound | None:
        kind, tracks = self._container, tracks_of(self.options.audio)
        target = SoundTarget(kind.copied_sounds, encodings(kind.sound_encoder), self._container_arguments())
        sound = find_sound(tracks, target, self.options.warn)
        if tracks and sound is None:
            source = tracks[0].source.path
            self.options.lose(f"{source}: its sound ({tracks[0].codec}) cannot be decoded; the output has no sound")
        return sound

    def _put(self, frame: Frame) -> None:
        if self._child is None:
            raise ValueError("write() outside the writer's with block")
        try:
            self._child.feed(frame.data.cast("B"))
        except OSError:  # the encoder has ended, and its log says why
            self._end_encoder(must_fail=True)

    def _end_encoder(self, *, must_fail: bool = False) -> None:
        if self._child is not None and (self._child.wait() != 0 or must_fail):
            raise MediaError(f"{self.path}: cannot be written: {self._child.error_line()}")

    def _publish(self) -> None:
        self._end_encoder()
        publish(self._finish(), self.path, self.options.provenance, force=self.options.force)

    def _finish(self) -> Path:
        """Add palette or sound once all frames are encoded. Return the finished file."""
        encoded, finished = self._encoded, self._file("finished")
        if self._is_gif:
            self._make_gif(encoded, finished)
            return finished
        if self._container.muxer == "webp":
            describe_webp(encoded, finished, self.options.provenance)
            return finished
        if self._sound is None:
            return encoded
        # By the number of frames, which is exact; the encoded file states its duration rounded.
        muxing = Muxing(self._sound, self.frame_count / self.options.fps, self._container_arguments())
        try:
            add_sound(encoded, muxing, finished)
        except MediaError as error:
            self.options.lose(f"{error}; the output has no sound")
            return encoded
        return finished

    def _make_gif(self, encoded: Path, finished: Path) -> None:
        provenance = self.options.provenance
        try:
            make_gif(encoded, finished, provenance, self.path, has_alpha=self.options.has_alpha)
        except MediaError as error:
            kept = keep(encoded, self.path.with_suffix(".mkv"), provenance)
            raise MediaError(f"{error}; its frames are in {kept}") from error

    def _clean_up(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None
        if self._scratch is not None:
            self._scratch.close()


class FolderWriter(FrameWriter):
    """Writes frame_000000.png and so on, into a hidden folder beside the final one at first."""

    def __init__(self, path: Path, size: tuple[int, int], options: WriteOptions) -> None:
        super().__init__(path, size, options)
        self._scratch: Scratch | None = None
        self._frames = Path()

    def _start(self) -> None:
        # Of a link to a folder on another disk: beside the folder itself, from where frames can be moved into it.
        self._scratch = open_scratch(self.path.resolve() if self.path.is_dir() else self.path)
        self._frames = self._scratch.file("frames")
        self._frames.mkdir()

    def _put(self, frame: Frame) -> None:
        try:
            save_still(self._frames / f"frame_{self.frame_count:06d}.png", frame, self.options.provenance)
        except OSError as error:
            raise MediaError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def _publish(self) -> None:
        publish_frames(self._frames, self.path, self.options.provenance, force=self.options.force)

    def _clean_up(self) -> None:
        if self._scratch is not None:
            self._scratch.close()
