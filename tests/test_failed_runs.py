"""A run that fails touches nothing: no new file, no folder, and whatever had the output's name is as it was."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import ffmpeg
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import MediaError, OutputExistsError
from vid2vid_cli.media import publishing
from vid2vid_cli.media.image import write_image
from vid2vid_cli.media.video import WriteOptions, open_writer

NO_FACE = 3
FRAME = np.full((32, 48, 3), 90, np.uint8)


@pytest.fixture(autouse=True)
def folder(own_folder: Path) -> Path:
    return own_folder


@pytest.fixture(scope="module")
def inputs(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a portrait and a clip of it, and a landscape and a clip of it: the latter have no face."""
    home = tmp_path_factory.mktemp("inputs")
    made = {}
    for name, file in (("face", "s27_ai_woman.png"), ("hill", "s23_no_face.jpg")):
        made[name] = home / f"{name}.png"
        picture = Image.open(media_dir / "sources" / file).convert("RGB")
        picture.thumbnail((192, 192))
        picture.save(made[name])
        made[f"{name} clip"] = home / f"{name}.mp4"
        ffmpeg("-loop", "1", "-i", made[name], "-frames:v", "6", "-vf", "pad=192:192", made[f"{name} clip"])
    return made


def fill(output: Path) -> dict[str, bytes]:
    """Put something of the user's own where the output would go."""
    if output.suffix:
        output.write_bytes(b"of the user")
        return {output.name: b"of the user"}
    output.mkdir()
    write_frames(output, force=False)
    return contents(output)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_frames(output: Path, *, force: bool, count: int = 3) -> None:
    with open_writer(output, (32, 48), WriteOptions(Fraction(25), force=force)) as writer:
        for _ in range(count):
            writer.write(FRAME)


RUNS = {
    "a picture, driven by a picture": (("face", "hill"), ("o.png", "o.jpg", "o.webp", "frames")),
    "a picture, driven by a clip": (("face", "hill clip"), ("o.mp4", "o.gif", "frames", "o.webp")),
    "a clip, driven by a picture": (("face clip", "hill"), ("o.mp4", "frames")),
    "a source without a face": (("hill", "face"), ("o.png",)),
}
EVERY_RUN = [(*files, output) for files, outputs in RUNS.values() for output in outputs]


@pytest.mark.parametrize(("source", "driving", "output"), EVERY_RUN)
def test_a_run_without_a_face_leaves_what_stands_there(
    source: str, driving: str, output: str, inputs: dict[str, Path], folder: Path
) -> None:
    command = ["reenact", str(inputs[source]), str(inputs[driving]), "-o", output]
    assert main(command) == NO_FACE and list(folder.iterdir()) == []
    before = fill(folder / output)
    assert main([*command, "--force"]) == NO_FACE
    assert contents(folder if Path(output).suffix else folder / output) == before


def test_a_run_without_a_face_makes_no_folder(inputs: dict[str, Path], folder: Path) -> None:
    command = ["reenact", str(inputs["face"])]
    assert main([*command, str(inputs["hill"]), "-o", "new/folder/o.png"]) == NO_FACE and list(folder.iterdir()) == []
    assert main([*command, str(inputs["face"]), "-o", "new/folder/o.png"]) == 0
    assert list(contents(folder)) == ["new/folder/o.png"]


def test_a_name_in_what_is_no_folder_is_refused_before_the_work(
    inputs: dict[str, Path], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "notes").write_text("of the user")
    assert main(["reenact", str(inputs["face"]), str(inputs["face"]), "-o", "notes/new/o.png"]) == 1
    assert "notes is not a folder" in capsys.readouterr().err
    assert contents(folder) == {"notes": b"of the user"}


# --- somebody else takes the name during the work ---


@pytest.mark.parametrize("output", ["o.mp4", "o.gif", "frames"])
def test_a_name_that_is_taken_meanwhile_is_left_and_the_work_kept_beside_it(output: str, folder: Path) -> None:
    path, other = folder / output, folder / ("frames-2" if output == "frames" else f"o-2{Path(output).suffix}")
    writer = open_writer(path, (32, 48), WriteOptions(Fraction(25)))
    with pytest.raises(OutputExistsError, match=other.name), writer:
        writer.write(FRAME)
        before = fill(path)
    assert contents(path if path.is_dir() else folder).items() >= before.items() and other.exists()


@pytest.mark.parametrize("has_links", [True, False])
def test_of_runs_that_race_for_one_name_none_is_lost(
    has_links: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no hard links here")

    if not has_links:
        monkeypatch.setattr(publishing.os, "link", refuse)
    for level in (10, 20, 30):
        picture = np.full((4, 4, 3), level, np.uint8)
        if level == 10:
            write_image("o.png", picture)
            continue
        with pytest.raises(OutputExistsError):
            write_image("o.png", picture)
    levels = {path.name: np.array(Image.open(path))[0, 0, 0] for path in folder.iterdir()}
    assert levels == {"o.png": 10, "o-2.png": 20, "o-3.png": 30}


def test_an_empty_folder_is_filled_and_one_with_frames_only_by_force(folder: Path) -> None:
    (folder / "frames").mkdir()
    (folder / "link").symlink_to("frames")
    write_frames(folder / "link", force=False)
    assert len(list((folder / "frames").iterdir())) == 3 and (folder / "link").is_symlink()
    (folder / "frames" / "notes.txt").write_text("of the user")
    write_frames(folder / "frames", force=True, count=2)
    assert set(contents(folder / "frames")) == {"frame_000000.png", "frame_000001.png", "notes.txt"}


def test_old_frames_stay_until_the_new_ones_are_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(folder / "frames", force=False, count=5)

    def refuse(*_: object) -> None:
        raise MediaError("the disk is gone")

    monkeypatch.setattr(publishing, "_replace", refuse)
    with pytest.raises(MediaError, match="gone"):
        write_frames(folder / "frames", force=True, count=2)
    assert len(contents(folder / "frames")) == 5
