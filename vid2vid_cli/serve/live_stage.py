"""One live picture: what a client orders is done, and each picture of its camera is answered with one."""

from __future__ import annotations

import io
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError, UsageError, Vid2VidError, describe_failure, one_line
from vid2vid_cli.media.image import encode_jpeg
from vid2vid_cli.pipeline.background import names_file
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.live_controls import LiveControls
from vid2vid_cli.pipeline.live_label import with_label
from vid2vid_cli.pipeline.live_portrait import LivePortrait
from vid2vid_cli.pipeline.live_reader import LiveReading
from vid2vid_cli.pipeline.options import EngineOptions, PictureOptions
from vid2vid_cli.serve.live_inbox import CameraFrame

JPEG_QUALITY = 85
COUNTED_S = 2.0
MOST_CAMERA_PX = 4_000_000
STALE_S = 0.5
"""After so long without a picture of the camera, other controls are shown on the last one."""
_NUMBERS = ("yaw", "pitch", "roll", "strength", "smooth")
_FLAGS = ("relative", "mirror", "is_frozen", "is_paused")
_TEXTS = ("gaze", "region")


class LiveStage:
    """Keeps the engine from portrait to portrait. send: sends messages to the server, all or none of them."""

    def __init__(self, engine: Sequence[str], send: Callable[..., None]) -> None:
        """Load the networks. engine: checkpoint, device, dtype, detector."""
        checkpoint, device, dtype, detector = engine
        kinds: Any = {"checkpoint": checkpoint, "device": device, "dtype": dtype, "detector": detector}
        self._engine = start_engine(EngineOptions(threads=1, **kinds), None)
        self._send = send
        self._portrait: LivePortrait | None = None
        self._camera = Camera()

    def play(self, orders: Sequence[Mapping[str, Any]], frame: CameraFrame | None, *, dropped: int) -> None:
        """Follow orders, then render a picture if there is something new to see. dropped: pictures so far."""
        is_changed = False
        for order in orders:
            try:
                is_changed |= self._follow(order)
            except Exception as error:  # noqa: BLE001  the client is told
                self._fail(error, is_final=order["type"] == "start" or not isinstance(error, Vid2VidError))
        if self._portrait is None:
            return
        try:
            self._show(self._portrait, frame, is_changed=is_changed, dropped=dropped)
        except Exception as error:  # noqa: BLE001  as above
            self._fail(error, is_final=not isinstance(error, Vid2VidError))

    def _fail(self, error: Exception, *, is_final: bool) -> None:
        text, code = describe_failure(error)
        kind = "error" if is_final else "warning"
        self._send({"type": kind, kind: one_line(text), "code": code})

    def _warn(self, text: str) -> None:
        self._send({"type": "warning", "warning": one_line(text)})

    def _follow(self, order: Mapping[str, Any]) -> bool:
        """Do what is ordered. Returns whether the picture has to be rendered again."""
        kind = order["type"]
        if kind in ("start", "end"):
            self._close()
            if kind == "end":
                self._send({"type": "ended"})
                return False
            self._portrait = self._open(order)
            height, width = self._portrait.size
            self._send({"type": "ready", "width": width, "height": height})
            self._send(as_jpeg(self._portrait.still()))
            self._portrait.warm_up()  # while the client looks at it
            return False
        if self._portrait is None:
            return False
        if kind == "reference":
            self._portrait.take_reference()
        elif kind == "stop_camera":
            self._camera = Camera()
            return True
        elif kind == "controls":
            self._portrait.controls = changed(self._portrait.controls, order)
            return True
        return False

    def _open(self, order: Mapping[str, Any]) -> LivePortrait:
        self._camera = Camera()
        options = PictureOptions(face=order["face"], size=order["size"], max_pixels=order["max_pixels"])
        return LivePortrait(self._engine, [order["source"]], options, self._warn)

    def _close(self) -> None:
        if self._portrait is not None:
            self._portrait.close()
            self._portrait = None

    def _show(self, portrait: LivePortrait, frame: CameraFrame | None, *, is_changed: bool, dropped: int) -> None:
        camera, controls, now_s = self._camera, portrait.controls, time.perf_counter()
        if frame is not None and not controls.is_paused:
            picture = decode_jpeg(frame.jpeg)
            camera.reading = portrait.read(picture, frame.arrived_s)
            camera.seen(frame.arrived_s)
            self._answer(portrait.render(camera.reading), frame.number, frame.arrived_s, dropped)
        elif is_changed and camera.reading is None:
            self._answer(portrait.still(), -1, now_s, dropped)
        elif is_changed and camera.reading is not None and now_s - camera.last_s > STALE_S:
            self._answer(portrait.render(camera.reading), -1, now_s, dropped)

    def _answer(self, rendered: Frame, number: int, began_s: float, dropped: int) -> None:
        jpeg, reading = as_jpeg(rendered), self._camera.reading
        facts = {
            "type": "frame",
            "number": number,
            "fps": round(self._camera.fps, 1),
            "server_ms": round(1000 * (time.perf_counter() - began_s), 1),
            "dropped": dropped,
            "faces": 0 if reading is None else reading.faces,
            "is_held": reading is not None and not reading.driven.found,
        }
        self._send(facts, jpeg)


@dataclass
class Camera:
    """What is known of the camera. reading: of its last picture; None while it is off. last_s: when that came."""

    reading: LiveReading | None = None
    last_s: float = -math.inf

    def __post_init__(self) -> None:
        self._times_s: deque[float] = deque()

    def seen(self, time_s: float) -> None:
        """Note that a picture was shown that came at this time."""
        self.last_s = time_s
        self._times_s.append(time_s)
        while self._times_s[0] < time_s - COUNTED_S:
            self._times_s.popleft()

    @property
    def fps(self) -> float:
        """How many pictures a second were shown lately."""
        times_s = self._times_s
        return (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0


def as_jpeg(rendered: Frame) -> bytes:
    """Return a live picture as the client gets it: with the word that says what it is."""
    return encode_jpeg(with_label(rendered), JPEG_QUALITY)


def decode_jpeg(jpeg: bytes) -> Frame:
    """Decode a camera's picture, which is JPEG and nothing else. MediaError if it is damaged or of no such kind."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as opened:
            if opened.width * opened.height > MOST_CAMERA_PX:
                raise MediaError(f"the camera's picture has more than {MOST_CAMERA_PX} pixels; choose a smaller size")
            return np.asarray(opened.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"the camera's picture is no whole JPEG: {error}") from error


def changed(controls: LiveControls, order: Mapping[str, Any]) -> LiveControls:
    """Return controls with those replaced that an order names. UsageError for a value of the wrong type.

    `background_path` names a file of the server's.
    """
    changes: dict[str, Any] = {}
    for name, value in order.items():
        if name in _NUMBERS and isinstance(value, (int, float)) and not isinstance(value, bool):
            changes[name] = float(value)
        elif (name in _FLAGS and isinstance(value, bool)) or (
            name in _TEXTS and (value is None or isinstance(value, str))
        ):
            changes[name] = value
        elif name == "expressions":
            changes[name] = _expressions(value)
        elif name == "background" and isinstance(value, str) and not names_file(value):
            changes[name] = value
        elif name == "background_path":
            changes["background"] = value
        elif name != "type":
            raise UsageError(f"controls: {name}: {str(value)[:60]} makes no sense; see docs/serve.md")
    return replace(controls, **changes)


def _expressions(given: object) -> str | None:
    """Return expressions as --expression has them, from that text or from weights by name."""
    if isinstance(given, Mapping):
        return ",".join(f"{name}={weight}" for name, weight in given.items()) or None
    if given is None or isinstance(given, str):
        return given or None
    raise UsageError('controls: expressions: write weights by name, such as {"jawOpen": 0.4}')
