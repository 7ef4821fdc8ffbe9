"""The container's description: who it runs as, what it is built from, how it starts. Building it takes minutes."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vid2vid_cli import rotate
from vid2vid_cli.pipeline import doctor
from vid2vid_cli.pipeline.options import RotateOptions

ROOT = Path(__file__).resolve().parents[1]


def instructions() -> list[tuple[str, str]]:
    """List the instructions of the Dockerfile with what follows them, without comments, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    text = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in text.splitlines() if line.strip()]


def last_stage() -> dict[str, str]:
    found = instructions()
    begins = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return dict(found[begins:])


def test_it_runs_as_a_number_without_rights_and_names_its_program() -> None:
    stage = last_stage()
    user, group = stage["USER"].split(":")
    assert int(user) > 1000 and int(group) > 1000
    assert stage["ENTRYPOINT"].startswith('["') and stage["CMD"].startswith('["')  # signals reach the program
    assert "RUN" not in stage and "VOLUME" not in stage and "HOME" not in stage.get("ENV", "")


def test_it_is_built_from_fixed_bases_and_leaves_no_caches() -> None:
    found = instructions()
    arguments = dict(line.split("=", 1) for name, line in found if name == "ARG")
    assert re.search(r":3\.\d+-slim", arguments["PYTHON_IMAGE"])
    assert [line.split(" ")[0] for name, line in found if name == "FROM"] == ["${PYTHON_IMAGE}"] * 2
    assert not [name for name, _ in found if name == "ADD"]
    for line in (line for name, line in found if name == "RUN"):
        assert "apt-get install" not in line or ("--no-install-recommends" in line and "rm -rf /var/lib/apt" in line)
        assert "pip install" not in line or ("--no-cache-dir" in line and '--extra-index-url "${TORCH_INDEX}"' in line)


def reaches_the_builder(path: str) -> bool:
    """Say what .dockerignore decides: the last pattern that fits a path or a folder above it counts."""
    is_left_out = False
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    for rule in rules:
        pattern = rule.lstrip("!").removeprefix("**/")
        parts = Path(path).parts
        names = parts if "**/" in rule else ["/".join(parts[: n + 1]) for n in range(len(parts))]
        if any(fnmatch.fnmatch(name, pattern) for name in names):
            is_left_out = not rule.startswith("!")
    return not is_left_out


def test_the_builder_gets_what_the_wheel_is_made_of_and_no_more() -> None:
    needed = ["pyproject.toml", "constraints.txt", "README.md", "LICENSE", "weights/compact.safetensors"]
    needed += ["weights/NOTICE", "examples/portrait.jpg", "vid2vid_cli/cli/app.py"]
    needed += [f"docker/{path.name}" for path in (ROOT / "docker").iterdir()]
    assert all((ROOT / path).exists() for path in needed)
    assert [path for path in needed if not reaches_the_builder(path)] == []
    others = [".git/config", ".venv/bin/python", "tests/conftest.py", "out/demo.mp4", "vid2vid_cli/__pycache__/a.pyc"]
    assert [path for path in others if reaches_the_builder(path)] == []
    scripts = re.findall(r"/source/(docker/\S+\.sh)", (ROOT / "Dockerfile").read_text())
    assert scripts and all((ROOT / script).exists() for script in scripts)


@pytest.mark.parametrize("script", sorted((ROOT / "docker").glob("*.sh")), ids=lambda path: path.name)
def test_its_scripts_are_plain_shell(script: Path) -> None:
    checked = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_commands_need_no_package_that_is_trimmed(tmp_path: Path) -> None:
    (names,) = re.findall(r"(?m)^rm -rf ([a-z ]+?)  # of torch's compiler", (ROOT / "docker" / "trim.sh").read_text())
    code = "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split())); from vid2vid_cli.cli.app import main\n"
    code += (
        "sys.exit(main(['rotate', '--yaw', '9', '--size', '96', '-o', 'a.png', '-q']) or main(['doctor', '--quiet']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "a.png").exists()


def test_it_starts_with_the_compiled_functions_and_passes_arguments_on(tmp_path: Path) -> None:
    (tmp_path / "numba" / "of_mesh").mkdir(parents=True)
    (tmp_path / "numba" / "of_mesh" / "fill.nbi").touch()
    (tmp_path / "entry.sh").write_bytes((ROOT / "docker" / "entry.sh").read_bytes())
    program = tmp_path / "vid2vid"
    program.write_text('#!/bin/sh\nprintf "%s|" "$@"\nls "$NUMBA_CACHE_DIR"/of_mesh 2>&1; exit 3\n')
    program.chmod(0o755)
    (tmp_path / "free").mkdir()

    def start(temporary: Path) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(temporary)}
        command = ["sh", str(tmp_path / "entry.sh"), "reenact", "a b.png", "*"]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    started = start(tmp_path / "free")
    assert (started.returncode, started.stdout) == (3, "reenact|a b.png|*|fill.nbi\n")
    assert start(tmp_path / "none").stdout.startswith("reenact|a b.png|*|ls: ")  # without them, but it starts


@pytest.mark.usefixtures("signing")
def test_the_model_inside_needs_no_home(monkeypatch: pytest.MonkeyPatch, own_folder: Path) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")  # as for a number that no user has

    monkeypatch.setattr(Path, "home", homeless)
    for variable in ("VID2VID_HOME", "VID2VID_CONFIG", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    result = rotate(options=RotateOptions(yaw="10"), output="turned.png")
    assert (own_folder / "turned.png").stat().st_size > 10_000
    assert [line for line in result.warnings if "VID2VID_CONFIG" in line], "it is not signed, and nobody is told"
    found = {check.name: check for check in doctor.examine()}
    assert found["pulled weights"].ok and found["signing key"].ok and found["checkpoint"].ok


def test_the_page_has_the_line_of_the_dockerfile() -> None:
    (line,) = re.findall(r"(?m)^#\s+(docker run .*)$", (ROOT / "Dockerfile").read_text())
    assert "--read-only --tmpfs /tmp" in line
    assert line in (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
