"""`vid2vid live` as a process: a file as camera, every kind of output, addresses, signals and what is refused."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.clips import ffmpeg
from tests.support.processes import MODULE, start, wait_for
from vid2vid_cli.arrays import Frame
from vid2vid_cli.cli.app import main
from vid2vid_cli.live.camera import open_capture
from vid2vid_cli.live.run import run_live
from vid2vid_cli.media.capture import parse_capture
from vid2vid_cli.media.ffmpeg import executable
from vid2vid_cli.media.mark import read_mark
from vid2vid_cli.media.video import probe_video, read_video
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.live_controls import LiveControls
from vid2vid_cli.pipeline.live_label import stamp_of, with_label
from vid2vid_cli.pipeline.live_options import LiveOptions
from vid2vid_cli.pipeline.live_portrait import LivePortrait
from vid2vid_cli.pipeline.options import EngineOptions, PictureOptions

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
SIDE = 128
SYSTEM_PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second and a half of the example at 10 pictures a second, so that a busy machine keeps up."""
    path = tmp_path_factory.mktemp("camera") / "camera.mp4"
    ffmpeg("-i", DRIVING, "-t", "1.5", "-vf", "fps=10,scale=256:256", "-crf", "10", path)
    return path


@pytest.fixture(scope="module")
def renderings(camera: Path, model: LoadedModel) -> list[Frame]:
    """What the portrait looks like under each picture of the camera, and at rest."""
    portrait = LivePortrait(
        start_engine(EngineOptions(threads=1), model),
        [PORTRAIT],
        PictureOptions(size=SIDE),
        print,
        controls=LiveControls(relative=False, smooth=0),
    )
    pictures = read_video(camera)
    return [with_label(portrait.render(portrait.read(picture, k / 10))) for k, picture in enumerate(pictures)]


def words_for(camera: Path | str, *more: str | Path) -> list[str]:
    fixed = ["--size", str(SIDE), "--absolute", "--smooth", "0"]
    return list(map(str, ["live", PORTRAIT, "--camera", camera, *fixed, *more]))


def nearest(frame: Frame, renderings: list[Frame]) -> tuple[int, float]:
    """Return which rendering a frame is most like, and how far it is from that on average."""
    apart = [float(np.abs(frame.astype(float) - each).mean()) for each in renderings]
    return int(np.argmin(apart)), min(apart)


def check_film(frames: list[Frame], renderings: list[Frame]) -> None:
    """Check that a film shows renderings of the camera's pictures, in their order, and all of it.

    Where pictures were dropped, the face is searched for from where it was before, and read a little otherwise.
    """
    places, apart = zip(*(nearest(frame, renderings) for frame in frames), strict=True)
    assert max(apart) < 7 and np.median(apart) < 3, apart
    assert list(places) == sorted(places) and places[0] <= 6 and places[-1] >= len(renderings) - 3
    assert len(set(places)) > 4


# --- outputs ---


def test_a_file_as_camera_becomes_a_film_of_the_portrait(
    camera: Path, renderings: list[Frame], own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words_for(camera, "-o", "out.mp4", "--stats", "stats.jsonl", "--json")) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["outputs"] == ["out.mp4"] and facts["seen"] == 15 and facts["held"] == 0
    assert facts["shown"] + facts["dropped"] == 15
    info = probe_video(Path("out.mp4"))
    assert info.fps == 10 and (info.height, info.width) == (SIDE, SIDE)
    assert abs(info.frame_count - 15) <= 3  # as long as the camera's, whatever was dropped
    check_film(list(read_video(Path("out.mp4"))), renderings)
    assert "synthetic" in (read_mark(Path("out.mp4")) or "")
    lines = [json.loads(line) for line in Path("stats.jsonl").read_text().splitlines()]
    assert len(lines) == facts["shown"] and all(line["delay_ms"] > 0 and line["faces"] == 1 for line in lines)
    assert sorted(path.name for path in own_folder.iterdir()) == ["out.mp4", "stats.jsonl"]


def test_raw_video_in_a_pipe_carries_the_same_pictures_and_its_mark(
    camera: Path, renderings: list[Frame], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(words_for(camera, "-o", "-", "--quiet")) == 0
    made = capfdbinary.readouterr().out
    head = made.partition(b"\n")[0]
    assert head.startswith(b"YUV4MPEG2 W128 H128 F10:1") and b"synthetic" in head
    Path("out.y4m").write_bytes(made)
    check_film(frames_of(Path("out.y4m")), renderings)


def test_mpegts_and_a_film_at_once(camera: Path, renderings: list[Frame]) -> None:
    words = words_for(camera, "-o", "-", "-o", "out.mkv", "--format", "mpegts", "--quiet", "--crf", "14")
    done = subprocess.run([*MODULE, *words], capture_output=True, check=True)
    Path("out.ts").write_bytes(done.stdout)
    check_film(frames_of(Path("out.ts")), renderings)
    check_film(list(read_video(Path("out.mkv"))), renderings)


def frames_of(path: Path) -> list[Frame]:
    raw = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
    return list(np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 3))


def test_a_call_carries_the_motion_and_nothing_is_rendered(
    camera: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("rendered")

    monkeypatch.setattr(LivePortrait, "render", refuse)
    # Three times over: on a busy machine the call may be open only after a second, and what was before is not in it.
    ffmpeg("-stream_loop", "2", "-i", camera, "-c", "copy", "long.mp4")
    result = run_live([str(PORTRAIT)], ["talk.v2v"], LiveOptions(camera="long.mp4", size=SIDE, smooth=0), model=model)
    assert result.seen == 45 and result.shown == 0
    assert main(["decode", "talk.v2v", "-o", "decoded.mp4", "--quiet"]) == 0
    frames = list(read_video(Path("decoded.mp4")))
    assert 15 <= len(frames) <= 47 and frames[0].shape == (SIDE, SIDE, 3)
    moved = max(np.abs(frames[0].astype(float) - frame).mean() for frame in frames)
    assert moved > 0.3


def test_a_pipe_as_camera(camera: Path, renderings: list[Frame]) -> None:
    remuxed = ffmpeg("-i", camera, "-c", "copy", "-f", "mpegts", "pipe:1")
    words = words_for("-", "-o", "out.mkv", "--quiet")
    subprocess.run([*MODULE, *words], input=remuxed, check=True)
    frames = list(read_video(Path("out.mkv")))  # it came faster than it was shown
    assert frames and nearest(frames[-1], renderings)[1] < 7


# --- endings ---


def test_a_signal_finishes_the_recording(camera: Path, own_folder: Path) -> None:
    child = start(*words_for(camera, "--loop", "-o", "out.mp4", "--stats", "stats.jsonl"))
    stats = own_folder / "stats.jsonl"
    wait_for(lambda: stats.exists() and stats.read_text().count("\n") > 3, child)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (0, "") and out.startswith("out.mp4: ")
    assert len(list(read_video(Path("out.mp4")))) > 2


def test_it_ends_when_its_time_is_over(camera: Path, model: LoadedModel) -> None:
    options = LiveOptions(camera=str(camera), size=SIDE, loop=True, duration="0.8")
    result = run_live([str(PORTRAIT)], ["out.mp4"], options, model=model)
    assert 0.8 <= result.seconds < 20 and result.seen >= 8


def test_a_reader_that_goes_ends_it_in_one_line(camera: Path) -> None:
    child = subprocess.Popen(
        [*MODULE, *words_for(camera, "--loop", "-o", "-")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None and child.stderr is not None
    child.stdout.read(1000)
    child.stdout.close()
    error = child.stderr.read().decode()
    assert child.wait(120) == 1 and error.endswith("standard output: cannot be written: Broken pipe\n")
    assert error.count("\n") == 1


# --- what is refused ---


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (["-o", "out.mp4", "--no-label"], "--consent"),
        (["-o", "out.mp4", "-o", "out.mp4"], "named twice"),
        (["-o", "out.txt"], "not a video"),
        (["-o", "somewhere"], "live pictures go to"),
        (["-o", "-", "--crf", "3"], "leave out --codec"),
        (["-o", "out.mp4", "--yaw", "120"], "--yaw 120"),
        (["-o", "out.mp4", "--background", "transparent"], "--background transparent"),
        (["-o", "out.mp4", "--duration", "soon"], "--duration soon"),
        (["-o", "out.mp4", "--wrinkles", "2"], "--wrinkles 2"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(
    camera: Path, more: list[str], error: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vid2vid_cli.live.run.start_engine", None)
    assert main(words_for(camera, *more)) in (1, 2)
    said = capsys.readouterr().err
    assert error in said and said.count("\n") == 1


def test_nothing_is_overwritten(camera: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("out.mp4", "stats.jsonl"):
        Path(name).write_text("mine")
        assert main(words_for(camera, "-o", "new.mp4" if name != "out.mp4" else name, "--stats", "stats.jsonl")) == 1
        assert "--force" in capsys.readouterr().err and Path(name).read_text() == "mine"
        Path(name).unlink()


def test_a_camera_that_is_not_there_leaves_nothing_behind(
    own_folder: Path, model: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words_for("63", "-o", "out.mp4")) == 1
    assert "vid2vid cameras" in capsys.readouterr().err and not list(own_folder.iterdir())


# --- the label ---


def test_the_label_is_readable_on_bright_and_dark_and_touches_nothing_else() -> None:
    for level in (0, 128, 255):
        plain = np.full((240, 320, 3), level, np.uint8)
        shown = with_label(plain)
        assert (plain == level).all()  # not drawn into the picture that was given
        rows, columns = np.nonzero((shown != plain).any(-1))
        assert rows.min() > 200 and rows.max() < 240 and columns.max() < 120
        part = shown[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(int)
        letters, plate = part.max(), np.median(part)
        assert letters > 250 and letters - plate > 100
    assert with_label(np.zeros((12, 12, 3), np.uint8)).shape == (12, 12, 3)


def test_the_word_goes_only_with_consent(camera: Path, model: LoadedModel, renderings: list[Frame]) -> None:
    words = words_for(
        camera, "-o", "out.mkv", "--no-label", "--consent", "I have the consent of the person shown", "-q"
    )
    assert main(words) == 0
    frame = list(read_video(Path("out.mkv")))[-1]
    stamp = stamp_of(SIDE, "synthetic")
    height, width = stamp.kept.shape[:2]
    corner = slice(SIDE - height // 3 - height, SIDE - height // 3), slice(height // 3, height // 3 + width)
    place, _ = nearest(frame[:100], [each[:100] for each in renderings])
    assert np.abs(frame[corner].astype(float) - renderings[place][corner]).mean() > 20


def test_at_a_terminal_the_consent_is_asked_for(
    camera: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr("typer.confirm", lambda text, err: asked.append(text))  # whose answer is no
    assert main(words_for(camera, "-o", "out.mp4", "--no-label")) == 2
    assert len(asked) == 1 and "agree" in asked[0] and "--consent" in capsys.readouterr().err


# --- addresses ---


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def jpegs_over_http() -> Iterator[str]:
    """Serve a picture again and again as cameras with a web page do, as multipart JPEG."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            try:
                for number in itertools.count():
                    picture = np.full((48, 64, 3), 60 + number % 2 * 120, np.uint8)
                    data = cv2.imencode(".jpg", picture)[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")
            except OSError:
                return

        def log_message(self, *given: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/camera"
    finally:
        server.shutdown()


def test_a_camera_with_a_web_page() -> None:
    with jpegs_over_http() as url, open_capture(parse_capture(url), 10**6) as video:
        assert video.size == (48, 64)
        levels = {round(float(frame.mean()) / 60) for frame in itertools.islice(video.frames(10), 10)}
    assert levels == {1, 3}


def test_a_stream_of_mpegts_by_tcp(camera: Path) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    sending = [executable(), "-v", "error", "-re", "-stream_loop", "-1", "-i", str(camera), "-c:v", "mpeg2video"]
    server = subprocess.Popen([*sending, "-f", "mpegts", f"{address}?listen=1"], stdin=subprocess.DEVNULL)
    try:
        for _ in range(50):
            try:
                video = open_capture(parse_capture(address), 10**6)
                break
            except Exception:  # noqa: BLE001  it does not listen yet
                threading.Event().wait(0.2)
        with video:
            assert video.size == (256, 256) and len(list(itertools.islice(video.frames(10), 5))) == 5
    finally:
        server.kill()
        server.wait()


def test_a_camera_that_speaks_rtsp() -> None:
    has_server = (
        shutil.which(SYSTEM_PYTHON) is not None
        and not subprocess.run(
            [SYSTEM_PYTHON, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"],
            capture_output=True,
            check=False,
        ).returncode
    )
    if not has_server:
        pytest.skip("no RTSP server: apt install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good")
    port = free_port()
    script = Path(__file__).parent / "support" / "rtsp_server.py"
    with subprocess.Popen([SYSTEM_PYTHON, script, str(port)], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None and server.stdout.readline() == b"ready\n"
            with open_capture(parse_capture(f"rtsp://127.0.0.1:{port}/test"), 10**6) as video:
                frames = list(itertools.islice(video.frames(10), 12))
            assert video.size == (240, 320) and (frames[0] != frames[-1]).any()
        finally:
            server.kill()


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="no Xvfb: apt install xvfb")
def test_a_part_of_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "320x240x24"], stdout=reading, stderr=writing
    ) as server:
        try:
            assert server.stdout is not None
            monkeypatch.setenv("DISPLAY", f":{int(server.stdout.readline())}")
            with open_capture(parse_capture("screen:64x48+100+50"), 10**6) as video:
                assert video.size == (48, 64) and next(video.frames(10)).shape == (48, 64, 3)
            with open_capture(parse_capture("screen"), 10**6) as video:
                assert video.size == (240, 320)
        finally:
            server.terminate()


def test_cameras_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cameras", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out)["cameras"], list)
    if sys.platform == "linux" and not list(Path("/dev").glob("video*")):
        assert main(["cameras"]) == 0
        assert "no camera found" in capsys.readouterr().out
