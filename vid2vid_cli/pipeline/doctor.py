"""Check that everything vid2vid needs is there and works; what is broken must not keep the rest from being checked."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module, metadata
from pathlib import Path

from vid2vid_cli.process.scratch import Scratch
from vid2vid_cli.version import __version__

OLDEST_PYTHON = (3, 10)
NEEDED = ("numpy", "numba", "pillow", "safetensors", "imageio-ffmpeg", "typer", "rich")
FREE_MB = 200


@dataclass(frozen=True)
class Check:
    """One thing looked at. found: what there is, or what is wrong. cure: how to mend it, where it is not ok."""

    name: str
    ok: bool
    found: str
    cure: str = ""


@dataclass(frozen=True)
class Examination:
    """How one check is made. look: returns what is found and raises whatever it likes where something is wrong."""

    name: str
    look: Callable[[], str]
    cure: str

    def make(self) -> Check:
        """Look; any failure at all is a finding."""
        try:
            return Check(self.name, True, self.look())
        except Exception as error:  # noqa: BLE001  a broken installation may raise anything
            words = str(error) or type(error).__name__
            return Check(self.name, False, words.splitlines()[0], self.cure)


class UnwellError(Exception):
    """What a look found wrong, in words."""


def examine() -> list[Check]:
    """Check versions, devices, ffmpeg, the checkpoint and the folders that are written to."""
    return [examination.make() for examination in _examinations()]


def _examinations() -> list[Examination]:
    reinstall = "install vid2vid again: pip install --force-reinstall vid2vid"
    return [
        Examination("python", _python, f"install Python {_dotted(OLDEST_PYTHON)} or newer and vid2vid for it"),
        Examination("vid2vid", lambda: f"{__version__} in {Path(__file__).parents[1]}", reinstall),
        Examination("torch", _torch, "pip install --force-reinstall torch"),
        *(Examination(name, _package(name), f"pip install --force-reinstall {name}") for name in NEEDED),
        Examination("devices", _devices, "pip install --force-reinstall torch"),
        Examination("cores", _cores, "give the process at least one core"),
        Examination(
            "ffmpeg", _ffmpeg, "pip install --force-reinstall imageio-ffmpeg, or name one in IMAGEIO_FFMPEG_EXE"
        ),
        *(
            Examination(f"encoder {codec}", _encoder(suffix), f"name an ffmpeg that has {codec} in IMAGEIO_FFMPEG_EXE")
            for codec, suffix in (("libx264", ".mp4"), ("libvpx-vp9", ".webm"))
        ),
        Examination("checkpoint", _checkpoint, reinstall),
        Examination("pulled weights", _pulled, "vid2vid weights pull NAME fetches them again"),
        Examination("example", _example, reinstall),
        Examination("numba cache", _numba_cache, "set NUMBA_CACHE_DIR to a folder that may be written"),
        Examination("temporary folder", _temporary, "free some space there, or set TMPDIR to another folder"),
    ]


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _python() -> str:
    if sys.version_info < OLDEST_PYTHON:
        raise UnwellError(f"{platform.python_version()} is too old")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _torch() -> str:
    import torch

    if torch.ones(2, 2).matmul(torch.ones(2, 2)).sum().item() != 8:
        raise UnwellError(f"{torch.__version__} multiplies wrongly")
    return str(torch.__version__)


def _package(name: str) -> Callable[[], str]:
    """Make a look at a package: its version, and that it can be imported."""

    def look() -> str:
        import_module({"pillow": "PIL"}.get(name, name.replace("-", "_")))
        return metadata.version(name)

    return look


def _devices() -> str:
    import torch

    from vid2vid_cli.models.device import choose_device

    found = ["cpu"]
    found += [f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    found += ["mps"] if torch.backends.mps.is_available() else []
    return f"{', '.join(found)}; auto means {choose_device('auto')}"


def _cores() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{usable} usable of {os.cpu_count()}"


def _ffmpeg() -> str:
    from vid2vid_cli.media import ffmpeg

    return f"{_dotted(ffmpeg.version())} at {ffmpeg.executable()}"


def _encoder(suffix: str) -> Callable[[], str]:
    """Make a look at an encoder: a clip that it writes must be read back."""

    def look() -> str:
        import numpy as np

        from vid2vid_cli.media.video import WriteOptions, open_writer, read_video

        with Scratch(Path(tempfile.gettempdir()) / "doctor") as scratch:
            clip = scratch.file(f"clip{suffix}")
            with open_writer(clip, (64, 64), WriteOptions(fps=Fraction(25))) as writer:
                for level in (50, 100, 150):
                    writer.write(np.full((64, 64, 3), level, np.uint8))
            levels = [float(frame.mean()) for frame in read_video(clip)]
        if [round(level / 50) for level in levels] != [1, 2, 3]:
            raise UnwellError(f"a {suffix} of 3 grey frames came back as {len(levels)} frames of other colours")
        return f"writes {suffix}, and what it writes can be read"

    return look


def _checkpoint() -> str:
    from vid2vid_cli.checkpoints.cache import recorded_sha256
    from vid2vid_cli.checkpoints.reading import EMBEDDED, bundled_file, embedded_checkpoint
    from vid2vid_cli.models.registry import load_face_analyzer, load_model

    file = embedded_checkpoint()
    recorded = recorded_sha256(bundled_file("weights", "SHA256SUMS"), EMBEDDED)
    if file.sha256 != recorded:
        raise UnwellError(f"{file.path}: sha256 is {file.sha256}, but {recorded} is recorded")
    load_model()
    load_face_analyzer()
    megabytes = file.path.stat().st_size / 1e6
    return f"{file.path} ({megabytes:.1f} MB), sha256 {file.sha256} as recorded"


def _pulled() -> str:
    """Tell of what lies in the caches, without reading it: sizes and times tell."""
    from vid2vid_cli.pipeline.weights.inventory import list_weights

    here = [each for each in list_weights() if not each.checkpoint.is_embedded and each.path is not None]
    wrong = [each.problem for each in here if each.is_wrong]
    if wrong:
        raise UnwellError("; ".join(wrong))
    return ", ".join(f"{each.checkpoint.name} {each.state} ({each.path})" for each in here) or "none; none are needed"


def _example() -> str:
    from vid2vid_cli.checkpoints.reading import bundled_file
    from vid2vid_cli.pipeline.rotate import EXAMPLE

    return str(bundled_file("examples", EXAMPLE))


def _numba_cache() -> str:
    from vid2vid_cli.models.compact.mesh import rasterizer

    folder = Path(str(rasterizer._fill.stats.cache_path))
    return f"{folder}, {_write_into(folder)}"


def _temporary() -> str:
    import shutil

    folder = Path(tempfile.gettempdir())
    free_mb = shutil.disk_usage(folder).free // 10**6
    if free_mb < FREE_MB:
        raise UnwellError(f"{folder}: only {free_mb} MB are free")
    return f"{folder}, {_write_into(folder)}, {free_mb} MB free"


def _write_into(folder: Path) -> str:
    """Prove that a folder can be written to."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"vid2vid")
    return "can be written"
