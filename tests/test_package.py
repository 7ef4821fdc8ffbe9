"""The wheel holds all that an installation needs, and finds it from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is missing; install the extra dev")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


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
        "weights/MODEL_CARD.md",
        "weights/NOTICE",
        "examples/portrait.jpg",
        "examples/driving.mp4",
        "py.typed",
    ],
)
def test_wheel_carries_its_data_unchanged(unpacked: Path, name: str) -> None:
    inside = unpacked / "vid2vid_cli" / name
    beside = REPOSITORY / ("vid2vid_cli" if name == "py.typed" else "") / name
    assert inside.read_bytes() == beside.read_bytes()


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
