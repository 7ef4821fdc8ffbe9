"""`vid2vid batch`: whole batches, and that nothing keeps them from ending right."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.amount import fuzz_count
from tests.support.batches import FRAMES, outputs_in, report_in, run, sha256_of
from tests.support.processes import MODULE, all_end_promptly, processes_in, run_in_terminal, start, wait_for
from vid2vid_cli.batch.jobs import Job, Sides, checkpoint_parts
from vid2vid_cli.batch.options import BatchOptions
from vid2vid_cli.batch.report import Outcome, Report
from vid2vid_cli.batch.run import BatchHooks, BatchResult, make_jobs, run_batch
from vid2vid_cli.cli.batch import summary
from vid2vid_cli.cli.batch_console import BatchReporter
from vid2vid_cli.cli.console import Verbosity
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.video import probe_video
from vid2vid_cli.pipeline.options import ReenactOptions

linux_only = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")

pytestmark = pytest.mark.usefixtures("own_folder", "own_signals")

KILLS = fuzz_count(3, 10)  # with the third, workers die too


# --- whole batches ---


@pytest.mark.parametrize("sources", ["*[ab].png", "anna.png"])
def test_two_workers_compute_each_motion_once_and_each_source_once_each(sources: str, material: Path) -> None:
    """Each with its own source as far as there are enough; with the motion that the other has read."""
    Path("d").mkdir()
    for k in range(3):
        shutil.copy(material / "d" / "nod.mp4", f"d/c{k}.mp4")
        with Path(f"d/c{k}.mp4").open("ab") as file:
            file.write(bytes(8) + bytes([k]))  # another content, the same clip
    options = BatchOptions(jobs=2)
    jobs = make_jobs(Sides(str(material / "s" / sources), "d"), "out", ReenactOptions(size=64), options)
    workers = set()
    hooks = BatchHooks(progress=lambda worker, job, done, total: workers.add(worker))
    assert run_batch(jobs, "out", options, hooks).failures == []
    computed = Counter((name, row[name]) for row in report_in("out") for name in row["computed"])
    assert {count for (name, _), count in computed.items() if name == "driving"} == {1}
    assert max(count for (name, _), count in computed.items() if name == "source") <= len(workers)
    assert len(computed) == len({job.source for job in jobs}) + 3
    assert workers == {0, 1}
    assert len({row["sha256"] for row in report_in("out")}) == len({job.source for job in jobs})


def test_a_batch_from_begin_to_end(material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sides = [material / "s", material / "d"]
    assert run("batch", *sides, "-o", "out", "--size", 64, "--dry-run") == 0
    assert capsys.readouterr().out.count("reenact") == 6 and not Path("out").exists()
    Path("out").mkdir()
    Path("out", "bob--nod.mp4").write_text("mine")
    words = ["batch", *sides, "-o", "out", "--size", 64, "--jobs", 2]
    assert run(*words) == 5
    said = capsys.readouterr()
    assert "3 of these" not in said.err and "1 files of these folders" in said.err
    assert said.err.count("no face found") == 2 and "bob--nod.mp4: exists already" in said.out
    assert "Traceback" not in said.err + said.out
    rows = report_in("out")
    assert [row["job"] for row in rows] == list(range(6))
    assert [row["state"] for row in rows] == ["done", "done", "refused", "done", "failed", "failed"]
    assert [row["frames"] for row in rows] == [8, 8, 0, 8, 0, 0]
    assert Path("out", "bob--nod.mp4").read_text() == "mine"
    for row in rows:
        if row["state"] == "done":
            assert row["sha256"] == sha256_of(row["output"]) and row["seconds"] > 0 and row["error"] is None
            assert probe_video(row["output"]).frame_count == FRAMES
        elif row["state"] == "failed":
            assert "hill.png: no face found" in row["error"] and row["attempts"] == 1 and row["exit_code"] == 3
    check_resume(words, capsys)


def check_resume(words: Sequence[Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Run once more: what is whole stays untouched, what is not is made again."""
    stamps = {name: Path("out", name).stat().st_mtime_ns for name in outputs_in("out")}
    whole = Path("out", "anna--nod.mp4").read_bytes()
    Path("out", "anna--nod.mp4").write_bytes(whole[:-9])
    Path("out", "anna--talk.mp4").unlink()
    assert run(*words, "--jobs", 1, "--json", "-q") == 5
    facts = json.loads(capsys.readouterr().out)
    assert (facts["done"], facts["done_before"], facts["failed"]) == (2, 1, 3)
    assert Path("out", "anna--nod.mp4").read_bytes() == whole
    assert Path("out", "bob--talk.mp4").stat().st_mtime_ns == stamps["bob--talk.mp4"]
    assert [row["job"] for row in report_in("out")] == list(range(6))
    assert run(*words[:1], words[1] / "*[ab].png", *words[2:], "--force", "--size", 96, "--jobs", 1) == 0
    assert probe_video("out/bob--nod.mp4").width == probe_video("out/anna--nod.mp4").width == 96
    assert len(report_in("out")) == 4


def test_rows_of_both_commands_and_one_whose_file_is_gone(material: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"source": str(material / "s" / "bob.png"), "yaw": "20", "output": "turned.png"},
        {"source": "gone.png", "driving": str(material / "d" / "nod.mp4")},
        {"source": str(material / "s" / "anna.png"), "driving": str(material / "d" / "talk.mp4"), "output": "f/frames"},
        {"source": str(material / "s" / "anna.png"), "driving": str(material / "d" / "talk.mp4"), "yaw": "x"},
    ]
    Path("jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("batch", "--manifest", "jobs.jsonl", "-o", "out", "--size", 64, "-q") == 5
    made = report_in("out")
    assert [row["state"] for row in made] == ["done", "failed", "done", "failed"]
    assert Image.open("out/turned.png").width == 64
    assert len(list(Path("out/f/frames").glob("*.png"))) == FRAMES
    assert (
        made[1]["error"] == "gone.png: no such file; check the name"
        and "--yaw x" in made[3]["error"]
        and made[3]["exit_code"] == 2
    )
    assert run("batch", "--manifest", "jobs.jsonl", "-o", "out", "--size", 64, "-q", "--json") == 5
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["done_before"] == 2


def test_a_call_drives_a_batch_and_a_row_as_it_drives_reenact(material: Path) -> None:
    """With its sound, and for every source the very file that the single command makes."""
    assert run("encode", material / "d" / "talk.mp4", "-o", "call.v2v", "-q") == 0
    sources = {name: material / "s" / f"{name}.png" for name in ("anna", "bob")}
    assert run("batch", material / "s" / "[ab]*.png", "call.v2v", "-o", "out", "--size", 64, "-q") == 0
    Path("jobs.csv").write_text(f"source,driving,output\n{sources['bob']},call.v2v,row.mp4\n")
    assert run("batch", "--manifest", "jobs.csv", "-o", "rows", "--size", 64, "-q") == 0
    for name, source in sources.items():
        assert run("reenact", source, "call.v2v", "-o", f"{name}.mp4", "--size", 64, "-q") == 0
        info = probe_video(f"out/{name}--call.mp4")
        assert (info.frame_count, info.has_audio) == (FRAMES, True)
        assert sha256_of(f"out/{name}--call.mp4") == sha256_of(f"{name}.mp4")
    assert sha256_of("rows/row.mp4") == sha256_of("bob.mp4")


def test_what_a_user_puts_in_the_place_of_a_failed_output_stays(material: Path) -> None:
    words = ["batch", material / "s" / "[ah]*.png", material / "d" / "nod.mp4", "-o", "out", "--size", 64, "-q"]
    assert run(*words) == 5
    Path("out", "hill--nod.mp4").write_text("mine")
    assert run(*words) == 5
    assert [row["state"] for row in report_in("out")] == ["done", "refused"]
    assert Path("out", "hill--nod.mp4").read_text() == "mine"
    Path("out", "anna--nod.mp4").write_text("damaged")  # which a batch has made, and makes again
    assert run(*words) == 5
    assert probe_video("out/anna--nod.mp4").frame_count == FRAMES


def test_another_checkpoint_under_the_same_name_is_another_job(tmp_path: Path) -> None:
    job = Job(0, Path("s"), Path("d"), Path("o.mp4"), ReenactOptions(checkpoint="set"))
    (tmp_path / "set").mkdir()
    recipes = set()
    for content in (b"1", b"22", b"333"):
        (tmp_path / "set" / "w.pth").write_bytes(content)
        recipes.add(Report(tmp_path, [job]).recipe(job))
    assert len(recipes) == 3 and job.checkpoint_path == Path("set")
    assert [path.name for path in checkpoint_parts("compact")] == ["compact.safetensors"]
    assert checkpoint_parts("fomm") == [] == checkpoint_parts("gone.pth")


def test_a_long_batch_has_more_than_a_day() -> None:
    result = BatchResult(Path("report.jsonl"), jobs=1, done=1, seconds=30 * 3600 + 62)
    assert "30:01:02" in summary(result)


def test_what_several_jobs_are_warned_of_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with BatchReporter(Verbosity(), 3) as reporter:
        for index, warnings in enumerate([("not signed",), ("not signed", "no sound"), ()]):
            job = Job(index, Path("a.png"), Path("b.mp4"), Path(f"{index}.mp4"), ReenactOptions())
            reporter.hooks.ended(job, Outcome("done", warnings=warnings), index + 1, 3)
    said = capsys.readouterr().err
    assert (said.count("warning: not signed"), said.count("warning: no sound")) == (1, 1)


def test_a_file_system_without_locks_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with Report(Path(), []):
        pass
    assert Path("report.jsonl").exists()


def test_a_late_job_is_given_up_and_the_rest_goes_on(media_dir: Path, material: Path) -> None:
    long = media_dir / "drivings" / "d07_woman_seated_hevc_audio.mp4"
    Path("jobs.csv").write_text(
        f"source,driving,size,output\n{material}/s/anna.png,{long},2000,long.mp4\n"
        f"{material}/s/anna.png,{material}/d/nod.mp4,64,short.mp4\n"
    )
    assert run("batch", "--manifest", "jobs.csv", "-o", "out", "--timeout", 8, "--retry", 0, "-q") == 5
    late, short = report_in("out")
    assert late["state"] == "failed" and "not ready after 8 s" in late["error"] and short["state"] == "done"
    assert outputs_in("out") == ["short.mp4"]


@linux_only
def test_a_terminal_sees_all_jobs_move(material: Path) -> None:
    words = ["batch", material / "s" / "*[abl].png", material / "d" / "nod.mp4", "-o", "out", "--size", "64", "-j", "2"]
    code, out, seen = run_in_terminal([*MODULE, *words])
    assert code == 5 and "jobs  done  done before  failed  frames  held" in out
    for words_seen in ("anna--nod.mp4", "bob--nod.mp4", "/3", "hill--nod.mp4: failed:"):
        assert words_seen in seen
    assert "frames in" not in seen  # that is for logs


def test_another_batch_in_the_same_folder_is_refused() -> None:
    with Report(Path(), []), pytest.raises(MediaError, match="another batch is using it"), Report(Path(), []):
        pass


# --- killed ---


def workers_of(driver: subprocess.Popen[str]) -> list[int]:
    """List the worker processes of a batch."""
    try:
        return [int(pid) for pid in Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()]
    except OSError:
        return []


def wait_until_gone(folder: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while processes_in(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_in(folder) == []


@linux_only
def test_a_killed_worker_is_replaced_and_its_job_done_again(material: Path, tmp_path: Path) -> None:
    driver = start("batch", material / "s" / "*[ab].png", material / "d", "-o", "out", "--size", "64")
    wait_for((tmp_path / "out" / "anna--nod.mp4").exists, driver)
    (worker,) = workers_of(driver)
    os.kill(worker, signal.SIGKILL)
    out, err = driver.communicate(timeout=90)
    assert driver.returncode == 0, err
    rows = report_in("out")
    assert [row["state"] for row in rows] == ["done"] * 4 and max(row["attempts"] for row in rows) <= 2
    assert workers_of(driver) == [] and "jobs an hour" in out


@linux_only
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_workers(
    number: signal.Signals, code: int, media_dir: Path, material: Path, tmp_path: Path
) -> None:
    clip = media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"

    def attempt() -> float:
        driver = start("batch", material / "s" / "*[ab].png", clip, "-o", "out", "-j", "2", "-q")
        wait_for(lambda: list(tmp_path.glob("out/.vid2vid-*/encoded.mp4")), driver)
        began = time.monotonic()
        driver.send_signal(number)
        out, err = driver.communicate(timeout=60)
        wait_until_gone(tmp_path, 60)
        took_s = time.monotonic() - began
        assert (driver.returncode, out) == (code, "") and "Traceback" not in err
        assert outputs_in("out") == [] and not list(tmp_path.rglob(".vid2vid-*"))
        return took_s

    all_end_promptly(attempt)


@linux_only
def test_an_output_made_just_when_the_batch_was_killed_is_its_own(material: Path, tmp_path: Path) -> None:
    words = ["batch", material / "s" / "anna.png", material / "d" / "nod.mp4", "-o", "out", "-q"]
    driver = start(*words, "--size", "1024")
    wait_for(lambda: list(tmp_path.glob("out/.vid2vid-*/encoded.mp4")), driver)
    driver.kill()
    driver.communicate()
    wait_until_gone(tmp_path, 10)
    Path("out", "anna--nod.mp4").write_text("whole, but not noted any more")
    assert run(*words, "--size", 64) == 0
    assert probe_video("out/anna--nod.mp4").frame_count == FRAMES


@linux_only
def test_a_batch_killed_again_and_again_ends_with_exactly_the_right_set(material: Path, tmp_path: Path) -> None:
    for k in range(8):  # forty jobs
        picture = np.array(Image.open(material / "s" / ("anna.png" if k % 2 else "bob.png")))
        Path("s").mkdir(exist_ok=True)
        Image.fromarray(np.roll(picture, k, axis=1)).save(f"s/p{k}.png")
    Path("d").mkdir()
    for k in range(5):
        shutil.copy(material / "d" / "nod.mp4", f"d/c{k}.mp4")
        with Path(f"d/c{k}.mp4").open("ab") as file:
            file.write(bytes(8) + bytes([k]))  # another content, the same clip
    expected = sorted(f"p{s}--c{d}.mp4" for s in range(8) for d in range(5))
    words = ["batch", "s", "d", "-o", "out", "--size", "64", "-j", "2", "-q"]
    draw, kills, cleans = random.Random(5), 0, 0
    while kills < KILLS:
        driver = start(*words)
        try:
            driver.wait(draw.uniform(0.5, 4.0))
            assert driver.returncode == 0, driver.communicate()
            for name in draw.sample(expected, 20):  # it was done: take away a half
                Path("out", name).unlink()
        except subprocess.TimeoutExpired:
            os.kill(driver.pid, signal.SIGKILL)
            kills += 1
            if kills % 3 == 0:
                for worker in workers_of(driver):
                    os.kill(worker, signal.SIGKILL)
            driver.wait()
        driver.communicate()
        wait_until_gone(tmp_path, 10)
        made = outputs_in("out") if Path("out").exists() else []
        assert set(made) <= set(expected)
        cleans += all(
            probe_video(Path("out", name)).frame_count == FRAMES for name in draw.sample(made, min(3, len(made)))
        )
    assert cleans >= KILLS
    driver = start(*words)
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    rows = report_in("out")
    assert outputs_in("out") == expected == sorted(Path(row["output"]).name for row in rows)
    assert {row["state"] for row in rows} == {"done"} and len({row["sha256"] for row in rows}) <= 8
    assert all(row["sha256"] == sha256_of(row["output"]) for row in rows)
    assert sorted(path.name for path in Path("out").iterdir()) == sorted([".cache", *expected, "report.jsonl"])
