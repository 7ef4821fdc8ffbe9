"""A call as output: the motion of the camera's face in a few bytes a picture, for which nothing is rendered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch

from vid2vid_cli.call.encode import CountedFile
from vid2vid_cli.call.sender import Sender
from vid2vid_cli.errors import NoFaceError, UsageError
from vid2vid_cli.live.kinds import OutputContext
from vid2vid_cli.live.recordings import Pacer
from vid2vid_cli.media.files import open_scratch
from vid2vid_cli.media.publishing import publish
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Reference
from vid2vid_cli.pipeline.driving.live import LiveDriving
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.live_reader import LiveReading


@dataclass(kw_only=True, eq=False)
class CameraDriving(LiveDriving):
    """What the sender of a call knows of a camera, whose pictures are read elsewhere."""

    def arriving(self) -> Iterator[DrivenFrame]:
        """Yield nothing: readings are handed over one by one."""
        return iter(())

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Refuse: what is live cannot be searched."""
        raise UsageError(f"--reference-frame {frame}: the pictures of {self.path} are live, not known beforehand")

    def no_face(self) -> NoFaceError:
        """Return the error for a camera that never showed a face."""
        return NoFaceError(f"{self.path}: showed no face while the call was recorded")


class CallRecording:
    """Writes readings into a call file, at a steady rate."""

    def __init__(self, path: Path, engine: Engine, source: str | Path, context: OutputContext) -> None:
        """Begin a call whose picture is the portrait. source: its path."""
        self._path, self._writing = path, context.writing
        self._pacer = Pacer(context.fps)
        self._open = ExitStack()
        scratch = self._open.enter_context(closing(open_scratch(path)))
        self._part = scratch.file(f"call{path.suffix}")
        self._file = self._open.enter_context(self._part.open("wb"))
        encoding = EncodeOptions(source=str(Path(source).absolute()), live=True, smooth=0.0, size=context.options.size)
        camera = CameraDriving(path=Path("the camera"), fps=context.fps)
        self._sender = Sender(engine, camera, encoding, CountedFile(self._file, flushes=False).put)

    @torch.inference_mode()
    def take(self, reading: LiveReading) -> None:
        """Send a reading, and for pictures that were dropped before it, that the last motion holds."""
        driven = reading.driven
        for left in reversed(range(self._pacer.copies(reading.time_s))):
            self._sender.take(DrivenFrame(driven.motion, driven.found and not left, None))

    def close(self) -> None:
        """Finish the file and publish it. NoFaceError if there was never a face."""
        with self._open:
            self._sender.end()
            self._file.close()
            publish(self._part, self._path, self._writing.provenance, force=self._writing.force)
