"""Fixtures of several files, and the closing lines about tests that lacked a folder."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, and for all processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tests.support.folders import MEDIA, summaries

# Tests compare pixels and files exactly; those of credentials and watermarks ask for them (see `signing`).
os.environ["VID2VID_CREDENTIALS"] = os.environ["VID2VID_WATERMARK"] = "0"
# Never the user's own key, not even by mistake, and by no process that a test starts.
os.environ["VID2VID_CONFIG"] = tempfile.mkdtemp(prefix="vid2vid-tests-")
atexit.register(shutil.rmtree, os.environ["VID2VID_CONFIG"], ignore_errors=True)

if TYPE_CHECKING:  # the fixtures import what is heavy, so that a file that needs none of it begins at once
    from PIL import Image
    from torch import Tensor

    from tests.support.weights_server import Given, Server
    from vid2vid_cli.face.mesh import FaceAnalyzer
    from vid2vid_cli.models.compact.model import CompactModel
    from vid2vid_cli.models.registry import LoadedModel


# Files that take long, the longest first: whoever began them last would keep the others waiting at the end.
LONG = (
    *("batch", "reenact", "golden_facevid2vid", "inputs", "faults", "cluster", "golden_pipeline", "call"),
    *("bare_processes", "evaluate", "golden_liveportrait", "serve_ending", "serve_live", "page", "serve_jobs"),
    *("families_pipeline", "background", "speak", "person_sources", "live_run", "call_live", "call_beside", "cli_run"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of long files first, each file in its own order."""
    places = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Close with one line for each folder that skipped tests would have needed."""
    yield  # first pytest's own summary
    for line in summaries(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True)


# --- where a test works ---


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, in which no temporary file may be left behind."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not list(tmp_path.rglob(".vid2vid-*")), "a temporary file was left behind"


@pytest.fixture
def output_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder that is not tmp_path: what lies in it afterwards is what the command has left."""
    folder = tmp_path_factory.mktemp("work")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Give the test runner its signal handlers back."""
    names = ("SIGTERM", "SIGINT", "SIGHUP")  # Windows lacks the last
    kept = {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None))}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


# --- credentials ---


@pytest.fixture
def signing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign and watermark outputs, as everybody's are, with a key that all tests share."""
    monkeypatch.delenv("VID2VID_CREDENTIALS")
    monkeypatch.delenv("VID2VID_WATERMARK")


# --- faces ---


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """Find the folder of real media: VID2VID_MEDIA, else shared/media beside the repository."""
    return MEDIA.find()


@pytest.fixture(scope="session")
def face_state() -> dict[str, Tensor]:
    """Read the tensors of the checkpoint that comes with the package."""
    from safetensors.torch import load_file

    return load_file(Path(__file__).resolve().parents[1] / "weights" / "compact.safetensors")


@pytest.fixture(scope="session")
def model() -> LoadedModel:
    """Load the checkpoint that comes with the package once."""
    from vid2vid_cli.models.registry import load_model

    return load_model()


@pytest.fixture(scope="session")
def compact(model: LoadedModel) -> CompactModel:
    """The model of that checkpoint."""
    from vid2vid_cli.models.compact.model import CompactModel

    assert isinstance(model.model, CompactModel)
    return model.model


@pytest.fixture(scope="session")
def face_analyzer(face_state: dict[str, Tensor]) -> Iterator[FaceAnalyzer]:
    """Build the face analyzer once; small networks are quickest on one thread of a shared machine."""
    import torch

    from vid2vid_cli.face.mesh import FaceAnalyzer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield FaceAnalyzer.from_state(face_state)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def face(media_dir: Path) -> Image.Image:
    """A woman who looks at the camera, 256 by 256."""
    from PIL import Image

    return Image.open(media_dir / "sources" / "s27_ai_woman.png").convert("RGB").resize((256, 256))


@pytest.fixture(scope="module")
def clip(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames at 30 frames/s."""
    from tests.support.clips import ffmpeg

    path = tmp_path_factory.mktemp("clip") / "nod.mp4"
    ffmpeg("-i", media_dir / "drivings" / "d14_actor_left_turn_256.mp4", "-frames:v", "6", path)
    return path


@pytest.fixture(scope="module")
def material(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small portraits and a landscape; two clips of eight frames, one with sound, and a text."""
    from PIL import Image

    from tests.support.batches import FRAMES
    from tests.support.clips import ffmpeg

    home = tmp_path_factory.mktemp("material")
    (home / "s").mkdir()
    (home / "d").mkdir()
    for name, file in (("anna", "s27_ai_woman.png"), ("bob", "s16_man_smiling.jpg"), ("hill", "s23_no_face.jpg")):
        picture = Image.open(media_dir / "sources" / file).convert("RGB")
        picture.thumbnail((192, 192))
        picture.save(home / "s" / f"{name}.png")
    for name, moving in (("nod", "d14_actor_left_turn_256.mp4"), ("talk", "d01_ai_man_turning_audio.mp4")):
        cut = ["-frames:v", str(FRAMES), "-vf", "scale=192:-2", "-shortest"]
        ffmpeg("-i", media_dir / "drivings" / moving, *cut, home / "d" / f"{name}.mp4")
    (home / "d" / "notes.txt").write_text("no clip")
    return home


# --- published checkpoints ---


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own, and no word of the network from outside."""
    from tests.support.published import NETWORK

    for name in NETWORK:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home [顔]"
    monkeypatch.setenv("VID2VID_HOME", str(home))
    return home


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of weights on this machine, which gives nothing yet."""
    from tests.support.weights_server import serving

    with serving() as started:
        yield started


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small checkpoint in the public layout, of some hundred thousand bytes."""
    from tests.support.checkpoints import save_public

    path = tmp_path_factory.mktemp("public") / "model.pth.tar"
    save_public(path, "vox-256, SPADE")
    return path.read_bytes()


@pytest.fixture
def small(content: bytes, server: Server, monkeypatch: pytest.MonkeyPatch) -> Given:
    """Publish the small checkpoint at a plain address; return how the server gives it."""
    from tests.support.published import publish, published
    from tests.support.weights_server import Given

    publish(published(content, url=f"{server.url}/model.pth.tar"), monkeypatch)
    server.files["/model.pth.tar"] = Given(content)
    return server.files["/model.pth.tar"]
