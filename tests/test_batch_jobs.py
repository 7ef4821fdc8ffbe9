"""`vid2vid batch`: which jobs there are, which worker takes which, and that nothing is computed twice."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.support import tiny
from tests.support.batches import FRAMES, pair_of, run, sha256_of
from vid2vid_cli.batch import local, workbench
from vid2vid_cli.batch.jobs import Job, Sides, check_clashes, check_template, find_files, pair_files
from vid2vid_cli.batch.local import Queue
from vid2vid_cli.batch.options import BatchOptions
from vid2vid_cli.batch.report import Outcome, failure
from vid2vid_cli.batch.run import make_jobs
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.mesh import FaceTracker
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.pipeline import memory
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.reenact import reenact

pytestmark = pytest.mark.usefixtures("own_folder", "own_signals")


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


@pytest.mark.parametrize("separator", [";", "\t"])
def test_tables_of_spreadsheets_that_write_decimal_commas_are_read(separator: str) -> None:
    rows = [["source", "driving", "yaw", "strength", "gaze"], ["a, b.png", "c.mp4", "-12,5", "0,5", "3,-2"]]
    table = "\r\n".join(separator.join(row) for row in rows)
    files = {"jobs.csv": table.encode(), "jobs.tsv": table.encode("utf-8-sig"), "jobs.txt": table.encode("utf-16")}
    files["named.csv"] = f"sep={separator}\r\n{table}".encode()
    for name, content in files.items():
        Path(name).write_bytes(content)
        (job,) = make_jobs(None, "out", ReenactOptions(), BatchOptions(manifest=name))
        assert isinstance(job.options, ReenactOptions) and job.source == Path("a, b.png")
        assert (job.options.yaw, job.options.strength, job.options.gaze) == ("-12.5", 0.5, "3,-2")


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
        ("sep=,\nsource,driving,size\na,b,big\n", ":3: size big"),
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
    # The source of compact is more than tensors, and quick: each process computes it.
    anew = ("source",) if family == "compact" else ()
    assert [outcome.computed for outcome in made] == [("source", "driving"), anew]
    assert made[0].sha256 == made[1].sha256
    if family == "compact":
        assert not list(Path("cache").glob("*.appearance.*"))
        return
    (kept,) = Path("cache").glob("*.appearance.safetensors")
    kept.write_bytes(kept.read_bytes()[:-8])  # damaged: as good as none
    job = Job(2, *pair_of(material), Path("2.mp4"), ReenactOptions(size=64, checkpoint=checkpoint))
    again = workbench.Workbench(Path("cache"), is_shared=True).do(job, Hooks())
    assert (again.computed, again.sha256) == (("source",), made[0].sha256)


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
