"""A person, and several pictures of one, as the source of every command."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.support.clips import ffmpeg
from vid2vid_cli import load_model, open_scene
from vid2vid_cli.arrays import Frame
from vid2vid_cli.cli.app import COMMANDS, main
from vid2vid_cli.errors import UsageError
from vid2vid_cli.evaluation.material import PICTURES, files_in, read_portrait
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import probe_video, read_video
from vid2vid_cli.models.base import SourceAppearance, View
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.person_file import PersonFile, load_person
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.person.options import PersonalizeOptions
from vid2vid_cli.pipeline.person.personalize import personalize
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.source import Source


class SeesViews(CompactModel):
    """The embedded model; it notes the views that it is given, and draws as without them."""

    views: Sequence[View] | None
    like: SourceAppearance | None

    def with_views(
        self, source: SourceAppearance, views: Sequence[View], like: SourceAppearance | None = None
    ) -> SourceAppearance:
        self.views, self.like = views, like
        return source


@pytest.fixture
def seeing(face_state: dict[str, Tensor]) -> LoadedModel:
    model = SeesViews(face_state)
    model.views = None
    plain = load_model()
    return LoadedModel(model, plain.family, plain.path, plain.sha256)


def seen_of(source: Any, loaded: LoadedModel, warnings: list[str] | None = None) -> Sequence[View] | None:
    """Open a source and return the views that its model was given; None if it was given none."""
    options = ReenactOptions()
    said: list[str] = [] if warnings is None else warnings
    Source(source, options, start_engine(options, loaded), said.append).first_appearance()
    assert isinstance(loaded.model, SeesViews)
    return loaded.model.views


@pytest.fixture(scope="module")
def folder(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of a man from a clip, the clip itself, two seconds of it, and somebody else."""
    home = tmp_path_factory.mktemp("people")
    clip = media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"
    frames: list[Frame] = list(read_video(clip))
    for name, number in (("front", 0), ("side", 100), ("talk", 60)):
        Image.fromarray(frames[number]).save(home / f"{name}.png")
    ffmpeg("-i", clip, "-frames:v", "50", "-an", home / "man.mp4")
    other = Image.open(media_dir / "sources" / "s27_ai_woman.png").convert("RGB").resize((256, 256))
    other.save(home / "woman.png")
    return home


@pytest.fixture(scope="module")
def person(folder: Path) -> Path:
    path = folder / "man.person"
    personalize([folder / "front.png", folder / "man.mp4"], path, PersonalizeOptions(threads=1))
    return path


@pytest.fixture(scope="module")
def kept(person: Path) -> PersonFile:
    return load_person(person)


def test_one_picture_has_no_views(folder: Path, seeing: LoadedModel) -> None:
    assert seen_of(folder / "front.png", seeing) is None
    assert seen_of([folder / "front.png"], seeing) is None
    assert seen_of(read_image(folder / "front.png"), seeing) is None


def test_one_picture_is_the_same_to_the_bit(folder: Path) -> None:
    def rendered(source: Any, model: LoadedModel | None = None) -> list[Frame]:
        with open_scene(source, folder / "side.png", ReenactOptions(size=128), model=model) as scene:
            return list(scene.frames())

    plain = rendered(folder / "front.png")
    assert all(np.array_equal(*pair) for pair in zip(plain, rendered([folder / "front.png"]), strict=True))


def test_other_pictures_are_views(folder: Path, seeing: LoadedModel) -> None:
    warnings: list[str] = []
    views = seen_of([folder / "front.png", folder / "side.png", folder / "woman.png"], seeing, warnings)
    assert views is not None
    assert len(views) == 1, "the woman is somebody else"
    assert [text for text in warnings if "another person" in text and "woman.png" in text]
    (view,) = views
    side = read_image(folder / "side.png")
    assert view.image.shape[2] <= side.shape[0]
    assert view.landmarks.shape == (1, 470, 3)
    inside = view.landmarks[0, :, :2]
    assert bool(((inside > 0) & (inside < torch.tensor([view.image.shape[3], view.image.shape[2]]))).all())


def test_a_person_brings_its_views(person: Path, kept: PersonFile, seeing: LoadedModel) -> None:
    views = seen_of(person, seeing)
    assert views is not None
    assert len(views) == len(kept.views) - 1, "all but the one that is the source"
    assert len({view.image.shape for view in views}) >= 1
    assert np.array_equal(
        read_image(person),
        next(Source(person, ReenactOptions(), start_engine(ReenactOptions(), seeing), print).frames()).frame,
    )


def test_a_clip_brings_its_own_frames_once(folder: Path, seeing: LoadedModel) -> None:
    options, seen, made, likes = ReenactOptions(), [], [], []
    source = Source(folder / "man.mp4", options, start_engine(options, seeing), print)
    for _, frame in zip(range(3), source.frames(), strict=False):
        assert frame.faces[0].appearance is not None
        made.append(frame.faces[0].appearance)
        seen.append(seeing.model.views)  # type: ignore[attr-defined]
        likes.append(seeing.model.like)  # type: ignore[attr-defined]
    assert 1 <= len(seen[0]) <= 30
    assert seen[0] is seen[2], "chosen once, so that a family prepares them once"
    assert likes[0] is None and likes[1] is likes[2] is made[0], "what was found out of them is passed on"


def test_a_model_that_knows_one_picture_says_so(folder: Path, face_state: dict[str, Tensor]) -> None:
    plain = load_model()
    if hasattr(plain.model, "with_views"):
        pytest.skip("the embedded checkpoint uses views")
    warnings: list[str] = []
    options = ReenactOptions()
    Source([folder / "front.png", folder / "side.png"], options, start_engine(options, plain), warnings.append)
    assert warnings == [f"compact knows a person by one picture: {folder / 'front.png'}; 1 more are not used"]


@pytest.fixture
def at_home(own_folder: Path, folder: Path, person: Path) -> Iterator[Path]:
    """An empty folder with a person and what drives it."""
    (own_folder / "me.person").write_bytes(person.read_bytes())
    ffmpeg("-i", folder / "man.mp4", "-frames:v", "3", own_folder / "d.mp4")
    ffmpeg("-i", folder / "man.mp4", "-c", "copy", own_folder / "man.mp4")
    ffmpeg("-f", "lavfi", "-i", "sine=300:duration=0.2", own_folder / "v.wav")
    yield own_folder


WALK: dict[str, list[str]] = {
    "reenact": ["me.person", "d.mp4", "-o", "out.mp4"],
    "personalize": ["me.person", "-o", "out.person"],
    "speak": ["me.person", "v.wav", "-o", "out.mp4"],
    "say": ["me.person", "a", "-o", "out.mp4", "--voice-command", "cp v.wav {out} {text}"],
    "rotate": ["me.person", "--yaw", "10", "-o", "out.png"],
    "batch": ["me.person", "d.mp4", "-o", "."],
    "controls": ["me.person", "-o", "out.png"],
    "live": ["me.person", "--camera", "man.mp4", "-o", "out.mp4"],
    "encode": ["d.mp4", "--source", "me.person", "-o", "out.v2v"],
    "decode": ["call.v2v", "--source", "me.person", "-o", "out.mp4"],
    "faces": ["me.person", "--draw", "out.png"],
}
NAMED = {"faces": "IMAGE|VIDEO"}  # what such an argument is called, where not SOURCE


def test_every_command_that_takes_a_source_is_walked() -> None:
    def takes_source(command: Any) -> bool:
        parameters = inspect.signature(command).parameters.values()
        infos = [info for p in parameters for info in getattr(p.annotation, "__metadata__", ())]
        return any("SOURCE" in str(info.metavar) for info in infos) or "source" in inspect.signature(command).parameters

    assert {name for name, command in COMMANDS.items() if takes_source(command)} <= WALK.keys()


@pytest.mark.parametrize("command", WALK)
def test_every_command_takes_a_person(command: str, at_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = WALK[command]
    if command == "say":
        script = at_home / "voice.sh"
        script.write_text('#!/bin/sh\ncp v.wav "$2"\n')
        script.chmod(0o700)
        arguments = ["me.person", "a", "-o", "out.mp4", "--voice-command", f"{script} {{text}} {{out}}"]
    if command == "decode":
        assert main(["encode", "d.mp4", "-o", "call.v2v", "-q"]) == 0
    assert main([command, *arguments]) == 0, capsys.readouterr().err
    made = next(path for path in at_home.iterdir() if path.stem in ("out", "me--d"))
    assert made.stat().st_size > 1000
    if made.suffix == ".mp4":
        assert probe_video(made).size == read_image("me.person").shape[:2]


def test_a_person_is_judged_as_the_picture_that_stands_for_it(at_home: Path, face_analyzer: FaceAnalyzer) -> None:
    assert files_in(at_home, PICTURES, "picture") == [at_home / "me.person"]
    portrait = read_portrait(at_home / "me.person", face_analyzer, 512)
    assert portrait.frame.shape == read_image("me.person").shape


def test_several_pictures_on_the_command_line(folder: Path, own_folder: Path) -> None:
    ffmpeg("-i", folder / "man.mp4", "-frames:v", "2", own_folder / "d.mp4")
    pictures = [str(folder / f"{name}.png") for name in ("front", "side", "talk")]
    assert main(["reenact", *pictures, "--driving", "d.mp4", "-o", "out.mp4", "-q"]) == 0
    assert probe_video("out.mp4").size == read_image(pictures[0]).shape[:2]
    assert main(["reenact", pictures[0], "--driving", "d.mp4", "-q"]) == 0
    assert Path("front--d.mp4").exists()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (["a.png"], "reenact: missing argument 'DRIVING'; a.png is SOURCE"),
        (["a.png", "b.png", "c.mp4"], "with more than one SOURCE name the driving by --driving: vid2vid reenact a.png"),
        (["a.png", "b.png", "--driving", "c.mp4"], "a.png: no such file"),
    ],
)
def test_usage_is_told(inputs: list[str], said: str, own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reenact", *inputs]) != 0
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_motion_is_no_second_source(folder: Path, own_folder: Path) -> None:
    assert main(["motion", str(folder / "side.png"), "-o", "m.safetensors", "-q"]) == 0
    with pytest.raises(UsageError, match="holds motion and no picture"):
        reenact([folder / "front.png", "m.safetensors"], folder / "side.png", "out.png")


def test_info_of_a_person(person: Path, kept: PersonFile, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(person)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{person}: {len(kept.views)} views, ")
    assert "a picture turned to the right would help: nothing beyond" in text
    assert main(["info", str(person), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["views"] == len(kept.views)
    assert facts["pictures"] == facts["clips"] == 1
    assert facts["yaw_deg"][0] < facts["yaw_deg"][1] < 30
    assert facts["bytes"] == person.stat().st_size
