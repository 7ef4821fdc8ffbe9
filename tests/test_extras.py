"""What is not installed is asked for in a line, before any work; doctor tells wheels that break each other."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from vid2vid_cli.cli.app import main
from vid2vid_cli.pipeline import doctor

ROOT = Path(__file__).resolve().parents[1]
PORTRAIT = ROOT / "examples" / "portrait.jpg"


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize(
    ("package", "words", "cure"),
    [
        ("face_alignment", ["rotate", PORTRAIT, "--yaw", "5", "--detector", "face-alignment"], "vid2vid[landmarks]"),
        ("face_alignment", ["evaluate", "rotate", PORTRAIT, "--landmarks", "face-alignment"], "vid2vid[landmarks]"),
        ("torchmetrics", ["evaluate", "self", PORTRAIT], "vid2vid[evaluate]"),
        ("torchmetrics.functional.image", ["evaluate", "self", PORTRAIT], "vid2vid[evaluate]"),
    ],
)
def test_a_missing_extra_is_asked_for_in_a_line(
    package: str,
    words: list[str],
    cure: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # importing it fails, as if it were not installed
    assert main([*map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"pip install '{cure}'" in line and "does not load" in line and "unexpected" not in line
    assert not list(Path().iterdir())


def test_those_packages_are_extras_and_nothing_opens_windows() -> None:
    project = declared()
    extras = project["optional-dependencies"]
    for extra, package in (("landmarks", "face-alignment"), ("evaluate", "torchmetrics")):
        (wanted,) = extras[extra]
        assert wanted.startswith(package) and wanted in extras["dev"]
        assert not any(line.startswith(package) for line in project["dependencies"])
    opencv = [line.split(">")[0] for line in project["dependencies"] if line.startswith("opencv")]
    assert opencv == ["opencv-python-headless"]
    windows = ("cv2.imshow", "cv2.namedWindow", "cv2.waitKey")
    modules = (ROOT / "vid2vid_cli").rglob("*.py")
    assert not [path for path in modules if any(name in path.read_text(encoding="utf-8") for name in windows)]


def declared() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read pyproject.toml")
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def opencv_check(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> doctor.Check:
    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor.metadata, "version", version)
    return next(each for each in doctor._examinations() if each.name == "opencv").make()


def test_doctor_tells_wheels_of_opencv_that_overwrote_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = opencv_check(monkeypatch, {"opencv-python": "4.12.0.88", "opencv-python-headless": "5.0.0.93"})
    assert not mixed.ok and "opencv-python 4.12.0.88" in mixed.found and "5.0.0.93" in mixed.found
    assert mixed.cure.endswith("; pip install opencv-python-headless")
    assert {"opencv-python", "opencv-python-headless"} <= set(mixed.cure.split(";")[0].split())
    # face-alignment wants the one with windows beside ours: of the same version they are the same but for those.
    both = opencv_check(monkeypatch, {"opencv-python": "5.0.0.93", "opencv-python-headless": "5.0.0.93"})
    assert both.ok and "never uninstall one alone" in both.found
    one = opencv_check(monkeypatch, {"opencv-python-headless": "5.0.0.93"})
    assert (one.ok, one.found) == (True, "opencv-python-headless 5.0.0.93")


CPU_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"


@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_pages_on_installing_spare_cuda_and_name_the_import(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for line in (
        f"pip install . {CPU_INDEX}",
        "uv pip install . --torch-backend cpu",
        f'pipx install . --pip-args="{CPU_INDEX}"',
    ):
        assert line in text
    assert "imports the package as `vid2vid_cli`" in text or "imports it as `vid2vid_cli`" in text


def test_the_page_on_installing_lists_the_extras_of_users() -> None:
    extras = set(declared()["optional-dependencies"]) - {"dev", "docs", "onnx"}
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert [name for name in extras if f"\n| `{name}` | " not in page] == []
