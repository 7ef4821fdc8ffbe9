"""The pictures of a clip: cut into shots, and without the zooms of its camera."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vid2vid_cli.arrays import Frame
from vid2vid_cli.media.video import ReadOptions, VideoInfo, read_video
from vid2vid_cli.models.registry import load_person_matte
from vid2vid_cli.pipeline.driving.shots import number_shots
from vid2vid_cli.pipeline.driving.zoom import without_zoom
from vid2vid_cli.process.streaming import prefetch

PREFETCHED = 4  # decoded frames that wait while the networks are at work


@dataclass(frozen=True)
class Clip:
    """A video file to decode. reading: which part of it. info: what `probe_video` found. keeps_zoom: leave zooms."""

    path: Path
    reading: ReadOptions
    info: VideoInfo
    keeps_zoom: bool

    def shots(self, warn: Callable[[str], None] | None = None, step: int = 1) -> Iterator[tuple[int, Frame]]:
        """Decode every `step`th frame, with the number of its shot; where the camera zooms, the zoom is undone.

        warn: takes lines about damage and zooms; None tells of damage alone.
        """
        reading = self.reading if warn is None else replace(self.reading, warn=warn)
        # The frames in between have to be decoded all the same: a clip is stored as changes from frame to frame.
        numbered = number_shots(prefetch(read_video(self.path, reading, self.info), PREFETCHED))
        if not self.keeps_zoom:
            numbered = without_zoom(numbered, load_person_matte().of_frame, partial(self._tell_zoom, warn))
        return itertools.islice(numbered, 0, None, step)

    def pictures(self, step: int = 1) -> Iterator[Frame]:
        """Decode every `step`th frame as `shots` does, and tell of damage alone."""
        return (picture for _, picture in self.shots(step=step))

    def _tell_zoom(self, warn: Callable[[str], None] | None, frame: int) -> None:
        if warn is not None:
            when = f"frame {frame} ({float(frame / (self.reading.fps or self.info.fps)):.2f} s)"
            warn(f"{self.path}: the camera zooms from {when} on; the head keeps its size")
