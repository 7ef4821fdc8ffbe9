"""`vid2vid batch`: which jobs there are, what becomes of them, and that nothing keeps it from ending right."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from clips import ffmpeg
from PIL import Image
from processes import MODULE, all_end_promptly, processes_in, start, wait_for
from safetensors.torch import save_file
from test_cli_run import run_in_terminal

from vid2vid_cli.batch import local, workbench
from vid2vid_cli.batch.jobs import Job, Sides, check_clashes, check_template, checkpoint_parts, find_files, pair_files
from vid2vid_cli.batch.local import Queue
from vid2vid_cli.batch.options import BatchOptions
from vid2vid_cli.batch.report import Outcome, Report, failure
from vid2vid_cli.batch.run import BatchHooks, BatchResult, make_jobs, run_batch
from vid2vid_cli.cli.app import main
from vid2vid_cli.cli.batch import summary
from vid2vid_cli.errors import MediaError, UsageError
from vid2vid_cli.face.mesh import FaceTracker
from vid2vid_cli.media.video import probe_video
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.pipeline import memory
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.reenact import reenact

FRAMES = 8
linux_only = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def material(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small portraits and a landscape; two clips of eight frames, one with sound, and a text."""
    home = tmp_path_factory.mktemp("material")
    (home / "s").mkdir()
    (home / "d").mkdir()
    for name, file in (("anna", "s27_ai_woman.png"), ("bob", "s16_man_smiling.jpg"), ("hill", "s23_no_face.jpg")):
        picture = Image.open(media_dir / "sources" / file).convert("RGB")
        picture.thumbnail((192, 192))
        picture.save(home / "s" / f"{name}.png")
    for name, clip in (("nod", "d14_actor_left_turn_256.mp4"), ("talk", "d01_ai_man_turning_audio.mp4")):
        cut = ["-frames:v", str(FRAMES), "-vf", "scale=192:-2", "-shortest"]
        ffmpeg("-i", media_dir / "drivings" / clip, *cut, home / "d" / f"{name}.mp4")
    (home / "d" / "notes.txt").write_text("no clip")
    return home


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    assert not list(tmp_path.rglob(".vid2vid-*")), "a temporary file was left behind"


def report_in(folder: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "report.jsonl").read_text().splitlines()]


def outputs_in(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir() if path.suffix == ".mp4")


def sha256_of(path: Path | str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def run(*words: str | Path) -> int:
    return main([str(word) for word in words])


# --- which jobs there are ---


def test_a_side_is_a_folder_a_pattern_or_a_file(material: Path) -> None:
    found = find_files(str(material / "d"), "DRIVINGS")
    assert [file.name for file in found.files] == ["nod.mp4", "talk.mp4"] and found.skipped == 1
    assert [file.name for file in find_files(str(material / "s" / "*o*.png"), "SOURCES").files] == ["bob.png"]
    assert [file.name for file in find_files(str(material / "**" / "n*.mp4"), "DRIVINGS").files] == ["nod.mp4"]
    bracket = Path("a[1].png")
    shutil.copy(material / "s" / "bob.png", bracket)
    assert find_files(str(bracket), "SOURCES").files == [bracket]
    assert find_files("gone.png", "SOURCES").files == [Path("gone.png")]  # its job will say so
    Path("m").mkdir()
    shutil.copy(material / "s" / "bob.png", "m/a.safetensors")
    assert [file.name for file in find_files("m", "DRIVINGS").files] == ["a.safetensors"]
    for named, words in (("m", "no picture or video"), ("*.xyz", "no file matches")):
        with pytest.raises(UsageError, match=words):
            find_files(named, "SOURCES")


def test_pairs() -> None:
    a, b, x = Path("1/a.png"), Path("1/b.png"), Path("2/a.mp4")
    assert pair_files([a, b], [x, Path("y")], "product") == [(a, x), (a, Path("y")), (b, x), (b, Path("y"))]
    assert pair_files([a, b], [x, Path("y")], "zip") == [(a, x), (b, Path("y"))]
    assert pair_files([a, b], [x, Path("y.mp4")], "one-to-one-by-name") == [(a, x)]
    with pytest.raises(UsageError, match="2 sources and 1 drivings"):
        pair_files([a, b], [x], "zip")
    with pytest.raises(UsageError, match="no source has the same name"):
        pair_files([b], [x], "one-to-one-by-name")
    with pytest.raises(UsageError, match="two sources are called a"):
        pair_files([a, Path("3/a.jpg")], [x], "one-to-one-by-name")


@pytest.mark.parametrize(
    "template",
    ["{who}.mp4", "../{source}.mp4", "/tmp/{source}", "{source", "{source.stem}", "", "{}", "{0}", "{source!r}"],
)
def test_a_name_is_made_of_known_places_and_stays_in_its_folder(template: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        check_template(template)


def test_names_and_their_clashes_are_known_before_any_work(material: Path) -> None:
    for folder in ("s1", "s2"):
        Path(folder).mkdir()
        shutil.copy(material / "s" / "bob.png", f"{folder}/same.png")
    sides = ("s?/*.png", str(material / "d"))
    with pytest.raises(
        UsageError, match=r"same--nod\.mp4: 2 jobs would write it.*s1/same\.png.*s2/same\.png.*\{index\}"
    ):
        make_jobs(Sides(*sides), "out", ReenactOptions(), BatchOptions())
    named = make_jobs(Sides(*sides), "out", ReenactOptions(), BatchOptions(name="{index:03}/{driving}~{source}.{ext}"))
    assert [str(job.output) for job in named][:2] == ["out/000/nod~same.mp4", "out/001/talk~same.mp4"]
    still = make_jobs(Sides("s1", "s2/same.png"), "out", ReenactOptions(), BatchOptions())
    assert [job.output.name for job in still] == ["same--same.png"]
    with pytest.raises(UsageError, match="would replace an input"):
        make_jobs(Sides("s1", "s2"), "s1", ReenactOptions(), BatchOptions(name="same.png"))
    inside = [Job(k, Path("s"), Path("d"), Path(name), ReenactOptions()) for k, name in enumerate(("o/x", "o/x/y.mp4"))]
    with pytest.raises(UsageError, match="inside another output"):
        check_clashes(inside)
    assert run("batch", *sides, "-o", "out") == 2 and not Path("out").exists()


# --- manifests ---


def test_any_option_of_both_commands_is_a_column(material: Path) -> None:
    table = Path("jobs.csv")
    table.write_text(
        "source,driving,output,yaw,strength,size,force,relative,crop-only,region,command,frontalize\n"
        f"{material}/s/bob.png,{material}/d/nod.mp4,a.mp4,-10:10:1,0.5,64,yes,no,true,mouth,,\n"
        f"{material}/s/bob.png,,,,,,,,,,,true\n"
        f"{material}/s/anna.png,{material}/d/talk.mp4,,,,,,,,,reenact,\n",
        encoding="utf-8-sig",
    )
    defaults = ReenactOptions(size=96, smooth=0.5, crf=30)
    first, second, third = make_jobs(None, "out", defaults, BatchOptions(manifest=str(table)))
    assert isinstance(first.options, ReenactOptions) and first.command == "reenact"
    assert (first.options.yaw, first.options.strength, first.options.size) == ("-10:10:1", 0.5, 64)
    assert (first.options.force, first.options.relative, first.options.paste_back) == (True, False, False)
    assert (first.options.region, first.options.smooth, first.output) == ("mouth", 0.5, Path("out/a.mp4"))
    assert isinstance(second.options, RotateOptions) and second.command == "rotate"
    assert (second.options.frontalize, second.options.size, second.options.fps) == (True, 96, "25")
    assert second.output == Path("out/bob--rotated.png") and second.options.crf == 30
    assert third.options.size == 96 and third.output.name == "anna--talk.mp4"
    lines = [{"source": "bob.png", "driving": "nod.mp4", "size": 64, "--on-missing": "skip", "absolute": True}, {}]
    Path("jobs.jsonl").write_text(json.dumps(lines[0]) + "\n\n")
    (job,) = make_jobs(None, "out", defaults, BatchOptions(manifest="jobs.jsonl"))
    assert isinstance(job.options, ReenactOptions)
    assert (job.options.size, job.options.on_missing, job.options.relative) == (64, "skip", False)
    assert job.source == Path("bob.png") and Job.from_json(json.loads(json.dumps(job.to_json()))) == job


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source,driving\n", "has no rows"),
        ("source,driving\na.png\n", None),
        ("source,driving\n,b.mp4\n", ":2: has no source"),
        ("source,driving,wings\na,b,2\n", ":2: column wings: neither"),
        ("source,driving,size\na,b,big\n", ":2: size big: write a whole number"),
        ("source,driving,region\na,b,ear\n", "region ear: write one of all, pose"),
        ("source,driving,force\na,b,perhaps\n", "write true or false"),
        ("source,driving,source\na,b,c\n", "has the column source twice"),
        ("source,driving\na,b,c\n", ":2: has more cells"),
        ("source,frontalize,driving\na,1,b\n", "reenact has no such option"),
        ("source,command\na,dance\n", "write reenact or rotate"),
        ("source,driving,command\na,b,rotate\n", "rotate takes no driving"),
        ("source,driving,output\na,b,../c.mp4\n", "inside the output folder"),
        ("source,driving,output\na,b,c.mp4\na,d,c.mp4\n", "2 jobs would write it"),
        ('source,driving\n"a,b\n', "not readable CSV"),
        ("source\nb\x00.png\n", "has no source"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused_with_its_line(
    text: str, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("jobs.csv").write_text(text)
    code = run("batch", "--manifest", "jobs.csv", "-o", "out", "--dry-run")
    said = capsys.readouterr().err
    if words is None:
        assert code == 0
        return
    assert (code == 2 and words in said and said.count("\n") == 1 and "jobs.csv" in said) or "c.mp4" in said
    assert not Path("out").exists()


def test_a_manifest_of_another_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    cases = {"a.txt": b"x", "b.csv": b"source\n\xff\xfe\n", "c.jsonl": b"{'a': 1}\n", "d.jsonl": b"[1]\n"}
    for name, content in cases.items():
        Path(name).write_bytes(content)
    for name in [*cases, "gone.csv"]:
        assert run("batch", "--manifest", name, "-o", "out") == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and name in said
    assert run("batch", "s", "d", "--manifest", "a.csv") == 2
    assert run("batch", "a", "b", "c") == 2 and "in quotes" in capsys.readouterr().err


# --- who does what ---


def queue_of(*names: str, options: ReenactOptions | None = None) -> Queue:
    """Make a queue of jobs, each named by its source and its driving."""
    jobs = [Job(k, Path(n[0]), Path(n[1]), Path(n), options or ReenactOptions()) for k, n in enumerate(names)]
    return Queue(jobs)


def take(queue: Queue, last: str | None = None, of_others: str = "") -> Job:
    job = queue.take(None if last is None else Path(last), set(map(Path, of_others)))
    assert job is not None
    return job


def test_a_source_stays_with_its_worker_and_nothing_is_computed_by_two() -> None:
    queue = queue_of("ax", "ay", "az", "bx", "by", "bz")
    first = take(queue)
    second = take(queue, of_others="a")
    assert (first.output.name, second.output.name) == ("ax", "by")  # a has its worker, and x is being read
    assert queue.take(None, {Path("a"), Path("b")}) is None  # both sources are being looked at
    queue.has_begun(first)
    third = take(queue, of_others="ab")  # a's worker has no use for a second hand: az is stolen, ay must wait
    assert third.output.name == "az"
    assert queue.give_back(first, Outcome("done"), retry=0) is not None
    assert queue.take(Path("a")) is None  # y and z are being read, and b is still being looked at
    assert queue.give_back(second, Outcome("done"), retry=0) is not None
    assert take(queue, "a", "ab").output.name == "ay"
    assert {take(queue, "b", "a").output.name} == {"bx"}  # known by now


def test_what_failed_is_computed_again_and_only_as_often_as_it_may() -> None:
    queue = queue_of("ax", "bx")
    first = take(queue)
    assert queue.take() is None
    assert queue.give_back(first, failure("it died"), retry=1) is None  # once more, after the others
    other = take(queue)
    assert other.output.name == "bx" and queue.take() is None
    hopeless = queue.give_back(other, failure("no face", 3), retry=1)
    assert hopeless is not None and hopeless.attempts == 1
    ended = queue.give_back(take(queue), failure("it died"), retry=1)
    assert ended is not None and ended.attempts == 2 and queue.take() is None


def test_another_arithmetic_is_another_motion() -> None:
    full, half = ReenactOptions(), ReenactOptions(dtype="bfloat16")
    jobs = [Job(k, Path("a"), Path("x"), Path(str(k)), options) for k, options in enumerate((full, half, full))]
    queue = Queue(jobs)
    assert (take(queue).index, take(queue).index, queue.take()) == (0, 1, None)


def test_model_sources_and_motions_are_computed_once(material: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:
            counts[name] += 1
            return real(*given, **named)

        monkeypatch.setattr(owner, name, counted)

    count(workbench, "load_model")
    count(CompactModel, "appearance")
    count(FaceTracker, "update")
    drivings = [material / "d" / "nod.mp4", material / "d" / "talk.mp4"]
    sources = [material / "s" / "anna.png", material / "s" / "bob.png"]
    jobs = [
        Job(k, source, driving, Path(f"{k}.mp4"), ReenactOptions(size=64))
        for k, (source, driving) in enumerate((s, d) for s in sources for d in drivings)
    ]
    bench = workbench.Workbench(Path("cache"), is_shared=False)
    for job in jobs[:2]:
        assert bench.do(job, Hooks()).error is None
    watched = counts["update"]
    for job in jobs[2:]:
        assert bench.do(job, Hooks()).frames == FRAMES
    assert (counts["load_model"], counts["appearance"], counts["update"]) == (1, 2, watched)
    assert (
        workbench.Workbench(Path("cache"), is_shared=False)
        .do(jobs[0].__class__(0, sources[0], drivings[1], Path("again.mp4"), jobs[0].options), Hooks())
        .error
        is None
    )
    assert counts["update"] == watched  # another process finds it in the cache
    fixed = ReenactOptions(size=64, reference_frame="3")
    assert bench.do(Job(8, sources[0], drivings[0], Path("fixed.mp4"), fixed), Hooks()).frames == FRAMES
    assert counts["update"] == watched  # also a frame in its middle
    for job in jobs:  # what is remembered makes the very same file
        alone = reenact(job.source, job.driving or "", f"alone-{job.output}", ReenactOptions(size=64))
        assert sha256_of(alone.output) == sha256_of(job.output)
    changed = ReenactOptions(size=64, end="0.1")
    assert bench.do(Job(9, sources[0], drivings[0], Path("cut.mp4"), changed), Hooks()).frames < FRAMES


@pytest.mark.parametrize("family", ["compact", *tiny.CHECKPOINTS])
def test_another_process_finds_the_appearance_and_makes_the_same_file(family: str, material: Path) -> None:
    checkpoint = family
    if family != "compact":
        checkpoint = "tiny.safetensors"
        save_file(tiny.CHECKPOINTS[family](), checkpoint)
    made = []
    for number in range(2):
        job = Job(number, *pair_of(material), Path(f"{number}.mp4"), ReenactOptions(size=64, checkpoint=checkpoint))
        made.append(workbench.Workbench(Path("cache"), is_shared=True).do(job, Hooks()))
    assert [outcome.error for outcome in made] == [None, None]
    assert [outcome.computed for outcome in made] == [("source", "driving"), ()]
    assert made[0].sha256 == made[1].sha256
    (kept,) = Path("cache").glob("*.appearance.safetensors")
    kept.write_bytes(kept.read_bytes()[:-8])  # damaged: as good as none
    job = Job(2, *pair_of(material), Path("2.mp4"), ReenactOptions(size=64, checkpoint=checkpoint))
    again = workbench.Workbench(Path("cache"), is_shared=True).do(job, Hooks())
    assert (again.computed, again.sha256) == (("source",), made[0].sha256)


def pair_of(material: Path) -> tuple[Path, Path]:
    return material / "s" / "anna.png", material / "d" / "nod.mp4"


def test_appearances_that_were_not_used_for_long_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_APPEARANCE_BYTES", 3000)
    store = memory.Memory(Path("cache"), is_shared=True)
    for name in "abc":
        store.keep_tensors(name, "appearance", {"x": torch.zeros(300)})
        os.utime(f"cache/{name}.appearance.safetensors", (1, ord(name)))
        if name == "b":
            assert store.recall_tensors("a", "appearance") is not None  # used just now
    store.keep_tensors("faces", "faces", {"x": torch.zeros(3000)})
    assert {path.name[0] for path in Path("cache").iterdir()} == {"a", "c", "f"}


def test_the_cores_are_divided_between_the_workers(material: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    assert [local.threads_each(workers, 0) for workers in (1, 2, 3, 8, 20)] == [7, 4, 2, 1, 1]
    assert local.threads_each(4, threads=3) == 3
    (job,) = make_jobs(Sides(*map(str, pair_of(material))), "out", ReenactOptions(), BatchOptions(jobs=4))
    assert job.options.threads == 2
    monkeypatch.setattr(local, "usable_cores", lambda: 1)
    assert local.threads_each(1, 0) == 1


# --- whole batches ---


@pytest.mark.parametrize("sources", ["*[ab].png", "anna.png"])
def test_two_workers_compute_each_source_and_each_motion_once(sources: str, material: Path) -> None:
    """Each with its own source as far as there are enough, else with what the other has found out."""
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
    assert set(computed.values()) == {1} and len(computed) == len({job.source for job in jobs}) + 3
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
    assert run(*words, "--json", "-q") == 5
    facts = json.loads(capsys.readouterr().out)
    assert (facts["done"], facts["done_before"], facts["failed"]) == (2, 1, 3)
    assert Path("out", "anna--nod.mp4").read_bytes() == whole
    assert Path("out", "bob--talk.mp4").stat().st_mtime_ns == stamps["bob--talk.mp4"]
    assert [row["job"] for row in report_in("out")] == list(range(6))
    assert run(*words[:1], words[1] / "*[ab].png", *words[2:], "--force", "--size", 96) == 0
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
def test_a_batch_killed_ten_times_ends_with_exactly_the_right_set(material: Path, tmp_path: Path) -> None:
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
    while kills < 10:
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
    assert cleans >= 10
    driver = start(*words)
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    rows = report_in("out")
    assert outputs_in("out") == expected == sorted(Path(row["output"]).name for row in rows)
    assert {row["state"] for row in rows} == {"done"} and len({row["sha256"] for row in rows}) <= 8
    assert all(row["sha256"] == sha256_of(row["output"]) for row in rows)
    assert sorted(path.name for path in Path("out").iterdir()) == sorted([".cache", *expected, "report.jsonl"])
