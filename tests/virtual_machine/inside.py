"""Runs inside the virtual machine: fills real video devices of the kernel and reads back what other programs see."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from imageio_ffmpeg import get_ffmpeg_exe

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.virtual_camera.camera import VirtualCamera, open_virtual_camera
from vid2vid_cli.media.virtual_camera.v4l2 import LOOPBACK as LOOPBACK_DRIVER
from vid2vid_cli.media.virtual_camera.v4l2 import video_devices

LOOPBACK = Path("/dev/video10")
Frame = npt.NDArray[np.uint8]


def bars(size: tuple[int, int]) -> Frame:
    """Draw four bars: red, green, blue, grey; (H, W, 3)."""
    frame = np.full((*size, 3), 128, np.uint8)
    for k, colour in enumerate(((200, 40, 40), (40, 200, 40), (40, 40, 200))):
        frame[:, size[1] * k // 4 : size[1] * (k + 1) // 4] = colour
    return frame


@contextmanager
def shown(frame: Frame, camera: VirtualCamera) -> Iterator[None]:
    """Show a frame over and over, as a running program does."""
    is_over = threading.Event()

    def show() -> None:
        while not is_over.is_set():
            camera.write(frame)
            time.sleep(0.05)

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def read(path: Path, size: tuple[int, int]) -> Frame:
    """Read two frames from a camera by ffmpeg, as any other program would; return the second."""
    arguments = ["-v", "error", "-f", "v4l2", "-i", str(path), "-frames:v", "2", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    done = subprocess.run([get_ffmpeg_exe(), *arguments, "-"], capture_output=True, check=True, timeout=240)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, *size, 3)[-1]


def looks_like(seen: Frame, frame: Frame) -> bool:
    return float(np.abs(seen.astype(int) - frame).mean()) < 3


def show_on_vivid() -> None:
    """Show pictures on the kernel's own test driver, which refuses those that are written to it: see README.md."""
    output = next(each for each in video_devices() if each.driver == "vivid" and each.is_output)
    camera = open_virtual_camera(str(output.path), (240, 320), Fraction(25))
    taken = refused = 0
    for _ in range(20):
        try:
            taken += camera.write(bars((240, 320)))
        except MediaError:
            refused += 1
        time.sleep(0.05)
    camera.close()
    print(f"vivid: {camera.name} agrees to {camera.size}, takes {taken} and refuses {refused} of 20 pictures")


def main() -> None:
    print("kernel", os.uname().release)
    for device in video_devices():
        print(device)
    assert [each.path for each in video_devices() if each.driver == LOOPBACK_DRIVER and each.is_output] == [LOOPBACK]

    for size in ((240, 320), (512, 512)):  # the first is not a whole number of pages
        camera = open_virtual_camera(str(LOOPBACK), size, Fraction(25))
        assert camera.size == size, camera.size
        frame = bars(size)
        with shown(frame, camera):
            seen = read(LOOPBACK, size)
            assert looks_like(seen, frame), "the picture that was read is not the one that was shown"
            try:
                open_virtual_camera(str(LOOPBACK), size, Fraction(25))
                raise AssertionError("two programs fill one camera")
            except MediaError as error:
                print("a second program:", error)
                assert "another program fills it" in str(error)
        camera.close()
        print(f"loopback {size}: shown and read back")

    show_on_vivid()
    print("virtual camera: all well")


if __name__ == "__main__":
    sys.exit(main())
