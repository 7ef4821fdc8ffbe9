"""The wheel holds all that an installation needs, and finds it from anywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from vid2vid_cli.version import __version__

REPOSITORY = Path(__file__).resolve().parents[1]


def build(target: str, source: Path, folder: Path) -> Path:
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is missing; install the extra dev")
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", REPOSITORY, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the source distribution, as who installs that does."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return build("wheel", top, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    bring_compiled_loops(folder)
    return folder


def bring_compiled_loops(folder: Path) -> None:
    """Bring what numba has compiled of these very files: to compile it anew takes a quarter of a minute."""
    for path in (REPOSITORY / "vid2vid_cli").rglob("*.py"):
        if (there := folder / path.relative_to(REPOSITORY)).exists():
            shutil.copystat(path, there)  # numba knows a file by its size and its time
    for path in (REPOSITORY / "vid2vid_cli").rglob("*.nb[ci]"):
        there = folder / path.relative_to(REPOSITORY)
        there.parent.mkdir(exist_ok=True, parents=True)
        shutil.copy2(path, there)


def test_the_page_of_the_server_is_whole_and_needs_nobody_else(unpacked: Path) -> None:
    pages = [base / "vid2vid_cli" / "serve" / "page" for base in (unpacked, REPOSITORY)]
    (names, known) = ({path.name for path in page.iterdir()} for page in pages)
    assert names == known and {"index.html", "main.js"} < names
    for path in pages[0].iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert set(re.findall(r"/static/([\w.]+)", text)) <= names, path.name
        assert set(re.findall(r'from "\./([\w.]+)"', text)) <= names, path.name
        assert "http://" not in text and "https://" not in text.replace('"https:"', ""), path.name


def run_elsewhere(unpacked: Path, folder: Path, code: str) -> str:
    """Run Python in another folder with the unpacked wheel before everything else; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


@pytest.mark.parametrize(
    "name",
    [
        "weights/compact.safetensors",
        "weights/speech.safetensors",
        "weights/likeness.safetensors",
        "weights/surroundings.safetensors",
        "weights/MODEL_CARD.md",
        "examples/portrait.jpg",
        "examples/driving.mp4",
        "examples/voice.flac",
        "py.typed",
    ],
)
def test_wheel_carries_its_data_unchanged(unpacked: Path, name: str) -> None:
    inside = unpacked / "vid2vid_cli" / name
    beside = REPOSITORY / ("vid2vid_cli" if name == "py.typed" else "") / name
    assert inside.read_bytes() == beside.read_bytes()


def test_wheel_carries_all_weights_whatever_they_are_called(wheel: Path) -> None:
    folder = REPOSITORY / "weights"
    beside = {path.name for path in folder.iterdir()} - {"NOTICE"}  # once, among the licences
    with zipfile.ZipFile(wheel) as archive:
        inside = [Path(name) for name in archive.namelist()]
    assert {path.name for path in inside if path.parts[:2] == ("vid2vid_cli", "weights")} == beside
    assert [path.parts[1:] for path in inside if path.name == "NOTICE"] == [("licenses", "weights", "NOTICE")]


def test_wheel_carries_every_module_and_nothing_foreign(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.endswith(".py")}
    modules = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "vid2vid_cli").rglob("*.py")}
    assert names == modules


def test_wheel_names_the_command_and_the_licences(unpacked: Path) -> None:
    (information,) = unpacked.glob("vid2vid-*.dist-info")
    assert "vid2vid = vid2vid_cli.__main__:main" in (information / "entry_points.txt").read_text()
    assert {path.name for path in (information / "licenses").rglob("*") if path.is_file()} == {"LICENSE", "NOTICE"}


def test_installed_wheel_finds_its_own_checkpoint_and_example(unpacked: Path, tmp_path: Path) -> None:
    code = (
        "from vid2vid_cli.checkpoints.reading import bundled_file, find_checkpoint\n"
        "print(find_checkpoint('compact'))\n"
        "print(bundled_file('examples', 'portrait.jpg'))"
    )
    found = [Path(line) for line in run_elsewhere(unpacked, tmp_path, code).splitlines()]
    inside = unpacked / "vid2vid_cli"
    assert found == [inside / "weights" / "compact.safetensors", inside / "examples" / "portrait.jpg"]


def test_installed_wheel_runs_its_command(unpacked: Path, tmp_path: Path) -> None:
    code = "from vid2vid_cli.cli.app import main; raise SystemExit(main(['rotate', '--yaw', '20', '-o', 'turned.png']))"
    run_elsewhere(unpacked, tmp_path, code)
    assert (tmp_path / "turned.png").stat().st_size > 10_000


def test_installed_wheel_says_so_when_its_weights_are_gone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "vid2vid_cli" / "weights" / "compact.safetensors").unlink()
    code = (
        "from vid2vid_cli.errors import WeightsError\n"
        "from vid2vid_cli.checkpoints.reading import find_checkpoint\n"
        "try:\n    find_checkpoint('compact')\nexcept WeightsError as error:\n    print(error)"
    )
    message = run_elsewhere(site, tmp_path, code)
    assert "compact.safetensors" in message and "install vid2vid again" in message


# --- what the index is told ---


@pytest.fixture(scope="module")
def told(unpacked: Path) -> Message:
    (information,) = unpacked.glob("vid2vid-*.dist-info")
    return message_from_bytes((information / "METADATA").read_bytes())


def test_the_index_would_take_both_files(source: Path, wheel: Path) -> None:
    pytest.importorskip("twine", reason="twine is missing; install the extra dev")
    command = [sys.executable, "-m", "twine", "--no-color", "check", "--strict", str(source), str(wheel)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout.count("PASSED")) == (0, 2), checked.stdout + checked.stderr


def test_the_metadata_names_who_made_it_and_what_it_runs_on(told: Message) -> None:
    assert (told["Name"], told["Version"], told["Author"]) == ("vid2vid", __version__, "vid2vid maintainers")
    assert told["License-Expression"] == "Apache-2.0"
    assert set(told.get_all("License-File", [])) == {"LICENSE", "weights/NOTICE"}
    urls = dict(line.split(", ", 1) for line in told.get_all("Project-URL", []))
    assert urls and all(url.startswith("https://") and "example" not in url for url in urls.values())
    pythons = [line.rpartition(" ")[2] for line in told.get_all("Classifier", []) if ":: Python :: 3." in line]
    assert pythons and min(tuple(map(int, each.split("."))) for each in pythons) >= (3, 10)


def test_the_changelog_has_this_version_below_what_is_unreleased() -> None:
    lines = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    first, second = [line for line in lines if line.startswith("## ")][:2]
    assert first == "## [Unreleased]" and re.fullmatch(rf"## \[{re.escape(__version__)}\] - 20\d\d-\d\d-\d\d", second)
