"""Source videos with alpha keep it where the output can hold it, each kind of file read back."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import animation, decoded
from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.compositing import with_alpha
from vid2vid_cli.media.video import WriteOptions, open_writer, read_video
from vid2vid_cli.models.registry import LoadedModel, load_person_matte
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.rotate import rotate

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def cut_out_frames(media_dir: Path) -> list[Frame]:
    """A woman without her background, who moves a little to the right."""
    picture = Image.open(media_dir / "sources" / "s27_ai_woman.png").convert("RGB").resize((200, 200))
    frame = np.array(picture)
    cut_out = with_alpha(frame, load_person_matte().of_frame(frame))
    return [np.roll(np.pad(cut_out, ((40, 0), (20, 20), (0, 0))), 2 * number, 1) for number in range(3)]


@pytest.mark.parametrize(
    ("name", "output"),
    [("a.webm", "o.webm"), ("a.mov", "o.mov"), ("a.gif", "o.gif"), ("a.webp", "o.webp"), ("a.png", "o")],
)
def test_a_transparent_clip_stays_so_where_it_can(
    cut_out_frames: list[Frame], name: str, output: str, model: LoadedModel
) -> None:
    size = cut_out_frames[0].shape[:2]
    if name == "a.png":
        first, *others = map(Image.fromarray, cut_out_frames)
        first.save(name, save_all=True, append_images=others, duration=100)
    else:
        with open_writer(Path(name), size, WriteOptions(Fraction(10), has_alpha=True)) as writer:
            for frame in cut_out_frames:
                writer.write(frame)
    rotate(name, output, RotateOptions(yaw="6"), model=model)
    if output == "o":
        found = np.stack([np.array(Image.open(file)) for file in sorted(Path(output).iterdir())])
    elif output in ("o.gif", "o.webp"):
        found = animation(Path(output))
    else:
        found = decoded(Path(output), size, *(["-c:v", "libvpx-vp9"] if output == "o.webm" else []))
    wanted = np.stack(cut_out_frames)
    assert found.shape == wanted.shape
    for shown, own in zip(found, wanted, strict=True):
        assert (shown[:30, :, 3] == 0).all() and (own[..., 3] > 250).mean() > 0.2
        assert (np.abs(shown[..., 3].astype(int) - own[..., 3]) > 60).mean() < 0.05, "only the head moves"
    sure = (wanted[..., 3] > 250) & (found[..., 3] > 250)
    assert 3 < np.abs(found[sure][:, :3].astype(int) - wanted[sure][:, :3]).mean() < 40, "the same woman, turned"


def test_a_transparent_clip_is_laid_on_a_colour_where_it_must(cut_out_frames: list[Frame], model: LoadedModel) -> None:
    with open_writer(Path("a.webm"), cut_out_frames[0].shape[:2], WriteOptions(Fraction(10), has_alpha=True)) as writer:
        for frame in cut_out_frames:
            writer.write(frame)
    rotate("a.webm", "o.mp4", RotateOptions(yaw="6", background="#20c040"), model=model)
    shown = next(read_video("o.mp4"))
    assert np.abs(shown[:25, :25].astype(int) - (0x20, 0xC0, 0x40)).mean() < 6
