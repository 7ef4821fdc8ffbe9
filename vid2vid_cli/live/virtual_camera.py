"""Live pictures as a camera that other programs see, such as those for calls."""

from __future__ import annotations

from fractions import Fraction

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.compositing import contain
from vid2vid_cli.live.outputs import LiveStatus
from vid2vid_cli.media.virtual_camera.camera import open_virtual_camera

NAME = "camera"


def device_of(name: str) -> str | None:
    """Return which device an output names: "camera:/dev/video10" one, "camera" the first that is free."""
    return name.partition(":")[2] or None


class CameraOutput:
    """A virtual camera. A `LiveOutput`."""

    needs_main_thread = False
    idle_s: float | None = 0.1  # whoever opens the camera later waits for a picture

    def __init__(self, device: str | None, size: tuple[int, int], fps: Fraction) -> None:
        """Open a device, None for the first that is free, for pictures of a size (height, width). See `LiveOutput`."""
        self._camera = open_virtual_camera(device, size, fps)
        self._size = self._camera.size

    def write(self, frame: Frame, status: LiveStatus) -> None:
        """Show a picture (H, W, 3), with black bars where the camera insists on another shape."""
        self._camera.write(contain(frame, self._size))

    def close(self) -> None:
        """Let go of the device."""
        self._camera.close()
