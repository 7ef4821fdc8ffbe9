"""Every kind of output is sealed once, while it has no name yet; a seal that fails leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vid2vid_cli.batch.node import pack_output, publish_output
from vid2vid_cli.call.encode import encode_call
from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.errors import MediaError
from vid2vid_cli.hashing import hash_file
from vid2vid_cli.media import publishing
from vid2vid_cli.media.image import write_image
from vid2vid_cli.media.provenance import MARKED, SYNTHETIC_MARK, Ingredient, Provenance
from vid2vid_cli.media.video import WriteOptions, open_writer, read_mark
from vid2vid_cli.motion import Motion
from vid2vid_cli.motion_file import MotionFile
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.motion_output import save_motion
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate
from vid2vid_cli.pipeline.weights.convert import convert_weights

OWN_TAG = "made by a test"


@dataclass
class RecordingSeal:
    """Notes what it seals. output: must not be there yet. fails_at: the number of the file that it refuses."""

    output: Path
    fails_at: int | None = None
    sealed: list[tuple[str, Provenance]] = field(default_factory=list)

    def metadata(self, provenance: Provenance) -> Mapping[str, str]:
        return {"title": f"{OWN_TAG}: {provenance.mark}"}

    def seal(self, file: Path, provenance: Provenance) -> None:
        assert not self.output.exists() and file.stat().st_size > 0
        if len(self.sealed) == self.fails_at:
            raise MediaError("the key has expired")
        self.sealed.append((file.suffix, provenance))


Record = Callable[..., RecordingSeal]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    usual = publishing.SEALS

    def record(output: Path, fails_at: int | None = None) -> RecordingSeal:
        seal = RecordingSeal(output, fails_at)
        monkeypatch.setattr(publishing, "SEALS", (*usual, seal))
        return seal

    return record


def frame_of(level: int = 90) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((32, 48, 3), level, np.uint8)


def write_clip(path: Path) -> None:
    with open_writer(path, (32, 48), WriteOptions(Fraction(25), force=True)) as writer:
        for level in (40, 90, 140):
            writer.write(frame_of(level))


def write_picture(path: Path) -> None:
    write_image(path, frame_of())


def write_motion(path: Path) -> None:
    turn = torch.eye(3).repeat(2, 1, 1)
    motion = Motion(turn, torch.zeros(2, 3), torch.ones(2, 1), torch.zeros(2, 5, 3))
    save_motion(path, MotionFile(motion, torch.tensor([True, True]), Fraction(25), "compact"))


OUTPUTS: dict[str, tuple[Callable[[Path], None], int]] = {
    "a.mp4": (write_clip, 1),
    "a.webm": (write_clip, 1),
    "a.gif": (write_clip, 1),
    "frames": (write_clip, 3),
    "a.png": (write_picture, 1),
    "a.jpg": (write_picture, 1),
    "a.webp": (write_picture, 1),
    "a.safetensors": (write_motion, 1),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_is_sealed_once_before_it_has_its_name(name: str, tmp_path: Path, record: Record) -> None:
    (write, files), path = OUTPUTS[name], tmp_path / name
    seal = record(path)
    write(path)
    assert [provenance.mark for _, provenance in seal.sealed] == [SYNTHETIC_MARK] * files
    assert {suffix for suffix, _ in seal.sealed} == {path.suffix or ".png"}
    assert [left.name for left in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_seal_that_fails_leaves_no_output(name: str, tmp_path: Path, record: Record) -> None:
    (write, files), path = OUTPUTS[name], tmp_path / name
    seal = record(path, fails_at=files - 1)
    with pytest.raises(MediaError, match="the key has expired"):
        write(path)
    assert len(seal.sealed) == files - 1 and list(tmp_path.iterdir()) == []


def test_a_seal_that_fails_leaves_the_frames_of_an_earlier_run(tmp_path: Path, record: Record) -> None:
    write_clip(tmp_path / "frames")
    before = {path.name: path.read_bytes() for path in (tmp_path / "frames").iterdir()}
    record(tmp_path / "nowhere", fails_at=2)
    with pytest.raises(MediaError, match="the key has expired"):
        write_clip(tmp_path / "frames")
    assert {path.name: path.read_bytes() for path in (tmp_path / "frames").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


def test_a_seal_may_write_tags_of_its_own_beside_the_mark(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.mp4")
    write_clip(tmp_path / "a.mp4")
    assert f"{OWN_TAG}: {SYNTHETIC_MARK}".encode() in (tmp_path / "a.mp4").read_bytes()
    assert read_mark(tmp_path / "a.mp4") == SYNTHETIC_MARK


def test_what_is_not_synthetic_is_not_sealed(tmp_path: Path, record: Record) -> None:
    seal = record(tmp_path / "a.png")
    write_image(tmp_path / "a.png", frame_of(), provenance=None)
    assert seal.sealed == [] and read_mark(tmp_path / "a.png") is None


def test_an_output_that_was_sealed_on_another_machine_is_not_sealed_again(tmp_path: Path, record: Record) -> None:
    write_clip(tmp_path / "made")
    seal = record(tmp_path / "shipped")
    publish_output(tmp_path / "shipped", pack_output(tmp_path / "made"))
    assert seal.sealed == [] and len(list((tmp_path / "shipped").iterdir())) == 3


def test_converted_weights_name_the_file_that_they_were_made_of(tmp_path: Path, record: Record) -> None:
    made = tmp_path / "made.safetensors"
    save_file(dict(embedded_checkpoint().tensors), tmp_path / "given.safetensors")
    seal = record(made)
    convert_weights(str(tmp_path / "given.safetensors"), made)
    ((_, provenance),) = seal.sealed
    (given,) = provenance.inputs
    assert (given.role, given.path.name) == ("weights", "given.safetensors")
    assert given.sha256 == hash_file(tmp_path / "given.safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {"given.safetensors", "made.safetensors"}


def test_an_ingredient_is_hashed_once_and_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr("vid2vid_cli.media.provenance.hash_file", lambda path: hashed.append(path) or "ab")
    clip = Ingredient("driving", tmp_path / "clip.mp4")
    (tmp_path / "clip.mp4").write_bytes(b"long")
    provenance = Provenance(inputs=(clip,))
    assert hashed == [] and [each.sha256 for each in provenance.inputs * 2] == ["ab", "ab"] and len(hashed) == 1
    assert Ingredient("driving", tmp_path / "standard input").sha256 is None
    assert MARKED.inputs == () and MARKED.checkpoint is None


@pytest.fixture
def clip(media_dir: Path) -> Path:
    return media_dir / "drivings" / "d14_actor_left_turn_256.mp4"


def test_commands_say_what_an_output_was_made_of(media_dir: Path, clip: Path, tmp_path: Path, record: Record) -> None:
    portrait = media_dir / "sources" / "s01_mona_lisa.jpg"
    commands: dict[str, tuple[Callable[[Path], object], dict[str, Path]]] = {
        "a.png": (
            lambda path: reenact(portrait, portrait, path, ReenactOptions(size=64)),
            {"source": portrait, "driving": portrait},
        ),
        "sheet.png": (lambda path: rotate(portrait, path, RotateOptions(yaw="-5:5:5", size=64)), {"source": portrait}),
        "a.safetensors": (lambda path: extract_motion(clip, path, MotionOptions(end="0.1")), {"driving": clip}),
        "a.v2v": (
            lambda path: encode_call(clip, path, EncodeOptions(end="0.1", audio="none")),
            {"driving": clip},
        ),
    }
    for name, (make, inputs) in commands.items():
        seal = record(tmp_path / name)
        make(tmp_path / name)
        ((suffix, provenance),) = seal.sealed
        assert suffix == Path(name).suffix, "a seal cannot tell what it seals"
        assert {each.role: each.path for each in provenance.inputs} == inputs, name
        assert provenance.checkpoint == embedded_checkpoint().sha256
        assert provenance.settings["size" if "png" in name else "end"] in (64, "0.1")
