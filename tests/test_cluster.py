"""`vid2vid batch --cluster` and `vid2vid serve --cluster` on one real Ray of this machine with two workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tests.support.clips import ffmpeg
from tests.support.processes import MODULE, all_end_promptly, slowness, start, wait_for
from tests.support.ray_cluster import running_ray
from tests.support.servers import serving, wait_until
from vid2vid_cli.batch.cluster import KILLED_S, Cluster, resources, sigterm_kept
from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.batch.local import Crew
from vid2vid_cli.batch.node import (
    LateError,
    Shipment,
    TaskLimits,
    pack_output,
    private_folder,
    publish_output,
    time_limit,
    unpack,
    vid2vid_job,
)
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.video import probe_video
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

FRAMES = 8
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for Ray's processes in /proc")


@pytest.fixture(scope="module")
def material(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("material")
    for side in ("s", "d"):
        (home / side).mkdir()
    for name, file in (("anna", "s27_ai_woman.png"), ("bob", "s16_man_smiling.jpg"), ("hill", "s23_no_face.jpg")):
        picture = Image.open(media_dir / "sources" / file).convert("RGB")
        picture.thumbnail((192, 192))
        picture.save(home / "s" / f"{name}.png")
    for k in range(3):
        clip = media_dir / "drivings" / "d14_actor_left_turn_256.mp4"
        ffmpeg("-ss", str(k / 5), "-i", clip, "-frames:v", str(FRAMES), "-vf", "scale=192:-2", home / "d" / f"c{k}.mp4")
    return home


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_ray() as address:
        yield address


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def report_in(folder: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "report.jsonl").read_text().splitlines()]


def working(what: str = "vid2vid_job") -> list[int]:
    """List the processes that do a job just now, or are the actor of another name: Ray names them after that."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cmdline").read_bytes().startswith(f"ray::{what}".encode()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_worker_killed_in_the_middle_is_made_up_for_by_another(
    address: str, material: Path, media_dir: Path, tmp_path: Path
) -> None:
    long = media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"
    rows = ["source,driving,size,end,output", f"{material}/s/anna.png,{long},512,1.6,long.mp4"]
    rows += [f"{material}/s/{name}.png,{material}/d/c0.mp4,64,,{name}.mp4" for name in ("anna", "bob", "hill")]
    Path("jobs.csv").write_text("\n".join(rows) + "\n")
    driver = start("batch", "--manifest", "jobs.csv", "-o", "out", "--cluster", address)
    wait_for(lambda: working() and list(tmp_path.glob("out/.vid2vid-*/encoded.mp4")), driver)
    for worker in [*working(), *working("Progress")]:
        os.kill(worker, signal.SIGKILL)
    _, err = driver.communicate(timeout=240)
    assert driver.returncode == 5, err
    made = report_in("out")
    assert [row["state"] for row in made] == ["done", "done", "done", "failed"]
    assert max(row["attempts"] for row in made) == 2 and "hill.png: no face found" in made[3]["error"]
    assert probe_video("out/long.mp4").frame_count == 40 and probe_video("out/bob.mp4").frame_count == FRAMES
    assert sorted(path.name for path in Path("out").glob("*.mp4")) == ["anna.mp4", "bob.mp4", "long.mp4"]
    assert err.count("[") == 4 and "Traceback" not in err  # the same line a job as from local workers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_what_the_cluster_does(
    number: signal.Signals, address: str, material: Path, media_dir: Path, tmp_path: Path
) -> None:
    clip = media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"
    words = ["batch", material / "s" / "anna.png", clip, "-o", "out", "--cluster", address, "--size", "1024", "-q"]

    def attempt() -> float:
        driver = start(*words)
        wait_for(lambda: list(tmp_path.glob("out/.vid2vid-*/encoded.mp4")), driver)
        began = time.monotonic()
        driver.send_signal(number)
        _, err = driver.communicate(timeout=60)
        assert driver.returncode == 128 + number and "Traceback" not in err
        while (working() or list(tmp_path.rglob(".vid2vid-*"))) and time.monotonic() < began + 60:
            time.sleep(0.02)
        took_s = time.monotonic() - began
        assert working() == [] and list(tmp_path.rglob(".vid2vid-*")) == [] and not list(tmp_path.glob("out/*.mp4"))
        return took_s

    all_end_promptly(attempt)


def test_what_a_cancelled_worker_cannot_clean_up_is_removed(
    address: str, material: Path, media_dir: Path, tmp_path: Path
) -> None:
    clip = media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"
    words = ["batch", material / "s" / "anna.png", clip, "-o", "out", "--cluster", address, "--size", "1024", "-q"]
    driver = start(*words)
    wait_for(lambda: list(tmp_path.glob("out/.vid2vid-*/encoded.mp4")), driver)
    workers = working()
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # as one that has no time on a busy node
    driver.send_signal(signal.SIGINT)
    time.sleep(1)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 128 + signal.SIGINT and "Traceback" not in err
    assert workers and list(tmp_path.rglob(".vid2vid-*")) == []


HELD = """
import os, signal, sys, time
from pathlib import Path
from vid2vid_cli.process.scratch import Scratch
with Scratch(Path("out/slow.mp4")):
    print("open", flush=True)
    time.sleep(float(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_worker_leaves_is_removed_however_slowly_it_dies(tmp_path: Path) -> None:
    Path("out").mkdir()
    dying = subprocess.Popen([sys.executable, "-c", HELD, str(KILLED_S + 2)], stdout=subprocess.PIPE, text=True)
    assert dying.stdout is not None and dying.stdout.readline() == "open\n"
    crew = Crew(1, 0, 0, Path("out/.cache"), lambda job: None, lambda *progress: None)
    task, job = object(), Job(0, Path("a.png"), Path("d.mp4"), Path("out/slow.mp4"), ReenactOptions())
    # A Ray whose task never ends by itself.
    ray: Any = SimpleNamespace(cancel=lambda *task, force: None, wait=lambda tasks, **limits: ([], tasks), kill=print)
    Cluster(ray, crew, ship=False, ours=False, progress=None, tasks={task: job}).close()
    assert dying.wait() == -signal.SIGKILL and not list(tmp_path.rglob(".vid2vid-*"))


def test_a_signal_while_ray_connects_means_what_it_did_before() -> None:
    def ours(number: int, frame: object) -> None:
        sys.exit(128 + number)

    usual = signal.signal(signal.SIGTERM, ours)
    try:
        with pytest.raises(SystemExit) as ending, sigterm_kept():
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # as Ray does
            signal.raise_signal(signal.SIGTERM)
        assert ending.value.code == 143 and signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, usual)


def test_files_are_shipped_to_the_cluster_and_back(
    address: str, material: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", f"{material}/s/*[abl].png", f"{material}/d/c[01].mp4", "-o", "out", "--size", "64"]
    assert main([*words, "--cluster", address, "--ship-inputs", "--retry", "0"]) == 5
    said = capsys.readouterr()
    assert str(material / "s" / "hill.png") in said.err and "vid2vid-job" not in said.err
    assert [row["state"] for row in report_in("out")] == ["done"] * 4 + ["failed"] * 2
    for row in report_in("out")[:4]:
        alone = reenact(row["source"], row["driving"], "alone.mp4", ReenactOptions(size=64, force=True))
        assert alone.output.read_bytes() == Path(row["output"]).read_bytes()
    assert not (Path("out") / ".cache").exists()  # nothing needs to be shared
    assert not list(Path("out").glob(".vid2vid-*"))
    assert main([*words, "--cluster", address, "--ship-inputs", "-q", "--json", "--retry", "0"]) == 5
    assert json.loads(capsys.readouterr().out)["done_before"] == 4


def test_no_ray_and_no_cluster_are_told_in_one_line(
    material: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["batch", f"{material}/s", f"{material}/d", "-o", "out", "--cluster", "auto"]
    assert main(words) == 2
    assert capsys.readouterr().err == "error: --cluster: Ray is not installed; pip install 'vid2vid[cluster]'\n"


@pytest.mark.parametrize("where", ["127.0.0.1:1", "127.0.0.1:x", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there(where: str, material: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vid2vid[cluster]'")
    words = ["batch", material / "s" / "anna.png", material / "d" / "c0.mp4", "-o", "out", "--cluster", where]
    done = subprocess.run([*MODULE, *words], capture_output=True, encoding="utf-8", check=False, timeout=120)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and f"--cluster {where}: no" in done.stderr


def test_what_is_packed_on_a_node_is_published_whole(tmp_path: Path) -> None:
    frames = tmp_path / "node" / "frames"
    frames.mkdir(parents=True)
    (frames / "frame_000000.png").write_bytes(b"0")
    publish_output(tmp_path / "out" / "frames", pack_output(frames))
    assert (tmp_path / "out" / "frames" / "frame_000000.png").read_bytes() == b"0"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["frames"]
    (tmp_path / "out" / "frames" / "frame_000001.png").write_bytes(b"of an earlier, longer run")
    publish_output(tmp_path / "out" / "frames", pack_output(frames))
    assert [path.name for path in (tmp_path / "out" / "frames").iterdir()] == ["frame_000000.png"]
    job = Job(0, Path("s/a.png"), Path("d/a.png"), Path("out/x.mp4"), ReenactOptions(checkpoint="m.safetensors"))
    local = unpack(job, tmp_path, Shipment(has_checkpoint=True), (b"source", b"driving", b"model"))
    assert local.driving is not None and local.source != local.driving
    assert (local.source.read_bytes(), local.driving.read_bytes()) == (b"source", b"driving")
    assert Path(local.options.checkpoint).read_bytes() == b"model" and local.output.name == "x.mp4"


def test_a_node_shares_its_temporary_files_with_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = private_folder()
    assert folder == private_folder() and folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MediaError, match="belongs to somebody else"):
        private_folder()
    job = Job(0, Path("s"), Path("d"), Path("o.mp4"), ReenactOptions())
    outcome, content = vid2vid_job(job.to_json(), TaskLimits("", 0.0), Unheard(), Shipment(False), b"s", b"d")
    assert "belongs to somebody else" in outcome["error"] and content is None


class Unheard:
    """In the place of Ray's actor that hears how far jobs are."""

    report = property(lambda self: self)

    def remote(self, *_: Any) -> None:
        return


def test_a_job_takes_its_threads_and_a_card_of_a_node() -> None:
    def needs(**options: Any) -> dict[str, float]:
        return resources(Job(0, Path("s"), Path("d"), Path("o"), ReenactOptions(**options)))

    assert needs() == {"CPU": 1, "GPU": 0} and needs(threads=3, device="cpu") == {"CPU": 3, "GPU": 0}
    assert needs(device="cuda:1") == {"CPU": 1, "GPU": 1}


def test_a_job_on_a_node_has_its_time() -> None:
    began = time.monotonic()
    with pytest.raises(LateError), time_limit(0.2):
        time.sleep(30)
    assert time.monotonic() - began < 20
    with time_limit(0.1):
        pass
    time.sleep(0.2)  # the alarm is off again


# --- the server ---


def test_jobs_go_to_the_cluster_and_can_be_cancelled(address: str, material: Path, tmp_path: Path) -> None:
    clip = tmp_path / "long.mp4"
    ffmpeg("-stream_loop", "300", "-i", material / "d" / "c0.mp4", "-c", "copy", clip)
    with serving(tmp_path / "tmp", "--cluster", address) as server:
        face, nod, long = (server.send(path)["id"] for path in (material / "s/anna.png", material / "d/c0.mp4", clip))
        small = {"size": 64, "body": False}
        job = server.finished(server.ask_for("reenact", face, nod, options=small).json()["id"])
        assert job["state"] == "done", job
        (tmp_path / "made.mp4").write_bytes(server.client.get(f"/api/jobs/{job['id']}/result").content)
        assert probe_video(tmp_path / "made.mp4").frame_count == job["done"] == FRAMES
        endless = server.ask_for("reenact", face, long, options=small).json()["id"]
        wait_until(lambda: server.client.get(f"/api/jobs/{endless}").json()["done"] > 0, 200)
        began = time.monotonic()
        assert server.client.delete(f"/api/jobs/{endless}").json()["state"] == "cancelled"
        assert time.monotonic() - began < 2 * slowness()
        after = server.finished(server.ask_for("rotate", face, options={"yaw": 5, "size": 64}).json()["id"])
        assert after["state"] == "done"
        refused = server.ask_for("rotate", face, options={"yaw": 5, "background": face})
        assert refused.status_code == 422 and "cluster" in refused.json()["error"]


def test_a_cluster_that_does_not_answer_is_told_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vid2vid[cluster]'")
    process = start("serve", "--port", "0", "--cluster", "127.0.0.1:9", TMPDIR=str(tmp_path))
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (2, "") and not list(tmp_path.iterdir())
    assert err.startswith("error: --cluster 127.0.0.1:9: nothing answers there") and err.count("\n") == 1
