"""Send the frames of a driving without looking ahead: a live call and a file give the same packets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.call.patches import WHOLE_BYTES, PatchChooser
from vid2vid_cli.codec.beside import Beside
from vid2vid_cli.codec.header import StreamHeader
from vid2vid_cli.codec.packets import FRAMES, Kind
from vid2vid_cli.codec.quantizer import Scales
from vid2vid_cli.codec.space import MotionSpace, Numbers
from vid2vid_cli.codec.stream import StreamWriter
from vid2vid_cli.errors import NoFaceError, UsageError
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.image import encode_picture
from vid2vid_cli.media.ogg import RATE, OpusPacket
from vid2vid_cli.models.base import shape_of
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Driving
from vid2vid_cli.pipeline.driving.call_file import space_of
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.finite import require_finite_motion
from vid2vid_cli.pipeline.options import PictureOptions
from vid2vid_cli.pipeline.output import fit_size
from vid2vid_cli.pipeline.parsing import is_index
from vid2vid_cli.pipeline.source import Source
from vid2vid_cli.smoothing import MotionSmoother

STEPS_PX = {"high": 0.03, "medium": 0.1, "low": 0.4}
"""By how many pixels, in a crop of 256, one step of any number moves the points of a face on average."""


def step_of(options: EncodeOptions) -> float:
    """Return the pixels that one step moves the points by."""
    return options.step or STEPS_PX[options.rate]


@dataclass(frozen=True)
class KeyPicture:
    """The picture that a receiver animates.

    motion: what the picture shows, or what counts as that; None for the first motion of the driving. landmarks_px:
    (470, 3), of the face in the camera's frame that it is; None if it is no frame of the camera.
    """

    frame: Frame  # at the size in which it is sent
    motion: Motion | None
    landmarks_px: Points | None = None


class Sender:
    """Turns driven frames into packets."""

    def __init__(
        self,
        engine: Engine,
        clip: Driving,
        options: EncodeOptions,
        put: Callable[[bytes], None],
        sound: Iterator[bytes | OpusPacket] | None = None,
    ) -> None:
        """Choose the picture.

        put: takes the bytes of each packet. sound: the description of the sound, then its packets.
        """
        self._engine, self._clip, self._options, self._put = engine, clip, options, put
        self._chosen = None if options.source is None else choose_picture(options.source, clip, options, engine)
        self._smoother = MotionSmoother(options.smooth, float(clip.fps)) if options.smooth else None
        self._sound = sound
        self._next_sound: OpusPacket | None = None
        self._patches: PatchChooser | None = None
        self._stream: _Stream | None = None
        self.frames, self.held = 0, 0
        self.size = (0, 0)

    def take(self, driven: DrivenFrame) -> None:
        """Send one frame. Before the first face, frames are only counted, since there is no picture to send yet."""
        if not driven.found:
            self.held += 1
            if self._options.on_missing == "fail":
                raise NoFaceError(
                    f"{self._clip.path}: no face in frame {self.frames}; --on-missing hold keeps the last motion"
                )
        if driven.motion is not None:
            stream = self._stream or self._begin(driven, driven.motion)
            # Sound goes ahead of the frame that it is heard with, so that a receiver never waits for it.
            self._send_sound(stream, self.frames / self._clip.fps)
            # Held motions are smoothed as well: the filter must see every frame at its time.
            smooth = driven.motion if self._smoother is None else self._smoother(driven.motion)
            require_finite_motion(smooth, self._clip.path)
            stream.send(smooth if driven.found else None)
            # After the frame, which must not wait.
            self._send_patch(stream, driven, smooth)
        self.frames += 1

    def end(self) -> None:
        """Send what remains. NoFaceError if no face was seen at all."""
        if self._stream is None:
            raise self._clip.no_face()
        self._send_sound(self._stream, None)
        self._stream.writer.end()

    def _begin(self, driven: DrivenFrame, motion: Motion) -> _Stream:
        """Send the header and the picture, then a hold for every frame that went by without a face."""
        picture = self._chosen or _key_picture(driven, motion, self._clip, self._options.size)
        shown = motion if picture.motion is None else picture.motion
        self.size = picture.frame.shape[0], picture.frame.shape[1]
        self._stream = stream = _open_stream(self._engine, shown, self._header, self._put, self._options)
        stream.writer.picture(encode_picture(picture.frame, self._options.key_quality), stream.numbers(shown))
        if driven.picture is not None and picture.landmarks_px is not None and self._options.patches != 0:
            scale = self.size[1] / driven.picture.shape[1], self.size[0] / driven.picture.shape[0]
            self._patches = PatchChooser(picture.landmarks_px, scale)
        # The header needs the shape of a motion, so it could not be sent before the first face.
        for _ in range(self.frames):
            stream.send(None)
        # A decoder of the sound needs its description before the first packet of sound.
        if self._sound is not None:
            description = next(self._sound, None)
            if isinstance(description, bytes):
                stream.writer.sound(description)
        return stream

    def _send_patch(self, stream: _Stream, driven: DrivenFrame, motion: Motion) -> None:
        """Send what is new in a frame, or was in an earlier one, once there are bytes for it."""
        if self._patches is None or driven.picture is None or driven.landmarks_px is None:
            return
        self._patches.see(self.frames, driven.picture, driven.landmarks_px, stream.numbers(motion))
        candidate = self._patches.next(self._patch_bytes(stream.writer))
        if candidate is not None:
            stream.writer.patch(candidate.frame, candidate.patch)

    def _patch_bytes(self, writer: StreamWriter) -> float:
        """Return how many bytes a patch may have now."""
        sent, frames = writer.sizes, self.frames + 1
        if self._options.patches is not None:
            return self._options.patches * float(frames / self._clip.fps) - sent[Kind.PATCH] - PATCH_FRAMING
        return WHOLE_BYTES * frames - sum(sent[kind] for kind in MOVING) - PATCH_FRAMING

    def _header(self, space: MotionSpace) -> StreamHeader:
        loaded, options = self._engine.loaded, self._options
        return StreamHeader(
            family=loaded.family.name,
            checkpoint=_digest(loaded.sha256),
            basis_id=space.basis_id,
            fps=self._clip.fps,
            size=self.size,
            keypoints=space.keypoints,
            expression_count=space.expression_count,
            extra_shape=space.extra_shape or (),
            scales=Scales.design(space, step_of(options)),
        )

    def _send_sound(self, stream: _Stream, until_s: Fraction | None) -> None:
        """Send the sound that begins up to a time, or with None all that is left."""
        while self._sound is not None:
            # Taken from the iterator but not due yet, a packet waits in `_next_sound`.
            packet = self._next_sound or next(self._sound, None)
            if not isinstance(packet, OpusPacket):
                self._sound = None
                return
            self._next_sound = packet
            if until_s is not None and packet.time > until_s * RATE:
                return
            stream.writer.audio(packet.time, packet.data)
            self._next_sound = None


MOVING = (*FRAMES, Kind.BESIDE, Kind.PATCH)
PATCH_FRAMING = 100  # bytes of a patch's packet around its picture, at most: its place, its motion, its checksum


@dataclass(frozen=True)
class _Stream:
    """A stream that has begun.

    shape: (1, K, 3), what belongs to the sender's face and not to its movement. It is left out of every motion, so
    that the receiver can drive another face.
    """

    writer: StreamWriter
    space: MotionSpace
    shape: torch.Tensor

    def numbers(self, motion: Motion) -> Numbers:
        moved: Numbers = self.space.numbers(replace(motion, expression=motion.expression - self.shape))[0]
        return moved

    def send(self, motion: Motion | None) -> None:
        self.writer.frame(None if motion is None else self.numbers(motion))


def _open_stream(
    engine: Engine,
    shown: Motion,
    header: Callable[[MotionSpace], StreamHeader],
    put: Callable[[bytes], None],
    options: EncodeOptions,
) -> _Stream:
    """Begin a stream. shown: the motion of the picture, whose tensors have the shapes of all that follow."""
    model = engine.loaded.model
    space = space_of(model, shown.expression.shape[1], None if shown.extra is None else tuple(shown.extra.shape[1:]))
    shape = shape_of(model, shown)
    beside = None
    if space.beside is not None:
        beside = Beside(space.beside.identity, Scales.design_beside(space.beside, step_of(options)))
    return _Stream(StreamWriter(put, header(space), options.key_interval, beside), space, shape)


def choose_picture(wanted: str, clip: Driving, options: EncodeOptions, engine: Engine) -> KeyPicture:
    """Return the picture that --source names: a frame of the driving by its number, or a picture file."""
    if is_index(wanted):
        return _picture_of_frame(int(wanted), clip, options)
    source = Source(Path(wanted), PictureOptions(size=options.size, max_pixels=options.max_pixels), engine, print)
    if source.is_video:
        raise UsageError(f"--source {wanted}: is a video; give a picture, or a frame number of the driving")
    still = next(source.frames())
    if options.live:  # nothing to search: the first motion that comes counts as the picture's
        return KeyPicture(still.frame, None)
    own = source.first_appearance().motion
    return KeyPicture(still.frame, clip.find_reference(engine.loaded.model, own, "auto").motion)


def _picture_of_frame(wanted: int, clip: Driving, options: EncodeOptions) -> KeyPicture:
    seen = 0
    for index, driven in enumerate(clip.frames()):
        seen = index + 1
        if index == wanted:
            if driven.motion is None or not driven.found:
                raise NoFaceError(f"{clip.path}: no face in frame {wanted}; choose another --source")
            return _key_picture(driven, driven.motion, clip, options.size)
    raise UsageError(f"--source {wanted}: the driving has frames 0 to {(clip.count or seen) - 1}")


def _key_picture(driven: DrivenFrame, motion: Motion, clip: Driving, size: int | None) -> KeyPicture:
    return KeyPicture(_sized(_picture_of(driven, clip), size), motion, driven.landmarks_px)


def _picture_of(driven: DrivenFrame, clip: Driving) -> Frame:
    if driven.picture is None:
        raise UsageError(f"{clip.path}: holds no picture to send; give one with --source")
    return driven.picture


def _sized(frame: Frame, longer_px: int | None) -> Frame:
    return frame if longer_px is None else resize_frame(frame, fit_size(frame.shape[:2], longer_px))


def _digest(sha256: str) -> bytes:
    """Return the 32 bytes of a checkpoint's sha256; for one of several files, whose hashes are joined, their hash."""
    try:
        digest = bytes.fromhex(sha256)
    except ValueError:
        digest = b""
    return digest if len(digest) == 32 else hashlib.sha256(sha256.encode()).digest()
