"""Jobs that a server has beside those of a batch: spoken, cancelled, shown while they are made."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.batches import FRAMES, pair_of
from tests.support.clips import ffmpeg
from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.batch.workbench import Workbench
from vid2vid_cli.batch.worker import Inbox, MessagePipe, hooks_of
from vid2vid_cli.media.image import encode_jpeg
from vid2vid_cli.media.video import read_video
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions, SpeakOptions

pytestmark = pytest.mark.usefixtures("own_folder")


def sent(out: io.BytesIO) -> list[str]:
    return [next(iter(json.loads(line))) for line in out.getvalue().splitlines()]


def test_a_cancelled_job_leaves_nothing_and_the_bench_goes_on(material: Path) -> None:
    bench, inbox, out = Workbench(Path("cache"), is_shared=False), Inbox(), io.BytesIO()
    inbox.cancelled.add(3)
    for index, state in ((3, "cancelled"), (4, "done")):
        job = Job(index, *pair_of(material), Path(f"{index}.mp4"), ReenactOptions(size=64, body=False))
        outcome = bench.do(job, hooks_of(job, inbox, MessagePipe(out)))
        assert (outcome.state, outcome.is_worth_retrying) == (state, False)
    assert sorted(path.name for path in Path().glob("*.mp4")) == ["4.mp4"] and "preview" not in sent(out)


def test_a_preview_is_a_frame_of_the_output(material: Path) -> None:
    out, preview = io.BytesIO(), Path("newest.jpg")
    job = Job(0, *pair_of(material), Path("a.mp4"), ReenactOptions(size=96, body=False), preview)
    assert Workbench(Path("cache"), is_shared=False).do(job, hooks_of(job, Inbox(), MessagePipe(out))).state == "done"
    assert "preview" in sent(out) and not Path("newest.part").exists()
    shown = np.asarray(Image.open(preview), np.float32)
    differences = [np.abs(shown - frame).mean() for frame in read_video("a.mp4")]
    assert len(differences) == FRAMES and min(differences) < 6


def test_a_bench_speaks(material: Path) -> None:
    ffmpeg("-i", material / "d" / "talk.mp4", "-vn", "talk.wav")
    job = Job(0, material / "s" / "anna.png", Path("talk.wav"), Path("a.mp4"), SpeakOptions(size=64))
    outcome = Workbench(Path("cache"), is_shared=False).do(job, hooks_of(job, Inbox(), MessagePipe(io.BytesIO())))
    assert (outcome.error, job.command) == (None, "speak") and outcome.frames == len(list(read_video("a.mp4"))) > 3


@pytest.mark.parametrize("options", [ReenactOptions(yaw="3"), SpeakOptions(source_video=True), RotateOptions(roll="1")])
def test_a_job_goes_to_its_worker_and_comes_out_the_same(options: ReenactOptions | RotateOptions) -> None:
    driving = None if isinstance(options, RotateOptions) else Path("d")
    job = Job(7, Path("s"), driving, Path("o.mp4"), options, Path("p.jpg"))
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def test_what_is_looked_at_is_small_and_opaque() -> None:
    frame = np.zeros((100, 300, 4), np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(encode_jpeg(frame, 90, 150))))
    assert shown.shape == (50, 150, 3) and shown.min() > 250  # what is transparent lies on white
