"""Video devices of Linux that are plain files, for processes that a test starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

OUTPUT, CAMERA, WRITES = 2, 1, 0x01000000
SOURCE = Path(__file__).with_name("fake_video_device.c")


@dataclass(frozen=True)
class Device:
    """What a device answers. code: the only layout that it takes; 0: what is asked for, or no error."""

    driver: str = "v4l2 loopback"
    card: str = "vid2vid"
    capabilities: int = OUTPUT | WRITES
    code: str = "?"
    width: int = 0
    height: int = 0
    row_bytes: int = 0
    format_error: int = 0
    write_error: int = 0

    def setting(self) -> str:
        driver, card, capabilities, *others = astuple(self)
        return "|".join(map(str, [driver, card, f"{capabilities:x}", *others]))


class VideoFolder:
    """A folder in place of /dev. environment: what a process needs to see its devices."""

    def __init__(self, path: Path) -> None:
        self.path = path
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not sys.platform.startswith("linux") or compiler is None:
            pytest.skip("needs Linux and a C compiler")
        path.mkdir()
        library = path.with_suffix(".so")
        built = subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], capture_output=True, text=True, check=False
        )
        if "linux/videodev2.h" in built.stderr:
            pytest.skip("needs the kernel's headers: linux-libc-dev")
        assert built.returncode == 0, built.stderr
        self.environment = {"LD_PRELOAD": str(library), "VIDEO_FOLDER": str(path)}

    def add(self, number: int, device: Device | None = None) -> Path:
        path = self.path / f"video{number}"
        path.touch()
        self.environment[f"VIDEO_{number}"] = (device or Device()).setting()
        return path

    def run(self, code: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run Python code that sees these devices."""
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **self.environment},
        )
