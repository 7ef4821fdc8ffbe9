"""What a shell is told while somebody types, the manual page, and `--version`."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer.main

from vid2vid_cli import __version__
from vid2vid_cli.cli.app import app, main
from vid2vid_cli.errors import MediaError

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["facevid2vid", "fomm"]  # of published checkpoints that begin with f


def proposed(shell: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Ask as the shell's own script does once it has been sourced."""
    monkeypatch.setenv("_VID2VID_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert main([]) == 0
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_completes_commands_choices_checkpoints_and_files(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    def words(line: str) -> list[str]:
        answer = proposed(shell, line, monkeypatch, capsys)
        # fish adds a help text behind a tab, zsh one behind a colon
        return [
            each.split("\t")[0].split('":"')[0].strip('"')
            for each in re.sub(r"^_arg.*\(\(|\)\)'$", "", answer).split("\n")
        ]

    for name in ("fo.pth.tar", "fo.png", "other.pth"):
        (own_folder / name).touch()
    assert {"reenact", "rotate", "weights"} <= set(words("vid2vid "))
    assert words("vid2vid reenact a b --region m") == ["mouth"]
    assert words("vid2vid reenact a b -c f") == [*NAMES, "fo.pth.tar"]
    assert words("vid2vid weights pull f") == [*NAMES, "fo.pth.tar"]
    # Nothing is proposed where files belong, and then each shell completes its files.
    nothing = "_files" if shell == "zsh" else ""
    for line in ("vid2vid reenact fo", "vid2vid reenact a b -o fo", "vid2vid reenact a b -c other"):
        assert words(line) == [nothing]


def test_bash_completes_with_the_script_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    monkeypatch.setenv("_VID2VID_COMPLETE", "source_bash")
    assert main([]) == 0
    (own_folder / "completion.sh").write_text(capsys.readouterr().out)
    ask = (
        f"printf '#!/bin/sh\\nexec env PYTHONPATH={ROOT} {sys.executable} -m vid2vid_cli' > vid2vid\n"
        "chmod +x vid2vid; . ./completion.sh\n"
        "COMP_WORDS=(vid2vid rotate -c fom); COMP_CWORD=3; _vid2vid_completion ./vid2vid; echo ${COMPREPLY[@]}\n"
        "complete -p vid2vid"
    )
    monkeypatch.delenv("_VID2VID_COMPLETE")
    told = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == ["fomm", "complete -o default -F _vid2vid_completion vid2vid"]


def test_version_names_torch_and_ffmpeg_without_loading_torch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    assert main(["--version"]) == 0
    own, torch, ffmpeg = capsys.readouterr().out.splitlines()
    assert (own, torch) == (f"vid2vid {__version__}", f"torch {metadata.version('torch')}")
    assert re.fullmatch(r"ffmpeg \d+\.\d+ \(.+\)", ffmpeg)


def test_version_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    def broken() -> str:
        raise MediaError("no ffmpeg found")

    monkeypatch.setattr("vid2vid_cli.cli.versions.metadata.version", missing)
    monkeypatch.setattr("vid2vid_cli.media.ffmpeg.version", broken)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["torch is missing", "ffmpeg does not run: no ffmpeg found"]


# --- the manual page ---


@pytest.fixture(scope="module")
def page() -> str:
    return str(runpy.run_path(str(ROOT / "docs" / "man_page.py"))["man_page"]())


def leaves(group: Any, above: str) -> dict[str, Any]:
    found = {}
    for name, command in group.commands.items():
        is_group = bool(getattr(command, "commands", None))
        found |= leaves(command, f"{above} {name}") if is_group else {f"{above} {name}": command}
    return found


def test_the_manual_page_has_every_command_and_option(page: str) -> None:
    sections = dict(re.findall(r"(?ms)^\.SS (.*?) \[OPTIONS\].*?$(.*?)(?=^\.S[SH] )", page))
    expected = leaves(typer.main.get_command(app), "vid2vid")
    assert list(sections) == list(expected)
    for name, command in expected.items():
        for parameter in command.params:
            for flag in (*parameter.opts, *parameter.secondary_opts):
                shown = parameter.metavar or flag.upper() if parameter.param_type_name == "argument" else flag
                assert shown.replace("-", r"\-") in sections[name], f"{name} {flag}"
    assert f"vid2vid {__version__}" in page and "[required]" in page
    assert re.findall(r"(?m)^\.B (\d+)$", page) == [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        *re.findall(r"(?m)^\.B ([678]|130)$", page),
    ]


def test_the_manual_page_is_sound_roff(page: str) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff, which prints manual pages, is not installed")
    made = subprocess.run(["groff", "-man", "-ww", "-Tascii"], input=page, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")
    plain = re.sub("\x1b\\[[0-9;]*m|.\b", "", made.stdout)
    assert "--mouth <auto|source|driving|bank>" in plain and "EXIT STATUS" in plain
