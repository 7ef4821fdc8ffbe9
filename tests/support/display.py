"""A screen of its own for what a test starts: Xvfb, keys by xdotool, pictures of the screen by ffmpeg."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from vid2vid_cli.media.ffmpeg import executable

SIZE = (768, 1024)  # (height, width)
DELETE_WINDOW = 33  # ClientMessage


class ClientMessage(ctypes.Structure):
    """XClientMessageEvent of X11, filled up to the size of XEvent."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("rest", ctypes.c_long * 24),
    )


class Display:
    """A running screen. environment: what a process needs to use it."""

    def __init__(self, name: str) -> None:
        self.name, self.environment = name, {"DISPLAY": name, "WAYLAND_DISPLAY": "", "SDL_VIDEODRIVER": "x11"}
        self.run("mousemove", SIZE[1] // 2, SIZE[0] // 2)  # without a window manager, keys go where the mouse is

    def run(self, *words: object) -> str:
        """Run xdotool; return what it says, nothing if it fails."""
        command = ["xdotool", *map(str, words)]
        environment = {**os.environ, "DISPLAY": self.name}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout.strip()

    def window(self) -> str:
        """Return the number of the window in the middle, nothing if there is none."""
        place = dict(line.split("=") for line in self.run("getmouselocation", "--shell").splitlines())
        return place.get("WINDOW", "") if self.run("getwindowname", place.get("WINDOW", "0")) else ""

    def title(self) -> str:
        return self.run("getwindowname", self.window() or "0")

    def press(self, *keys: str) -> None:
        self.run("key", "--delay", "40", *keys)

    def resize(self, size: tuple[int, int]) -> None:
        """Give the window a size (height, width), in the middle of the screen."""
        window, (height, width) = self.window(), size
        left, top = (SIZE[1] - width) // 2, (SIZE[0] - height) // 2
        self.run("windowmove", window, left, top, "windowsize", window, width, height)

    def picture(self) -> npt.NDArray[np.uint8]:
        """Return what is on the screen (H, W, 3)."""
        grab = ["-v", "error", "-f", "x11grab", "-draw_mouse", "0", "-video_size", f"{SIZE[1]}x{SIZE[0]}"]
        out = ["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        done = subprocess.run([executable(), *grab, "-i", self.name, *out], capture_output=True, check=True)
        return np.frombuffer(done.stdout, np.uint8).reshape(*SIZE, 3)

    def window_picture(self) -> npt.NDArray[np.uint8]:
        """Return what is in the window in the middle (H, W, 3)."""
        found = dict(line.split("=") for line in self.run("getwindowgeometry", "--shell", self.window()).splitlines())
        left, top, width, height = (int(found[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))
        return self.picture()[top : top + height, left : left + width]

    def close_window(self) -> None:
        """Ask the window to close, as the cross of a window manager does."""
        x11 = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self.name.encode()))
        atoms = [x11.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")]
        window = int(self.window())
        message = ClientMessage(DELETE_WINDOW, 0, 1, None, window, atoms[0], 32, (ctypes.c_long * 5)(atoms[1]))
        x11.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
        x11.XCloseDisplay(display)


@contextlib.contextmanager
def screen() -> Iterator[Display]:
    """Start a screen, on a number that is free."""
    missing = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
    if missing or not sys.platform.startswith("linux"):
        pytest.skip(f"needs Linux and {' and '.join(missing)}")
    reading, writing = os.pipe()
    screen_size = f"{SIZE[1]}x{SIZE[0]}x24"
    # Without -noreset it begins anew whenever the last program leaves, and turns the next one away for a moment.
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", screen_size, "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()
        if not number:
            pytest.skip("Xvfb does not start")
        yield Display(f":{number}")
    finally:
        server.terminate()
        server.wait(10)


def seen_within(display: Display, child: subprocess.Popen[str], seconds: float = 240) -> None:
    """Wait until a process shows a window."""
    deadline = time.monotonic() + seconds
    while not display.window():
        if time.monotonic() > deadline or child.poll() is not None:
            child.kill()
            raise AssertionError(child.communicate())
        time.sleep(0.1)
