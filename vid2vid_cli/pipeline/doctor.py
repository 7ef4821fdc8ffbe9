"""Check that everything vid2vid needs is installed and works. One broken part does not stop the other checks."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

from vid2vid_cli.pipeline.doctor_live import cameras, virtual_camera, window
from vid2vid_cli.process.numba_cache import is_writable
from vid2vid_cli.process.scratch import Scratch
from vid2vid_cli.version import __version__

if TYPE_CHECKING:
    from vid2vid_cli.checkpoints.reading import LoadedFile

OLDEST_PYTHON = (3, 10)
# By pip's names. torch has a check of its own, since it may be installed and not work.
NEEDED = ("numpy", "numba", "pillow", "safetensors", "imageio-ffmpeg", "typer", "rich", "cryptography")
HEADLESS = "opencv-python-headless"
# All of them write the same folder cv2, each over the files of the one before.
OPENCV_WHEELS = (HEADLESS, "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
FREE_MB = 200  # room for the intermediate files of a short clip


@dataclass(frozen=True)
class Check:
    """The result of one check. found: what there is, or what is wrong. cure: how to fix it, if it is not ok."""

    name: str
    ok: bool
    found: str
    cure: str = ""


@dataclass(frozen=True)
class Examination:
    """How to make one check. look: returns what it finds; raises anything if something is wrong."""

    name: str
    look: Callable[[], str]
    cure: str

    def make(self) -> Check:
        """Make the check. Any exception is a finding."""
        try:
            return Check(self.name, True, self.look())
        except Exception as error:  # noqa: BLE001  a broken installation may raise anything
            reason = str(error) or type(error).__name__
            return Check(self.name, False, reason.splitlines()[0], self.cure)


class CheckFailedError(Exception):
    """Something is wrong; the text says what."""


def examine() -> list[Check]:
    """Check versions, devices, ffmpeg, the checkpoint and the folders that are written to."""
    return [examination.make() for examination in _examinations()]


def _examinations() -> list[Examination]:
    reinstall = "install vid2vid again: pip install --force-reinstall vid2vid"
    return [
        Examination("python", _python, f"install Python {_dotted(OLDEST_PYTHON)} or newer and vid2vid with it"),
        Examination("vid2vid", lambda: f"{__version__} in {Path(__file__).parents[1]}", reinstall),
        Examination("torch", _torch, "pip install --force-reinstall torch"),
        *(Examination(name, _package(name), f"pip install --force-reinstall {name}") for name in NEEDED),
        Examination("opencv", _opencv, f"pip uninstall -y {' '.join(OPENCV_WHEELS)}; pip install {HEADLESS}"),
        Examination("devices", _devices, "pip install --force-reinstall torch"),
        Examination("cores", _cores, "give the process at least one core"),
        Examination(
            "ffmpeg", _ffmpeg, "pip install --force-reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE to another"
        ),
        *(
            Examination(f"encoder {codec}", _encoder(suffix), f"set IMAGEIO_FFMPEG_EXE to an ffmpeg that has {codec}")
            for codec, suffix in (("libx264", ".mp4"), ("libvpx-vp9", ".webm"))
        ),
        Examination("checkpoint", _checkpoint, reinstall),
        Examination("speech", _speech, reinstall),
        Examination("pulled weights", _pulled, "vid2vid weights pull NAME downloads them again"),
        Examination("example", _example, reinstall),
        Examination("numba cache", _numba_cache, "set NUMBA_CACHE_DIR to a folder that can be written"),
        Examination("signing key", _signing_key, "vid2vid credentials new makes a key that works"),
        Examination("cameras", cameras, "plug one in, or give a file with --camera"),
        Examination("virtual camera", virtual_camera, "vid2vid live shows pictures in a window or a file all the same"),
        Examination("window", window, "pip install --force-reinstall pygame-ce"),
        Examination("temporary folder", _temporary, "free some space there, or set TMPDIR to another folder"),
    ]


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _python() -> str:
    if sys.version_info < OLDEST_PYTHON:
        raise CheckFailedError(f"{platform.python_version()} is too old")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _torch() -> str:
    import torch  # here and below: a broken package must fail its own check, not the whole module

    if torch.ones(2, 2).matmul(torch.ones(2, 2)).sum().item() != 8:
        raise CheckFailedError(f"{torch.__version__} gives a wrong product")
    return str(torch.__version__)


def _package(name: str) -> Callable[[], str]:
    """Return a check that a package can be imported, which reports its version."""

    def look() -> str:
        # Two packages are imported under other names than pip's.
        import_module({"pillow": "PIL"}.get(name, name.replace("-", "_")))
        return metadata.version(name)

    return look


def _opencv() -> str:
    """Report which wheels of OpenCV are installed, of which there should be one, and that what they left works."""
    wheels = _versions_of(OPENCV_WHEELS)
    listed = " and ".join(f"{name} {version}" for name, version in wheels.items())
    if len(set(wheels.values())) > 1:
        raise CheckFailedError(f"{listed}: they have overwritten each other's files; keep one")
    import cv2
    import numpy as np

    if cv2.resize(np.full((4, 4), 100, np.uint8), (2, 2)).tolist() != [[100, 100], [100, 100]]:
        raise CheckFailedError(f"{cv2.__version__} resizes wrongly")
    warning = "; they share their files, so never uninstall one alone" if len(wheels) > 1 else ""
    return f"{listed or cv2.__version__}{warning}"


def _versions_of(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _devices() -> str:
    import torch

    from vid2vid_cli.models.device import choose_device

    found = ["cpu"]
    found += [f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    found += ["mps"] if torch.backends.mps.is_available() else []
    return f"{', '.join(found)}; auto means {choose_device('auto')}"


def _cores() -> str:
    # A container or taskset may leave the process fewer cores than the machine has.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{usable} usable of {os.cpu_count()}"


def _ffmpeg() -> str:
    from vid2vid_cli.media import ffmpeg

    return f"{_dotted(ffmpeg.version())} at {ffmpeg.executable()}"


def _encoder(suffix: str) -> Callable[[], str]:
    """Return a check of an encoder: the clip that it writes must be readable."""

    def look() -> str:
        import numpy as np

        from vid2vid_cli.media.video import WriteOptions, open_writer, read_video

        with Scratch(Path(tempfile.gettempdir()) / "doctor") as scratch:
            clip = scratch.file(f"clip{suffix}")
            with open_writer(clip, (64, 64), WriteOptions(fps=Fraction(25), provenance=None)) as writer:
                for level in (50, 100, 150):
                    writer.write(np.full((64, 64, 3), level, np.uint8))
            levels = [float(frame.mean()) for frame in read_video(clip)]
        # Three greys, far enough apart that no codec can mix them up.
        if [round(level / 50) for level in levels] != [1, 2, 3]:
            raise CheckFailedError(
                f"a {suffix} of 3 grey frames came back as {len(levels)} frames of the wrong colours"
            )
        return f"writes {suffix}, which can be read back"

    return look


def _checkpoint() -> str:
    from vid2vid_cli.checkpoints.reading import EMBEDDED, embedded_checkpoint
    from vid2vid_cli.models.registry import load_face_analyzer, load_model

    file = embedded_checkpoint()
    found = _as_recorded(file, EMBEDDED)
    load_model()
    load_face_analyzer()
    return found


def _speech() -> str:
    from vid2vid_cli.checkpoints.reading import EMBEDDED_SPEECH, embedded_speech
    from vid2vid_cli.models.registry import load_speech_model

    found = _as_recorded(embedded_speech(), EMBEDDED_SPEECH)
    load_speech_model()
    return found


def _as_recorded(file: LoadedFile, name: str) -> str:
    """Compare a file that comes with the package with the sha256 that is recorded for it."""
    from vid2vid_cli.checkpoints.cache import recorded_sha256
    from vid2vid_cli.checkpoints.reading import bundled_file

    recorded = recorded_sha256(bundled_file("weights", "SHA256SUMS"), name)
    if file.sha256 != recorded:
        raise CheckFailedError(f"{file.path}: sha256 is {file.sha256}, but {recorded} is recorded")
    megabytes = file.path.stat().st_size / 1e6
    return f"{file.path} ({megabytes:.1f} MB), sha256 {file.sha256} as recorded"


def _pulled() -> str:
    """Report what the caches hold, by sizes and times, without reading the files."""
    from vid2vid_cli.checkpoints.cache import home
    from vid2vid_cli.errors import WeightsError
    from vid2vid_cli.pipeline.weights.inventory import list_weights

    try:
        home()
    except WeightsError as error:
        return f"none; none are needed ({error})"
    here = [each for each in list_weights() if not each.checkpoint.is_embedded and each.path is not None]
    wrong = [each.problem for each in here if each.is_wrong]
    if wrong:
        raise CheckFailedError("; ".join(wrong))
    return ", ".join(f"{each.checkpoint.name} {each.state} ({each.path})" for each in here) or "none; none are needed"


def _example() -> str:
    from vid2vid_cli.checkpoints.reading import bundled_file
    from vid2vid_cli.pipeline.rotate import EXAMPLE

    return str(bundled_file("examples", EXAMPLE))


def _numba_cache() -> str:
    from vid2vid_cli.models.compact.mesh import rasterizer

    # numba compiles into a folder beside the module, or one of the user's if that cannot be written.
    folder = Path(str(rasterizer._fill.stats.cache_path))
    return f"{folder}, {_write_into(folder)}"


def _signing_key() -> str:
    """Report the key that signs outputs. One is made when there is something to sign, not here."""
    import c2pa

    from vid2vid_cli.errors import NoPlaceForKeyError
    from vid2vid_cli.media.credentials import keys

    try:
        path = keys.folder() / keys.SIGNING
    except NoPlaceForKeyError as error:
        return f"none, outputs are not signed: {error}"
    if not path.exists() and not is_writable(path.parent):
        return f"none, outputs are not signed: {path.parent} cannot be made or written; set VID2VID_CONFIG to a folder"
    if not path.exists():
        return f"none yet, the first output makes {path}; c2pa {c2pa.sdk_version()}"
    signing = keys.load(path)
    signing.check()
    worth = "made by vid2vid" if signing.is_self_made else "your own"
    return f"{path}, {worth}, {signing.algorithm}, valid until {signing.valid_until}; c2pa {c2pa.sdk_version()}"


def _temporary() -> str:
    import shutil

    folder = Path(tempfile.gettempdir())
    free_mb = shutil.disk_usage(folder).free // 10**6
    if free_mb < FREE_MB:
        raise CheckFailedError(f"{folder}: only {free_mb} MB are free")
    return f"{folder}, {_write_into(folder)}, {free_mb} MB free"


def _write_into(folder: Path) -> str:
    """Check that a folder can be written to. OSError if not."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"vid2vid")
    return "can be written"
