"""Voices are other programs: a text reaches them as it is, through no shell, and what goes wrong is one line."""

from __future__ import annotations

import io
import shutil
import stat
import sys
from pathlib import Path

import pytest

from tests.support.clips import ffmpeg
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import UsageError, VoiceError
from vid2vid_cli.media.sound import probe_sound
from vid2vid_cli.media.video import probe_video, read_mark
from vid2vid_cli.speech import voices
from vid2vid_cli.speech.voices import VOICES, find_voice, read_aloud

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
ODD = 'it\'s "$(touch owned)"; `touch owned` & {out} > owned -x'

pytestmark = pytest.mark.usefixtures("own_folder")


def script(name: str, body: str) -> Path:
    path = Path(name).absolute()
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_text_reaches_the_program_as_it_is() -> None:
    prog = script("my prog", 'printf %s "$2" > "$4"; printf %s "$1$3" > heard')
    voice = find_voice(None, f"'{prog}' --say={{text}} {{text}} --to {{out}}")
    read_aloud(voice, f"{ODD}\nand more", Path("out.wav"))
    assert Path("out.wav").read_text() == f"{ODD} and more"
    assert Path("heard").read_text() == f"--say={ODD} and more--to"
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo first; echo no such tongue >&2; exit 3", "could not speak: no such tongue"),
        ("exit 0", "it ended with 0 and wrote no sound"),
        ('touch "$2"', "wrote no sound"),
        ("kill -9 $$", "it ended with -9"),
    ],
)
def test_a_voice_that_fails_is_one_line(body: str, message: str) -> None:
    voice = find_voice(None, f"{script('prog', body)} {{text}} {{out}}")
    with pytest.raises(VoiceError, match=message) as error:
        read_aloud(voice, "hello", Path("out.wav"))
    assert "\n" not in str(error.value)


def test_a_voice_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "LIMIT_S", 0.2)
    voice = find_voice(None, f"{script('prog', 'sleep 2; touch ended')} {{text}} {{out}}")
    with pytest.raises(VoiceError, match=r"did not end within 0.2 s and was stopped"):
        read_aloud(voice, "hello", Path("out.wav"))
    assert not Path("ended").exists()


@pytest.mark.parametrize("text", ["", " ... ", "-"])
def test_nothing_to_say_is_refused(text: str) -> None:
    voice = find_voice(None, f"{script('prog', 'touch called')} {{text}} {{out}}")
    with pytest.raises(VoiceError, match="there is nothing to say"):
        read_aloud(voice, text, Path("out.wav"))
    assert not Path("called").exists()


@pytest.mark.parametrize(
    ("name", "command", "kind", "message"),
    [
        ("sam", None, UsageError, "--voice sam: write flite or espeak-ng"),
        ("flite", "prog {text} {out}", UsageError, "exclude each other"),
        (None, "prog {text}", UsageError, "write the program, {text} and {out}"),
        (None, "'prog {text} {out}", UsageError, "close its quotes"),
        (None, "no-such-prog {text} {out}", VoiceError, "no-such-prog: no such program"),
        ("flite", None, VoiceError, "install flite: apt install flite"),
        (None, None, VoiceError, "no voice is installed: install flite.*or install espeak-ng.*--voice-command"),
    ],
)
def test_what_is_missing_is_named(
    name: str | None, command: str | None, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(kind, match=message.replace("{", r"\{")):
        find_voice(name, command)


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_known_voices_speak(voice: voices.Voice) -> None:
    if shutil.which(voice.name) is None:
        pytest.skip(f"{voice.name} is not installed")
    for text, least_s in (("Good morning.", 0.4), ("-h --version", 0.2), (ODD, 0.5)):
        read_aloud(find_voice(voice.name, None), text, Path("out.wav"))
        assert probe_sound("out.wav").duration_s > least_s
        Path("out.wav").unlink()


@pytest.mark.usefixtures("own_signals")
def test_say_reads_standard_input_and_leaves_the_voice_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    ffmpeg("-f", "lavfi", "-i", "sine=f=200:d=0.32:r=16000", "tone.wav")
    prog = script("prog", 'cp tone.wav "$2"; printf %s "$1" > said; stat -c %a "$(dirname "$2")" > mode')
    monkeypatch.setattr(sys, "stdin", io.StringIO("Good\nmorning.\n"))
    command = ["say", str(PORTRAIT), "-", "-o", "hello.mp4", "--voice-command", f"{prog} {{text}} {{out}}"]
    assert main([*command, "--size", "96", "-q"]) == 0, capsys.readouterr().err
    assert Path("said").read_text() == "Good morning." and Path("mode").read_text() == "700\n"
    info = probe_video("hello.mp4")
    assert info.frame_count == 8 and info.has_audio
    assert str(read_mark("hello.mp4")).startswith("synthetic media")
    assert not list(temporary.iterdir())
