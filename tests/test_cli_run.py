"""The commands on real pictures and clips, most of them as real processes, judged by files, words and exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support.clips import ffmpeg
from tests.support.processes import processes_in, run_in_terminal
from vid2vid_cli.checkpoints.cache import recorded_sha256
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import MediaError, WeightsError
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import VideoInfo, probe_video, read_video
from vid2vid_cli.motion_file import load_motion
from vid2vid_cli.pipeline.doctor import examine
from vid2vid_cli.pipeline.face_marks import AXES
from vid2vid_cli.pipeline.faces import find_faces

ROOT = Path(__file__).resolve().parents[1]
MODULE = [sys.executable, "-m", "vid2vid_cli"]
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and terminals of POSIX")


@pytest.fixture(autouse=True)
def own_signals_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder, and give the test runner its signal handlers back."""
    monkeypatch.chdir(tmp_path)
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def still(media_dir: Path) -> Path:
    return media_dir / "sources" / "s21_three_people.jpg"


@pytest.fixture
def clip(media_dir: Path) -> Path:
    """A talking head, 512x446, 25 frames/s, 150 frames, with sound."""
    return media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"


def run(command: Sequence[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", check=False, env={**os.environ, **environment}, timeout=120
    )


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_reenact_writes_the_default_name_and_one_json_object(still: Path, clip: Path, tmp_path: Path) -> None:
    source, driving = tmp_path / "who [b] 顔.jpg", tmp_path / "how it moves.mp4"
    source.write_bytes(still.read_bytes())
    driving.write_bytes(clip.read_bytes())
    words = ["reenact", source.name, driving.name, "--end", "0.4", "--yaw", "-20", "--size", "320", "--json"]
    done = run([*MODULE, *words], LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    made = tmp_path / "who [b] 顔--how it moves.mp4"
    info = probe_video(made)
    assert facts["output"] == made.name
    assert facts["frames"] == info.frame_count == 10
    assert (facts["width"], facts["height"]) == (info.width, info.height) == (320, 240)
    assert (facts["fps"], facts["fps_exact"]) == (25.0, "25") and info.fps == 25 and info.has_audio
    assert (facts["held"], facts["skipped"], facts["warnings"]) == (0, 0, [])
    assert left_in(tmp_path) == sorted([source.name, driving.name, made.name])


@posix_only
def test_an_output_is_replaced_only_by_force_and_a_terminal_sees_progress(
    still: Path, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "[顔].mp4").write_text("mine")
    words = ["reenact", still, clip, "-o", "[顔].mp4", "--end", "0.4", "--size", "320"]
    assert main([str(word) for word in words]) == 1
    assert (tmp_path / "[顔].mp4").read_text() == "mine"
    code, out, seen = run_in_terminal([Path(sys.executable).with_name("vid2vid"), *words, "--force"])
    assert code == 0
    assert re.fullmatch(
        r"\[\\u9854\]\.mp4: 10 frames at 25 fps, 320x240, "
        r"relative to the face at rest over 4 frames, head of frame 0, "
        r"\d+\.\d frames/s\n",
        out,
    )
    assert "/10" in seen and "frames/s" in seen
    assert probe_video(tmp_path / "[顔].mp4").frame_count == 10


@posix_only
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_partial_file_and_no_child(
    number: signal.Signals, code: int, still: Path, clip: Path, tmp_path: Path
) -> None:
    child = subprocess.Popen(
        [*MODULE, "reenact", still, clip, "-o", "out.mp4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob(".vid2vid-*")) and child.poll() is None:
        assert time.monotonic() < deadline, "no output was begun"
        time.sleep(0.05)
    child.send_signal(number)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, out) == (code, "")
    assert err == ("error: interrupted\n" if number == signal.SIGINT else "")
    assert left_in(tmp_path) == []
    assert processes_in(tmp_path) == []


def test_failures_have_their_codes_and_leave_nothing(
    media_dir: Path, still: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = media_dir / "sources" / "s23_no_face.jpg"
    text = media_dir / "bad" / "b04_text.mp4"
    cases: list[tuple[int, str, list[str | Path]]] = [
        (3, "s23_no_face.jpg: no face", ["reenact", empty, clip]),
        (3, "b13_no_face.mp4: no face", ["reenact", still, media_dir / "bad" / "b13_no_face.mp4"]),
        (3, "s23_no_face.jpg: no face", ["faces", empty, "--draw", "d.png"]),
        (3, "b13_no_face.mp4: no face", ["faces", media_dir / "bad" / "b13_no_face.mp4", "--draw", "d.mp4"]),
        (4, "b04_text.mp4: not a readable checkpoint", ["rotate", still, "--yaw", "9", "-c", text]),
        (4, "nowhere", ["rotate", still, "--yaw", "9", "-c", "nowhere"]),
        (1, "b04_text.mp4: cannot be read", ["reenact", still, text]),
        (1, "b16_truncated.jpg: is damaged", ["faces", media_dir / "bad" / "b16_truncated.jpg"]),
        (2, "--yaw 1:2: a sweep", ["rotate", still, "--yaw", "1:2"]),
        (2, "--device tpu", ["rotate", still, "--yaw", "9", "--device", "tpu"]),
        (2, "say where to turn", ["rotate", still]),
        (2, "has frames 0 to 149", ["faces", clip, "--frame", "150"]),
        (2, "is a picture", ["faces", still, "--frame", "0"]),
        (2, "is a picture", ["faces", still, "--draw", "d.mp4"]),
        (2, "one frame makes a picture", ["faces", clip, "--frame", "0", "--draw", "d.mp4"]),
    ]
    for code, words, command in cases:
        assert main([str(word) for word in command]) == code, command
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1, command
        assert said.err.startswith("error: ") and words in said.err, said.err
    assert left_in(tmp_path) == []


def test_rotate_turns_the_bundled_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rotate", "-o", "turned.png", "--yaw", "-20"]) == 0
    said = capsys.readouterr()
    assert "bundled example" in said.err
    example, turned = (read_image(path) for path in (ROOT / "examples" / "portrait.jpg", "turned.png"))
    height, width = example.shape[:2]
    assert re.fullmatch(rf"turned\.png: {width}x{height}, \d+\.\d s\n", said.out)
    assert turned.shape == example.shape
    assert np.abs(turned.astype(int) - example).mean() > 1
    pose = faces_of("turned.png", capsys)["faces"][0]["yaw_deg"]
    assert pose < faces_of(str(ROOT / "examples" / "portrait.jpg"), capsys)["faces"][0]["yaw_deg"] - 10
    assert main(["rotate", "--yaw", "-10:10:10", "-o", "sweep.mp4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == probe_video("sweep.mp4").frame_count == 3


def test_a_motion_file_drives_again(still: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["motion", str(clip), "-o", "m.safetensors", "--end", "0.2"]) == 0
    assert "5 frames at 25 fps" in capsys.readouterr().out
    assert len(load_motion(Path("m.safetensors")).motion) == 5
    assert main(["reenact", str(still), "m.safetensors", "-o", "again.mp4", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert probe_video("again.mp4").frame_count == 5


def faces_of(path: str | Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main(["faces", str(path), "--json", *more]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_faces_are_counted_from_the_left(still: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = faces_of(still, capsys, "--draw", "drawn.png")
    assert (found["width"], found["height"], found["frame"]) == (500, 375, None)
    assert [face["index"] for face in found["faces"]] == [0, 1, 2]
    middles = [(face["box_px"][0] + face["box_px"][2]) / 2 for face in found["faces"]]
    assert middles == sorted(middles)
    drawn, plain = read_image("drawn.png"), read_image(still)
    differs = np.abs(drawn.astype(int) - plain).max(axis=2) > 0
    for face in found["faces"]:
        left, top, right, bottom = (round(side) for side in face["box_px"])
        assert differs[top:bottom, left:right].mean() > 0.05
    assert not differs[-20:, :20].any()
    red, green = (np.argwhere((drawn == colour).all(axis=2)).mean(axis=0) for colour in (AXES[0][1], AXES[1][1]))
    assert red[1] > green[1] + 10 and green[0] > red[0] + 10  # x to the right, y down
    assert main(["faces", str(still)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].endswith("500x375, 3 faces") and len(table) == 5


def test_head_pose_follows_the_users_convention(media_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = Image.open(media_dir / "sources" / "s20_two_people_car_large.png").convert("RGB")
    picture = picture.crop((400, 100, 1000, 800))  # a man who looks to the right edge
    picture.save("as it is.png")
    ImageOps.mirror(picture).save("mirrored.png")
    picture.rotate(-20, expand=True).save("tilted.png")  # clockwise
    found = [faces_of(f"{name}.png", capsys)["faces"][0] for name in ("as it is", "mirrored", "tilted")]
    plain, mirrored, tilted = found
    assert plain["yaw_deg"] > 20
    assert mirrored["yaw_deg"] == pytest.approx(-plain["yaw_deg"], abs=6)
    assert mirrored["roll_deg"] == pytest.approx(-plain["roll_deg"], abs=6)
    assert tilted["roll_deg"] == pytest.approx(plain["roll_deg"] + 20, abs=6)


def test_faces_of_a_clip_are_those_of_its_first_frame_with_one(
    media_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = media_dir / "bad" / "b15_no_face_at_first.mp4"
    found = faces_of(late, capsys)
    assert 40 < found["frame"] < 120 and len(found["faces"]) == 1
    again = faces_of(late, capsys, "--frame", str(found["frame"]))
    assert again["faces"] == found["faces"]
    assert main(["faces", str(late), "--frame", "0"]) == 3
    assert "no face found in frame 0" in capsys.readouterr().err


def test_a_whole_clip_is_drawn(media_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = Path("clip.mp4")
    ffmpeg("-i", media_dir / "bad" / "b14_two_faces.mp4", "-frames:v", "15", clip)
    found = faces_of(clip, capsys, "--draw", "drawn.mp4")
    assert (found["drawn"], len(found["faces"])) == ("drawn.mp4", 2)
    before, after = probe_video(clip), probe_video("drawn.mp4")
    assert (after.frame_count, after.fps, after.size) == (before.frame_count, before.fps, before.size)
    last = [list(read_video(path))[-1].astype(int) for path in (clip, "drawn.mp4")]
    assert (np.abs(last[0] - last[1]) > 60).mean() > 0.01


def test_a_drawn_clip_keeps_the_shape_of_its_pixels_and_is_probed_once(
    media_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeezed, probed = tmp_path / "squeezed.mp4", []
    ffmpeg("-i", media_dir / "bad" / "b14_two_faces.mp4", "-frames:v", "3", "-an", "-vf", "setsar=4/3", squeezed)

    def probe(path: Path, *limits: int) -> VideoInfo:
        probed.append(path)
        return probe_video(path, *limits)

    for module in ("media.probe", "media.reader", "pipeline.faces"):
        monkeypatch.setattr(f"vid2vid_cli.{module}.probe_video", probe)
    find_faces(squeezed, tmp_path / "drawn.mp4")
    assert probed == [squeezed]
    assert probe_video(tmp_path / "drawn.mp4").pixel_aspect == Fraction(4, 3)
    with pytest.raises(MediaError, match="would replace its own input"):
        find_faces(squeezed, squeezed, force=True)


def test_doctor_finds_all_well(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    ill = [check for check in report["checks"] if not check["ok"]]
    assert (code, report["ok"], ill) == (0, True, [])
    found = {check["name"]: check["found"] for check in report["checks"]}
    sha256 = hashlib.sha256((ROOT / "weights" / "compact.safetensors").read_bytes()).hexdigest()
    assert sha256 in found["checkpoint"] and "auto means" in found["devices"]
    assert {"torch", "ffmpeg", "encoder libx264", "encoder libvpx-vp9", "numba cache"} <= found.keys()


def test_doctor_names_what_is_broken_and_the_cure(tmp_path: Path) -> None:
    done = run([*MODULE, "doctor"], IMAGEIO_FFMPEG_EXE=str(tmp_path / "gone"), TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "")
    bad = [line.split("  ")[1] for line in done.stdout.splitlines() if line.startswith("BAD")]
    assert bad == ["ffmpeg", "encoder libx264", "encoder libvpx-vp9"]
    assert "IMAGEIO_FFMPEG_EXE" in done.stdout and "Traceback" not in done.stdout
    assert re.search(r"^ok   torch", done.stdout, re.MULTILINE)


def test_doctor_sees_a_changed_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("compact.safetensors", "SHA256SUMS"):
        (tmp_path / name).write_bytes((ROOT / "weights" / name).read_bytes())
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  compact.safetensors\n")
    monkeypatch.setattr("vid2vid_cli.checkpoints.reading.bundled_file", lambda folder, name: tmp_path / name)
    found = {check.name: check for check in examine()}["checkpoint"]
    assert not found.ok and "0" * 64 in found.found and found.cure


def test_the_recorded_sha256_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    weights = ROOT / "weights"
    for name in ("compact.safetensors", "speech.safetensors", "surroundings.safetensors"):
        sha256 = hashlib.sha256((weights / name).read_bytes()).hexdigest()
        assert recorded_sha256(weights / "SHA256SUMS", name) == sha256
    with pytest.raises(WeightsError, match="records no sha256"):
        recorded_sha256(weights / "SHA256SUMS", "other.safetensors")
