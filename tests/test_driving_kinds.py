"""The kinds of driving: each knows its own files, a new one is one class and one entry, a live one is not rewound."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.clips import ffmpeg
from vid2vid_cli.batch.jobs import Sides, find_files
from vid2vid_cli.batch.options import BatchOptions
from vid2vid_cli.batch.run import make_jobs
from vid2vid_cli.batch.workbench import Workbench
from vid2vid_cli.call.decode import decode_call
from vid2vid_cli.call.encode import encode_call
from vid2vid_cli.call.incoming import open_incoming
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.motion_file import load_motion
from vid2vid_cli.pipeline.driving import opening, still
from vid2vid_cli.pipeline.driving.base import DrivenFrame, FileDriving, Reference
from vid2vid_cli.pipeline.driving.call_file import CallDriving
from vid2vid_cli.pipeline.driving.live import LiveDriving, open_live
from vid2vid_cli.pipeline.driving.live_link import LiveLinkDriving
from vid2vid_cli.pipeline.driving.motion_file import MotionFileDriving
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.opening import KINDS, kind_of, open_driving
from vid2vid_cli.pipeline.driving.reference import no_key_picture, reference_of_frame
from vid2vid_cli.pipeline.driving.still import StillDriving
from vid2vid_cli.pipeline.driving.video import VideoDriving
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.options import DecodeOptions, MotionOptions, ReenactOptions
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.reenact import reenact

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, CLIP = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
FRAMES = 5


@pytest.fixture
def setup(model: LoadedModel, face_analyzer: FaceAnalyzer) -> ReaderSetup:
    return ReaderSetup(model.model, face_analyzer, "largest", torch.device("cpu"))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, model: LoadedModel) -> dict[str, Path]:
    """Make a small real file of each sort; names do not tell what they are."""
    home = tmp_path_factory.mktemp("kinds")
    ffmpeg("-i", CLIP, "-frames:v", FRAMES, "-vf", "scale=192:-2", "-c:v", "libx264", "-an", home / "clip.mp4")
    ffmpeg("-i", CLIP, "-frames:v", FRAMES, "-vf", "scale=192:-2", home / "animation.gif")
    ffmpeg("-i", CLIP, "-frames:v", FRAMES, "-vf", "scale=192:-2", "-pix_fmt", "yuv420p", home / "clip.y4m")
    extract_motion(home / "clip.mp4", home / "motion.mp4", model=model)
    encode_call(home / "clip.mp4", home / "call.png", EncodeOptions(key_interval=2), model=model)
    Image.open(PORTRAIT).save(home / "picture.gif")
    Image.open(PORTRAIT).save(home / "picture.v2v", "PNG")
    extract_motion(home / "clip.mp4", home / "take.csv", model=model)
    (home / "take.csv").rename(home / "take.png")
    (home / "notes.png").write_text("no picture at all")
    return {path.name: path for path in home.iterdir()}


# --- a kind that is made up here ---


@dataclass(kw_only=True, eq=False)
class SineDriving(FileDriving):
    """A head that nods: a text file `sine FRAMES DEGREES`."""

    suffixes: ClassVar = frozenset({".sine"})

    degrees: float
    keypoints: int

    @classmethod
    def detect(cls, path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(5) == b"sine "

    @classmethod
    def open(cls, path: Path, reading: ReadOptions, setup: ReaderSetup) -> SineDriving:
        _, count, degrees = path.read_text().split()
        keypoints = len(setup.model.expression_mask("all"))
        fps = reading.fps or Fraction(25)
        return cls(path=path, fps=fps, count=int(count), degrees=float(degrees), keypoints=keypoints)

    def frames(self) -> Iterator[DrivenFrame]:
        for index in range(self.count):
            yield DrivenFrame(self.motion(index), found=True, picture=None)

    def motion(self, index: int) -> Motion:
        pitch = torch.tensor([math.radians(self.degrees) * math.sin(2 * math.pi * index / self.count)])
        rotation = rotation_from_pose(torch.zeros(1), pitch, torch.zeros(1))
        return Motion(rotation, torch.zeros(1, 3), torch.ones(1, 1), torch.zeros(1, self.keypoints, 3))

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        if frame == "picture":
            raise no_key_picture(self.path)
        return reference_of_frame(self.frames(), "0" if frame == "auto" else frame, self.count, self.path)


@pytest.fixture
def nod(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Add the kind, and write a file of it."""
    monkeypatch.setattr(opening, "KINDS", (SineDriving, *KINDS))
    Path("d").mkdir()
    Path("d/nod.sine").write_text(f"sine {FRAMES} 12")
    return Path("d/nod.sine")


def test_a_new_kind_is_one_class_and_one_entry(nod: Path, model: LoadedModel) -> None:
    result = reenact(PORTRAIT, nod, "nod", ReenactOptions(size=96), model=model)
    frames = [np.array(Image.open(path)).astype(int) for path in sorted(Path("nod").iterdir())]
    assert result.frames == len(frames) == FRAMES
    assert np.abs(frames[1] - frames[0]).mean() > 0.5, "the head does not nod"

    extract_motion(nod, "nod.safetensors", MotionOptions(fps="30"), model=model)
    saved = load_motion(Path("nod.safetensors"))
    assert len(saved.motion) == FRAMES and saved.fps == 30 and saved.found.all()
    driving = open_driving(nod, ReadOptions(), ReaderSetup(model.model, None, "largest", torch.device("cpu")))  # type: ignore[arg-type]
    expected = torch.cat([driven.motion.rotation for driven in driving.frames() if driven.motion is not None])
    assert torch.allclose(saved.motion.rotation, expected)

    with pytest.raises(UsageError, match="carries no picture"):
        reenact(PORTRAIT, nod, "no", ReenactOptions(size=96, reference_frame="picture"), model=model)


def test_a_new_kind_can_be_sent_as_a_call(nod: Path, model: LoadedModel) -> None:
    with pytest.raises(UsageError, match="holds no picture to send"):
        encode_call(nod, "nod.v2v", model=model)
    made = encode_call(nod, "nod.v2v", EncodeOptions(source=str(PORTRAIT), size=96), model=model)
    assert made.frames == FRAMES and made.delays is None
    assert decode_call("nod.v2v", "seen", DecodeOptions(), model=model).frames == FRAMES


def test_batch_finds_a_new_kind_in_a_folder(nod: Path) -> None:
    Path("d/notes.txt").write_text("no clip")
    Path("d/b.mp4").write_bytes(b"no clip either, but the name says so")
    found = find_files("d", "DRIVINGS")
    assert [file.name for file in found.files] == ["b.mp4", "nod.sine"] and found.skipped == 1
    assert [file.name for file in find_files("d", "SOURCES").files] == ["b.mp4"]
    Path("d/b.mp4").unlink()
    (job,) = make_jobs(Sides(str(PORTRAIT), "d"), "out", ReenactOptions(size=96), BatchOptions())
    assert job.output == Path("out/portrait--nod.mp4")
    # What a worker does with the job; the worker processes of this batch would not know the kind.
    outcome = Workbench(Path("cache"), is_shared=False).do(job, Hooks())
    assert (outcome.state, outcome.frames, outcome.error) == ("done", FRAMES, None)


def test_batch_lists_a_folder_of_clips_without_torch() -> None:
    """The batch's own process stays small: the workers need the memory."""
    Path("a.mp4").write_bytes(b"x")
    code = (
        "import sys; from vid2vid_cli.batch.jobs import find_files; assert find_files('.', 'DRIVINGS').files; "
        "import vid2vid_cli.batch.run; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# --- which file is of which kind ---

KIND_BY_NAME: dict[str, type[FileDriving]] = {
    "motion.mp4": MotionFileDriving,
    "call.png": CallDriving,
    "take.png": LiveLinkDriving,
    "picture.gif": StillDriving,
    "picture.v2v": StillDriving,
    "clip.mp4": VideoDriving,
    "clip.y4m": VideoDriving,
    "animation.gif": VideoDriving,
    "notes.png": VideoDriving,  # what nothing recognises: only ffmpeg can say that it is no clip
}


@pytest.mark.parametrize(("name", "kind"), KIND_BY_NAME.items())
def test_each_kind_detects_its_own_files_by_content(name: str, kind: type[FileDriving], files: dict[str, Path]) -> None:
    detecting = [other for other in KINDS if other.detect(files[name])]
    # The last kind takes whatever the others leave.
    assert detecting == ([kind] if kind is VideoDriving else [kind, VideoDriving])
    assert kind_of(files[name]) is kind


@pytest.mark.parametrize("name", [name for name in KIND_BY_NAME if name != "notes.png"])
def test_a_file_can_be_played_again_and_says_how_many_frames_it_has(
    name: str, files: dict[str, Path], setup: ReaderSetup
) -> None:
    driving = open_driving(files[name], ReadOptions(), setup)
    assert isinstance(driving, KIND_BY_NAME[name])
    with torch.inference_mode():
        first, again = list(driving.frames()), list(driving.frames())
    driving.close()
    assert driving.count == len(first) == len(again) == (1 if driving.is_still else FRAMES)
    for one, other in zip(first, again, strict=True):
        assert one.motion is not None and other.motion is not None and one.found
        assert torch.equal(one.motion.rotation, other.motion.rotation)


def test_suffixes_are_told_apart() -> None:
    every = [suffix for kind in KINDS for suffix in kind.suffixes]
    assert len(set(every)) == len(every) and {".png", ".mp4", ".v2v", ".safetensors", ".csv"} <= set(every)
    assert opening.is_called_driving(Path("A.MP4")) and not opening.is_called_driving(Path("a.txt"))
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in every)


def test_a_picture_is_sniffed_once_and_decoded_once(
    files: dict[str, Path], setup: ReaderSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **options: Any) -> Any:
            calls.append(name)
            return function(*words, **options)

        return call

    for name in ("sniff", "read_image"):
        monkeypatch.setattr(still, name, counted(name, getattr(still, name)))
    driving = open_driving(files["picture.v2v"], ReadOptions(), setup)
    with torch.inference_mode():
        assert [driven.found for _ in range(2) for driven in driving.frames()] == [True, True]
    assert calls == ["sniff", "read_image"]


# --- a live driving ---


def refuses_to_rewind(live: LiveDriving) -> list[DrivenFrame]:
    """Play a live driving, and see that it cannot be played again."""
    assert live.count is None and not live.is_still
    with torch.inference_mode():
        frames = live.frames()
        first = next(frames)
        with pytest.raises(ValueError, match="cannot be rewound"):
            live.frames()
        rest = list(frames)
    with pytest.raises(ValueError, match="cannot be rewound"):
        live.frames()
    return [first, *rest]


def test_a_live_video_plays_once_and_knows_no_frame_beforehand(files: dict[str, Path], setup: ReaderSetup) -> None:
    with files["clip.y4m"].open("rb") as file:
        live = open_live(file.fileno(), setup, pytest.fail)
        own = Motion(torch.eye(3)[None], torch.zeros(1, 3), torch.ones(1, 1), torch.zeros(1, 468, 3))
        for frame in ("auto", "0", "picture"):
            with pytest.raises(UsageError, match=f"--reference-frame {frame}: .* not known beforehand"):
                live.find_reference(setup.model, own, frame)
        driven = refuses_to_rewind(live)  # nothing was used up by asking
        live.close()
    assert len(driven) == FRAMES == len(list(read_video(files["clip.mp4"])))
    arrived = [one.arrived_s for one in driven]
    assert None not in arrived and arrived == sorted(arrived) and all(one.picture is not None for one in driven)  # type: ignore[type-var]


def test_an_incoming_call_plays_once_and_knows_its_picture_only(files: dict[str, Path], model: LoadedModel) -> None:
    with files["call.png"].open("rb") as file:
        live = open_incoming(file.fileno(), model.model, pytest.fail, catches_up=False)
        own = live.find_reference(model.model, None, "picture").motion  # type: ignore[arg-type]
        assert torch.equal(live.find_reference(model.model, own, "auto").motion.rotation, own.rotation)
        with pytest.raises(UsageError, match="--reference-frame 2: a live call cannot wait"):
            live.find_reference(model.model, own, "2")
        driven = refuses_to_rewind(live)
    assert len(driven) == FRAMES and all(one.found and one.motion is not None for one in driven)
