"""A window that shows live pictures and takes keys. It needs pygame-ce, the extra `live`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError, UsageError, Vid2VidError, one_line
from vid2vid_cli.live.commands import Action, press
from vid2vid_cli.live.outputs import ClosedError, Deck, LiveStatus
from vid2vid_cli.live.overlay import Layer, Overlay, change_of
from vid2vid_cli.process.display import display_name

NAME = "window"
LARGEST = 0.85  # of the desktop, when the window opens
SMALLEST_PX = 240
REPEATING = frozenset(("left", "right", "up", "down", ",", ".", "+", "=", "-"))
"""Keys that act again while they are held."""
REPEAT_AFTER_MS, REPEAT_EVERY_MS = 400, 60
UNSEEN = ("dummy", "offscreen")  # what SDL falls back on where there is no display
INSTALL = "pip install 'vid2vid[live]'"


def check_window() -> None:
    """Raise UsageError or MediaError in one line if no window can be opened: no pygame-ce, or no display."""
    load_pygame()
    if display_name() is None:
        raise MediaError(no_display("neither DISPLAY nor WAYLAND_DISPLAY is set"))


def no_display(reason: str) -> str:
    """Return the line for a machine without a display."""
    return f"-o window: no display ({one_line(reason)}); leave the window out: -o camera, -o talk.mp4 or -o -"


def load_pygame() -> Any:
    """Import pygame-ce. UsageError where it is not installed."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")  # Ctrl-C belongs to the loop
    if sys.platform.startswith("linux"):
        # SDL would draw by OpenGL, for which a machine without a GPU takes a millisecond of its processor each time.
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
    try:
        metadata.version("pygame-ce")  # pygame itself has the same name and lacks some of what is called here
        return import_module("pygame")
    except (ImportError, metadata.PackageNotFoundError) as error:
        raise UsageError(f"-o window: pygame-ce does not load ({error}); {INSTALL}, or use -o camera") from error


class Window:
    """A window. A `LiveOutput` of the main thread; closing it ends the run if nothing else is shown."""

    needs_main_thread = True
    idle_s: float | None = 0.03  # how long a key may wait

    def __init__(self, deck: Deck, size: tuple[int, int], sources: Sequence[str]) -> None:
        """Open a window for pictures of a size (height, width). sources: the names of the portraits.

        MediaError or UsageError in one line where that cannot be.
        """
        check_window()
        self._pygame, self._deck, self._sources = load_pygame(), deck, sources
        self._overlay = Overlay(sources)
        self._held: set[int] = set()
        self._shown_layers: dict[int, tuple[Layer, Any]] = {}
        self._title, self._has_icon = "", False
        try:
            self._open(size)
        except self._pygame.error as error:
            self._pygame.display.quit()
            raise MediaError(no_display(str(error))) from error
        self._overlay.say("h shows the keys", time.monotonic())

    def _open(self, size: tuple[int, int]) -> None:
        display = self._pygame.display
        display.init()
        if display.get_driver() in UNSEEN and os.environ.get("SDL_VIDEODRIVER") not in UNSEEN:
            raise self._pygame.error("SDL finds none")
        width, height = display.get_desktop_sizes()[0]
        scale = min(1.0, LARGEST * width / size[1], LARGEST * height / size[0])
        opened = max(SMALLEST_PX, round(size[1] * scale)), max(SMALLEST_PX, round(size[0] * scale))
        self._entitle(0)
        self._pygame.display.set_mode(opened, self._pygame.RESIZABLE)
        display.set_allow_screensaver(True)
        self._pygame.key.set_repeat(REPEAT_AFTER_MS, REPEAT_EVERY_MS)

    def _entitle(self, source: int) -> None:
        title = f"{Path(self._sources[source]).name} - vid2vid live"
        if title != self._title:
            self._title = title
            self._pygame.display.set_caption(title)

    def write(self, frame: Frame, status: LiveStatus) -> None:
        """Take the keys that were pressed, and show a picture (H, W, 3). ClosedError once the window is closed."""
        try:
            for event in self._pygame.event.get():
                self._handle(event)
            self._draw(frame, status)
        except self._pygame.error as error:
            raise MediaError(f"-o window: {one_line(str(error))}") from error

    def _draw(self, frame: Frame, status: LiveStatus) -> None:
        self._entitle(status.controls.source)
        if not self._has_icon:
            self._set_icon(frame)
        surface = self._pygame.display.get_surface()
        width, height = surface.get_size()
        self._draw_picture(surface, frame)
        layers = self._overlay.layers((height, width), status, time.monotonic())
        for layer in layers:
            surface.blit(self._surface_of(layer), (layer.left, layer.top))
        shown = {id(layer.picture) for layer in layers}
        self._shown_layers = {key: value for key, value in self._shown_layers.items() if key in shown}
        self._pygame.display.flip()

    def _draw_picture(self, surface: Any, frame: Frame) -> None:
        """Draw a picture as large as the window allows, in its own shape, with black beside it."""
        width, height = surface.get_size()
        scale = min(width / frame.shape[1], height / frame.shape[0])
        size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
        if size != frame.shape[1::-1]:
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            frame = np.asarray(cv2.resize(frame, size, interpolation=how), np.uint8)
        if size != (width, height):
            surface.fill((0, 0, 0))
        picture = self._pygame.image.frombuffer(np.ascontiguousarray(frame), size, "RGB")
        surface.blit(picture, ((width - size[0]) // 2, (height - size[1]) // 2))

    def _surface_of(self, layer: Layer) -> Any:
        """Return what is drawn for a layer; most stay the same for many pictures."""
        known = self._shown_layers.get(id(layer.picture))
        if known is not None and known[0].picture is layer.picture:
            return known[1]
        height, width, channels = layer.picture.shape
        picture = np.ascontiguousarray(layer.picture)
        surface = self._pygame.image.frombuffer(picture, (width, height), "RGBA" if channels == 4 else "RGB")
        if channels == 4:
            surface = (
                surface.convert_alpha()
            )  # into the window's order of bytes: laid over it in a fraction of the time
        self._shown_layers[id(layer.picture)] = layer, surface
        return surface

    def _set_icon(self, frame: Frame) -> None:
        """Let the portrait itself be the window's icon."""
        side = min(frame.shape[:2])
        top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
        small = cv2.resize(frame[top : top + side, left : left + side], (64, 64), interpolation=cv2.INTER_AREA)
        self._pygame.display.set_icon(self._pygame.image.frombuffer(np.ascontiguousarray(small), (64, 64), "RGB"))
        self._has_icon = True

    def _handle(self, event: Any) -> None:
        if event.type == self._pygame.QUIT:
            raise ClosedError
        if event.type == self._pygame.KEYUP:
            self._held.discard(event.key)
        elif event.type == self._pygame.KEYDOWN:
            key, is_repeat = self._key_of(event), event.key in self._held
            self._held.add(event.key)
            if key in REPEATING or not is_repeat:
                self._press(key)

    def _key_of(self, event: Any) -> str:
        """Return a key as `live.commands` calls it: the character that it writes, or its name."""
        if event.mod & (self._pygame.KMOD_CTRL | self._pygame.KMOD_ALT | self._pygame.KMOD_META):
            return ""
        written = event.unicode.lower()
        named = str(self._pygame.key.name(event.key))
        return written if written.isprintable() and written.strip() else named

    def _press(self, key: str) -> None:
        """Do what a key means, and say in a line what that has changed."""
        before = self._deck.controls
        effect = press(key, before, self._deck.source_count)
        if effect is Action.QUIT:
            self._deck.quit()
        elif effect is Action.TOGGLE_OVERLAY:
            self._overlay.is_shown = not self._overlay.is_shown
        elif effect is Action.TAKE_REFERENCE:
            self._deck.take_reference()
        elif effect is not None and not isinstance(effect, Action) and effect != before:
            try:
                self._deck.controls = effect
                said = change_of(before, effect, self._sources)
            except Vid2VidError as error:
                said = str(error)
            self._overlay.say(said, time.monotonic())

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()
