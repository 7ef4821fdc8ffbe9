"""The command line itself: options made from dataclasses, help, mistakes, exit codes. Nothing here runs a network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
import typer.main

from vid2vid_cli import __version__
from vid2vid_cli.cli.app import main
from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import MediaError, NoFaceError, UsageError, WeightsError, one_line
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions, RotateOptions, SpeakOptions, option

pytestmark = pytest.mark.usefixtures("own_signals")


def parse(function: Any, arguments: Sequence[str]) -> Any:
    """Let typer call a function as a command."""
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return typer.main.get_command(app).main(list(arguments), standalone_mode=False)


@dataclass(frozen=True)
class Choices:
    mood: Literal["glad", "sad"] = option("glad", "How it looks.")
    is_loud: bool = option(True, "Whether it is heard.")
    is_fast: bool = option(False, "Whether it hurries.")
    side: bool = option(True, "Which side.", "--left/--right")
    share: float | None = option(None, "How much.", "--share", "-s")

    def __post_init__(self) -> None:
        if self.share is not None and self.share > 1:
            raise ValueError("share: at most 1")


def parse_choices(*arguments: str) -> Choices:
    seen: list[Choices] = []

    @takes_options
    def command(name: str, *, choices: Choices) -> None:
        assert name == "x"
        seen.append(choices)

    parse(command, ["x", *arguments])
    return seen[0]


def test_fields_become_options_of_their_type_and_default() -> None:
    assert parse_choices() == Choices()
    request = ["--mood", "sad", "--no-is-loud", "--is-fast", "--right", "-s", "-0.5"]
    assert parse_choices(*request) == Choices("sad", False, True, False, -0.5)


def test_what_a_dataclass_refuses_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="share: at most 1"):
        parse_choices("--share", "2")


def other_than_default(field: Any) -> tuple[list[str], Any]:
    """Write a field's option with another value than its default; return that value too."""
    flags = field.metadata["flags"]
    flag = flags[0].split("/") if flags else ["--" + field.name.replace("_", "-")]
    if isinstance(field.default, bool):
        return [flag[-1] if field.default else flag[0]], not field.default
    if field.type == "bool | None":
        return [flag[-1]], False
    if "Literal" in field.type or field.type in CHOSEN:
        return [flag[0], CHOSEN[field.type]], CHOSEN[field.type]
    number = {"int": 7, "float": 0.25}.get(field.type.split(" ")[0])
    return ([flag[0], "-12:5:1"], "-12:5:1") if number is None else ([flag[0], str(number)], number)


CHOSEN = {
    "DType": "float16",
    "Region": "eyes",
    "OnMissing": "fail",
    "Audio": "none",
    "Mouth": "bank",
    "Loop": "pingpong",
    "Detector": "face-alignment",
    "HeadMotion": "lively",
}


@pytest.mark.parametrize("group", [ReenactOptions, RotateOptions, MotionOptions, SpeakOptions])
def test_every_option_of_a_pipeline_reaches_it(group: type[Any]) -> None:
    seen: list[Any] = []

    def command(*, options: Any) -> None:
        seen.append(options)

    command.__annotations__["options"] = group
    changes = {field.name: other_than_default(field) for field in fields(group)}
    parse(takes_options(command), [word for words, _ in changes.values() for word in words])
    assert seen == [group(**{name: value for name, (_, value) in changes.items()})]


MISTAKES = [
    (["reenct"], "no such command 'reenct'"),
    (["--loud"], "no such option: --loud"),
    (["reenact"], "missing argument 'SOURCE"),
    (["reenact", "a.png"], "missing argument 'DRIVING'"),
    (["reenact", "a.png", "b.mp4", "c.mp4"], "3 files; with more than one SOURCE name the driving by --driving"),
    (["reenact", "a.png", "b.mp4", "--loud"], "no such option: --loud"),
    (["reenact", "a.png", "b.mp4", "--region", "nose"], "'all', 'pose', 'expression', 'mouth', 'eyes'"),
    (["reenact", "a.png", "b.mp4", "--crf", "good"], "'--crf'"),
    (["rotate", "--yaw"], "'--yaw' requires an argument"),
    (["motion", "b.mp4"], "missing option '--output'"),
    (["faces", "-q", "-v", "a.png"], "--quiet and --verbose exclude each other"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_a_mistake_is_told_in_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and "Value error" not in said.err
    assert words in said.err


def test_a_file_called_like_an_option_gets_the_way_to_write_it(
    own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("-man.jpg").touch()
    assert main(["rotate", "-man.jpg", "--yaw", "3"]) == 2
    assert capsys.readouterr().err == "error: no such option: -m; if you mean the file, write ./-man.jpg\n"
    assert main(["rotate", "-woman.jpg", "--yaw", "3"]) == 2
    assert "see vid2vid rotate --help" in capsys.readouterr().err


def test_a_mistake_names_the_page_that_helps(capsys: pytest.CaptureFixture[str]) -> None:
    main(["rotate", "--loud"])
    assert capsys.readouterr().err.rstrip().endswith("; see vid2vid rotate --help")


def test_help_lists_commands_and_options(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([]) == 2  # nothing asked for is a mistake, answered with the page
    page = capsys.readouterr().out
    assert all(name in page for name in ("reenact", "rotate", "motion", "faces", "doctor"))
    assert main(["reenact", "-h"]) == 0
    page = capsys.readouterr().out
    flags = {"--" + field.name.replace("_", "-") for field in fields(ReenactOptions)} - {"--relative", "--paste-back"}
    assert [flag for flag in flags if flag not in page] == []
    # Brackets are text, not markup, and every group has its own frame.
    assert "[H:]MM:SS" in page and "30000/1001" in page and "SOURCE" in page
    panels = [page.index(f"─ {panel} ─") for panel in ("Motion", "Head pose", "Picture", "Time", "Engine", "Messages")]
    assert panels == sorted(panels)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("two\nlines\n"), 2, "error: two lines\n"),
        (NoFaceError("[a].png: no face"), 3, "error: [a].png: no face\n"),
        (WeightsError("w: \x1b[31mred"), 4, "error: w: \\x1b[31mred\n"),
        (MediaError("顔.png: gone"), 1, "error: 顔.png: gone\n"),
        (KeyError("box"), 1, "error: unexpected KeyError: 'box'; run again with --verbose to see where\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)
def test_each_end_has_its_code_and_its_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @guarded
    def command(*, verbosity: Verbosity) -> None:
        raise error

    assert command(verbosity=Verbosity()) == code
    assert capsys.readouterr().err == line


def test_verbose_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faces", "[no such].png", "--verbose"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("Traceback") and "require_file" in "".join(said)
    assert said[-1] == "error: [no such].png: no such file; check the name"


def test_one_line_keeps_names_as_they_are() -> None:
    assert one_line("a  b[/red].png: 顔\r\n  done\x07") == "a  b[/red].png: 顔 done\\x07"


def test_quiet_and_json_say_what_they_should(capsys: pytest.CaptureFixture[str]) -> None:
    for verbosity in (Verbosity(), Verbosity(quiet=True), Verbosity(json=True)):
        with Reporter(verbosity) as reporter:
            reporter.hooks.warn("[a].png is small")
            reporter.hooks.progress(1, None)
        reporter.print_result("done", {"frames": 3})
    said = capsys.readouterr()
    assert said.out == 'done\n{"frames": 3}\n'
    assert said.err == "warning: [a].png is small\n" * 2


def test_the_installed_command_prints_its_version() -> None:
    command = Path(sys.executable).with_name("vid2vid")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert (done.stdout.splitlines()[0], done.stderr) == (f"vid2vid {__version__}", "")


SAYS_MUCH = """
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.console import Reporter, Verbosity

@guarded
def command(*, verbosity):
    for _ in range(3):
        Reporter(verbosity).print_result("line", {})

raise SystemExit(command(verbosity=Verbosity()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
@pytest.mark.parametrize("words", [["-c", SAYS_MUCH], ["-m", "vid2vid_cli", "reenact", "--help"]])
def test_a_reader_that_goes_away_is_no_news(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        done = subprocess.run([sys.executable, *words], stdout=nobody, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""


INTERRUPTED_IMPORTS = """
import importlib.abc, json, signal, sys
from vid2vid_cli.cli.app import main

class Interrupter(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == awaited and name not in interrupted:
            interrupted.append(name)
            signal.raise_signal(number)

awaited, interrupted, seen = "", [], {}
sys.meta_path.insert(0, Interrupter())
number = signal.SIGINT
for words in (["reenact", "a", "b"], ["rotate"], ["motion", "a", "-o", "b"], ["faces", "a"], ["doctor"]):
    awaited = "vid2vid_cli.pipeline." + {"motion": "extract_motion"}.get(words[0], words[0])
    seen[words[0]] = [main(words), awaited in interrupted, awaited in sys.modules]
print(json.dumps(seen))
"""


def test_ctrl_c_waits_until_a_pipeline_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_IMPORTS], capture_output=True, text=True, check=False)
    seen = json.loads(done.stdout)
    assert set(map(tuple, seen.values())) == {(130, True, True)}
    assert done.stderr == "error: interrupted\n" * 5


def test_held_signals_are_delivered_once_and_handlers_come_back() -> None:
    usual = signal.getsignal(signal.SIGINT)
    reached = []
    with pytest.raises(KeyboardInterrupt), signals_held():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        reached.append("the end")
    assert reached == ["the end"]
    assert signal.getsignal(signal.SIGINT) is usual
    with signals_held():
        pass


def test_a_page_says_what_values_are_and_keeps_families_apart(capsys: pytest.CaptureFixture[str]) -> None:
    main(["reenact", "--help"])
    page = capsys.readouterr().out
    lines = {
        flag: next(line for line in page.splitlines() if f"{flag} " in line) for flag in ("--yaw", "--force", "--fps")
    }
    assert "DEGREES" in lines["--yaw"] and "RATE" in lines["--fps"]
    assert "bool" not in lines["--force"] and "bool" not in page.split("─ Motion ─")[1]
    own = page[page.index("Only for -c liveportrait") :]
    assert all(flag in own and flag not in page[: -len(own)] for flag in ("--stitch", "--eyes", "--retarget-lips"))
    assert "--adapt-scale" in page[page.index("Only for -c facevid2vid and fomm") :]
