"""Where a film cuts to another shot, everything begins anew; nothing else counts as a cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.clips import ffmpeg
from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.pipeline.driving.shots import number_shots
from vid2vid_cli.pipeline.open_scene import open_scene
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.progress import Hooks

FIRST, SECOND = 9, 9  # frames of the two shots


def picture(seed: int, shift: int = 0) -> Frame:
    """A picture of coloured blocks, moved to the right."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.roll(np.kron(blocks, np.ones((20, 20, 1), np.uint8)), shift, axis=1)


def shots(frames: list[Frame]) -> list[int]:
    return [shot for shot, _ in number_shots(frames)]


def test_a_cut_begins_a_shot() -> None:
    assert shots([picture(1, k) for k in range(7)] + [picture(2, k) for k in range(7)]) == [0] * 7 + [1] * 7


def test_a_shot_goes_on_after_another_one() -> None:
    one, other, third = ([picture(seed)] * 6 for seed in (1, 2, 3))
    assert shots(one + other + one + other + third) == [0] * 6 + [1] * 6 + [0] * 6 + [1] * 6 + [2] * 6


@pytest.mark.parametrize(
    "frames",
    [
        [picture(1, 12 * k) for k in range(20)],
        [picture(1, k * k) for k in range(16)],
        [(picture(1) * light).astype(np.uint8) for light in np.linspace(1, 0.05, 12)],
        [picture(1) // 2] * 6 + [picture(1) // 2 + 90] * 6,
    ],
    ids=["a camera that pans", "one that swings", "a fade", "a lamp that is switched on"],
)
def test_other_changes_are_no_cuts(frames: list[Frame]) -> None:
    assert shots(frames) == [0] * len(frames)


def test_the_light_of_a_flash_is_no_shot() -> None:
    assert shots([picture(1)] * 6 + [picture(2)] + [picture(1)] * 6) == [0] * 13


@pytest.fixture(scope="module")
def film(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that fills the frame, then another person's, half as large and on the other side."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    large, small = (
        media_dir / "drivings" / name for name in ("d03_woman_expressions_audio.mp4", "d06_man_mouth_wide_audio.mp4")
    )
    near = f"[0:v]fps=25,trim=end_frame={FIRST},scale=256:256,setsar=1,settb=1/25,setpts=N[a]"
    far = f"[1:v]fps=25,trim=end_frame={SECOND},scale=128:128,pad=256:256:0:64,setsar=1,settb=1/25,setpts=N[b]"
    ffmpeg("-i", large, "-i", small, "-filter_complex", f"{near};{far};[a][b]concat=n=2", "-r", "25", path)
    return path


def heads(source: Path, film: Path, options: ReenactOptions, analyzer: FaceAnalyzer) -> tuple[list[float], list[str]]:
    """Return the sizes of the faces in the frames of a reenactment, and what was said."""
    said: list[str] = []
    with open_scene(source, film, options, hooks=Hooks(warn=said.append)) as scene:
        faces = [analyzer.faces(frame)[0].size_px for frame in scene.frames()]
    return faces, said


def test_each_shot_has_its_own_rest(media_dir: Path, film: Path, face_analyzer: FaceAnalyzer) -> None:
    source = media_dir / "sources" / "s27_ai_woman.png"
    own = face_analyzer.faces(read_image(source))[0].size_px
    sizes, said = heads(source, film, ReenactOptions(), face_analyzer)
    assert len(sizes) == FIRST + SECOND
    assert max(abs(size / own - 1) for size in sizes) < 0.15
    assert (
        len(said) == 1 and f"another shot begins at frame {FIRST} (0.36 s); from there on the face at rest" in said[0]
    )
    number = int(said[0].split("head of frame ")[1].split()[0])
    assert FIRST <= number < FIRST + SECOND


def test_a_face_that_is_covered_for_a_while_begins_no_shot(
    media_dir: Path, film: Path, tmp_path: Path, face_analyzer: FaceAnalyzer
) -> None:
    cover = "[0:v]split=3[a][b][c];[b]drawbox=t=fill:color=gray,trim=end_frame=6[n];[a]trim=end_frame=9[f];"
    cover += "[c]trim=end_frame=9,reverse[l];[f][n][l]concat=n=3,settb=1/25,setpts=N"
    ffmpeg("-i", film, "-filter_complex", cover, "-r", "25", tmp_path / "covered.mp4")
    source = media_dir / "sources" / "s27_ai_woman.png"
    sizes, said = heads(source, tmp_path / "covered.mp4", ReenactOptions(), face_analyzer)
    assert not [line for line in said if "another shot" in line]
    assert len(sizes) == 24 and max(sizes) < 1.1 * min(sizes)


def test_as_it_is_taken_motion_needs_no_rest(media_dir: Path, film: Path, face_analyzer: FaceAnalyzer) -> None:
    _, said = heads(media_dir / "sources" / "s27_ai_woman.png", film, ReenactOptions(relative=False), face_analyzer)
    assert len(said) == 1 and said[0].endswith(f"another shot begins at frame {FIRST} (0.36 s)")
