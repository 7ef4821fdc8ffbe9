"""Mistakes and surprises are told in a line: misspelt names, swapped inputs, options that choose nothing."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import ffmpeg
from tests.support.processes import slowness, start, wait_for
from tests.support.published import publish, published
from vid2vid_cli.checkpoints.catalogue import HubAddress
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import MediaError, WeightsError
from vid2vid_cli.media.files import require_file
from vid2vid_cli.models.registry import load_face_analyzer
from vid2vid_cli.pipeline.weights.options import PullOptions
from vid2vid_cli.pipeline.weights.pull import pull_weights

Said = pytest.CaptureFixture[str]
SHORT = ("--end", "0.1", "--size", "128")


@pytest.fixture
def inputs(media_dir: Path, own_folder: Path) -> Path:
    """A folder with face.png, a profile, nod.mp4 of six frames, and its motion in nod.safetensors and nod.v2v."""
    for name, file in (("face", "s27_ai_woman.png"), ("profile", "s19_profile_studio_large.png")):
        picture = Image.open(media_dir / "sources" / file).convert("RGB")
        picture.thumbnail((384, 384))
        picture.save(own_folder / f"{name}.png")
    ffmpeg("-i", media_dir / "drivings" / "d14_actor_left_turn_256.mp4", "-frames:v", "6", own_folder / "nod.mp4")
    return own_folder


# --- names ---


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("portriat.jpg", "portrait.jpg"),
        ("Portrait.jpg", "portrait.jpg"),
        ("portrait.jpeg", "portrait.jpg"),
        ("portrait.jpg.jpg", "portrait.jpg"),
        ("photo/portrait.png", "photos/portrait.png"),
        ("xy.jpg", None),
        ("landscape.jpg", None),
        ("photoss", None),
    ],
)
def test_a_misspelt_name_gets_the_one_that_was_meant(given: str, meant: str | None, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("portrait.jpg", "photos/portrait.png", "qz.jpg", "portrait notes.txt"):
        (tmp_path / name).write_text("x")
    with pytest.raises(MediaError) as error:
        require_file(tmp_path / given)
    words = "check the name" if meant is None else f"did you mean {tmp_path / meant}?"
    assert str(error.value) == f"{tmp_path / given}: no such file; {words}"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("rotate face.png --yaw 5 -c liveportrat", "liveportrait"),
        ("rotate face.png --yaw 5 -c nett.pth", "net.pth"),
        ("rotate face.png --yaw 5 --background redd", "red"),
        ("rotate face.png --yaw 5 --background fcae.png", "face.png"),
        ("rotate face.png --yaw 5 -o o.pgn", "o.png"),
        ("reenact face.png nod.mp4 -o o.mp5", "o.mp4"),
        ("say face.png hello -o o.mvo --voice-command 'true {text} {out}'", "o.mov"),
        ("decode nod.v2v -o o.gfi", "o.gif"),
        ("weights pull fom", "fomm"),
        ("batch --manifest jbos.csv -o out", "jobs.csv"),
    ],
)
def test_every_misspelt_word_gets_the_one_that_was_meant_before_any_work(
    words: str, meant: str, own_folder: Path, capsys: Said
) -> None:
    for name in ("face.png", "nod.mp4", "nod.v2v", "net.pth", "jobs.csv", "face.txt"):
        Path(name).write_text("x")  # whatever opens one of them says something else
    assert main(shlex.split(words)) != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"did you mean {meant}?"), line


def test_another_format_is_no_misspelling(own_folder: Path, capsys: Said) -> None:
    for name in ("o.tif", "o.avi", "o.mp3"):
        assert main(["rotate", "face.png", "--yaw", "5", "-o", name]) == 1
        said = capsys.readouterr().err
        assert "a picture is .png" in said and "did you mean" not in said


# --- roles ---


def test_a_sound_as_source_is_called_a_sound(inputs: Path, capsys: Said) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine", "-t", "0.2", "beep.wav")
    assert main(["speak", "beep.wav", "face.png", "-o", "o.mp4"]) == 2
    assert "holds sound and no picture, so it can only be DRIVING; SOURCE comes first" in capsys.readouterr().err


def test_what_holds_no_picture_is_shown_live_by_nobody(inputs: Path, capsys: Said) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine", "-t", "0.2", "beep.wav")
    assert main(["live", "beep.wav", "--camera", "nod.mp4", "-o", "o.mp4"]) == 2
    assert "SOURCE is the picture or video of a person" in capsys.readouterr().err


def test_a_file_of_credentials_names_the_file_that_it_belongs_to(own_folder: Path, capsys: Said) -> None:
    Path("o.webm.c2pa").write_bytes(b"jumb")
    for command in ("verify", "info"):
        assert main([command, "o.webm.c2pa"]) == 1
        assert "name that: o.webm" in capsys.readouterr().err


def test_a_text_in_the_place_of_the_source_is_seen(own_folder: Path, capsys: Said) -> None:
    Path("face.png").write_text("x")
    assert main(["say", "hello you", "face.png", "-o", "o.mp4"]) == 2
    assert "SOURCE comes first, so write: face.png 'hello you'" in capsys.readouterr().err


def test_the_name_of_a_file_as_text_is_said_with_a_word(own_folder: Path, capsys: Said) -> None:
    for name in ("face.png", "speech.txt"):
        Path(name).write_text("x")
    assert main(["say", "face.png", "speech.txt", "-o", "o.mp4", "--voice-command", "false {text} {out}"]) == 1
    assert "to say what it holds: - < speech.txt" in capsys.readouterr().err


def test_a_call_that_is_called_like_a_film_is_made_with_a_word(inputs: Path, capsys: Said) -> None:
    assert main(["motion", "face.png", "-o", "m.mp4"]) == main(["encode", "face.png", "-o", "c.png"]) == 0
    said = capsys.readouterr().err
    assert "a name such as m.safetensors says so" in said and "a name such as c.v2v says so" in said
    assert main(["motion", "face.png", "-o", "m.csv"]) == 0 and capsys.readouterr().err == ""


def test_motion_as_source_is_refused_with_the_right_order(inputs: Path, capsys: Said) -> None:
    assert main(["motion", "nod.mp4", "-o", "nod.safetensors"]) == main(["encode", "nod.mp4", "-o", "nod.v2v"]) == 0
    capsys.readouterr()
    for motion in ("nod.safetensors", "nod.v2v"):
        assert main(["reenact", motion, "face.png", "-o", "o.mp4"]) == 2
        assert f"can only be DRIVING; SOURCE comes first, so write: face.png {motion}" in capsys.readouterr().err
        assert main(["rotate", motion, "--yaw", "5", "-o", "o.png"]) == 2
        assert "SOURCE is the picture or video of a person" in capsys.readouterr().err
    assert main(["reenact", "nod.v2v", "nod.safetensors", "-o", "o.mp4"]) == 2
    assert "write:" not in capsys.readouterr().err and not Path("o.mp4").exists()


def test_a_video_driven_by_a_picture_is_made_with_a_word(inputs: Path, capsys: Said) -> None:
    assert main(["reenact", "nod.mp4", "face.png", "-o", "o.mp4", "--size", "128"]) == 0
    assert "write: face.png nod.mp4" in capsys.readouterr().err
    assert main(["reenact", "face.png", "nod.mp4", "-o", "p.mp4", *SHORT]) == 0
    assert capsys.readouterr().err == ""


# --- options that choose nothing ---


@pytest.mark.parametrize("source", ["face.png", "nod.mp4"])
def test_times_in_a_picture_are_not_ignored_in_silence(source: str, inputs: Path, capsys: Said) -> None:
    target = "o.png" if source == "face.png" else "o.mp4"
    assert main(["reenact", source, "face.png", "-o", target, *SHORT]) == 0
    assert "face.png: is a picture, in which --start and --end choose nothing" in capsys.readouterr().err
    assert main(["motion", "face.png", "-o", "o.safetensors", "--start", "0"]) == 0
    assert "--start and --end choose nothing" in capsys.readouterr().err


def test_options_of_videos_are_not_ignored_in_silence(inputs: Path, capsys: Said) -> None:
    assert main(["reenact", "face.png", "face.png", "-o", "n.png", "--crf", "20", "--fps", "30"]) == 0
    assert "--crf, --fps: without effect, since n.png is a picture" in capsys.readouterr().err
    assert main(["rotate", "face.png", "--yaw=0:4:4", "-o", "r.png", "--preset", "slow", "--size", "128"]) == 0
    assert "--preset: without effect, since r.png is a picture" in capsys.readouterr().err
    assert main(["rotate", "face.png", "--yaw=0:4:4", "-o", "r.mp4", "--preset", "veryfast", "--size", "128"]) == 0
    assert "without effect" not in capsys.readouterr().err


# --- faces that are hard to find ---


def test_a_face_cut_by_the_edge_is_used_with_a_word(inputs: Path, capsys: Said) -> None:
    picture = Image.open("face.png")
    picture.crop((picture.width // 2, 0, *picture.size)).save("half.png")
    assert main(["rotate", "half.png", "--yaw", "10", "-o", "r.png"]) == 0
    assert "the picture's edge cuts the face" in capsys.readouterr().err
    assert main(["rotate", "face.png", "--yaw", "10", "-o", "w.png"]) == 0
    assert "cuts" not in capsys.readouterr().err


def test_a_face_that_nobody_finds_is_placed_by_hand(media_dir: Path, inputs: Path, capsys: Said) -> None:
    hill = media_dir / "sources" / "s23_no_face.jpg"
    assert main(["rotate", str(hill), "--yaw", "20", "-o", "r.png"]) == 3
    assert "--face-box X,Y,WIDTH,HEIGHT" in capsys.readouterr().err
    box = ("--face-box", "900,400,500,600")
    assert main(["rotate", str(hill), "--yaw", "20", "-o", "r.png", *box]) == 0
    changed = np.abs(np.array(Image.open("r.png").convert("L"), int) - np.array(Image.open(hill).convert("L"))) > 25
    y, x = np.nonzero(changed)
    assert 900 < np.median(x) < 1400 and 400 < np.median(y) < 1000
    for wrong in ("1,2,3", "a,b,c,d", "1,1,0,5", "nan,1,5,5"):
        assert main(["rotate", str(hill), "--yaw", "20", "-o", "n.png", "--face-box", wrong]) == 2
    assert main(["rotate", str(hill), "--yaw", "20", "-o", "n.png", "--face", "all", *box]) == 2
    assert "--face-box names the one face already" in capsys.readouterr().err and not Path("n.png").exists()
    assert main(["rotate", str(hill), "--yaw", "20", "-o", "n.png", "--face-box", "99000,1,50,50"]) == 2
    assert "lies outside of" in capsys.readouterr().err and not Path("n.png").exists()


def test_a_placed_face_is_the_one_in_the_box(inputs: Path) -> None:
    analyzer = load_face_analyzer()
    frame = np.array(Image.open("face.png").convert("RGB"))
    (found,) = analyzer.faces(frame)
    left, top, right, bottom = found.box
    side = found.size_px * 0.1  # nobody draws a box to the pixel
    placed = analyzer.face_in(frame, (left - side, top + side / 2, right + side / 2, bottom))
    assert np.abs(placed.landmarks_px - found.landmarks_px)[:, :2].max() < 0.04 * found.size_px


def test_turning_a_profile_to_the_camera_is_warned_of(inputs: Path, capsys: Said) -> None:
    assert main(["rotate", "profile.png", "--frontalize", "-o", "o.png"]) == 0
    assert "a side that the picture does not show" in capsys.readouterr().err
    for asked in (("face.png", "--frontalize"), ("profile.png", "--yaw", "-5")):
        assert main(["rotate", *asked, "-o", "o.png", "--force"]) == 0
        assert "does not show" not in capsys.readouterr().err, asked


# --- interrupted batches ---


def test_an_interrupted_batch_says_how_to_go_on(inputs: Path) -> None:
    for number in range(6):
        os.link("nod.mp4", f"nod{number}.mp4")
    child = start("batch", "face.png", "nod[0-9].mp4", "-o", "out", "--size", "128", "--jobs", "1")
    wait_for(lambda: any(Path("out").glob("*.mp4")), child)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 130 and "the same command goes on from here" in said


# --- no network ---


@pytest.mark.parametrize("via", ["auto", "url"])
def test_without_a_network_a_pull_ends_at_once(
    via: str, own_home: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    publish(published(content, hub=HubAddress("who/what", "a.pth"), url="https://example.org/a.pth"), monkeypatch)
    began = time.monotonic()
    with pytest.raises(WeightsError, match="no network") as error:
        pull_weights("small", PullOptions(via=via))  # type: ignore[arg-type]
    assert time.monotonic() - began < 2 * slowness() and "--via" not in str(error.value)
