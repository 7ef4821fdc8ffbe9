"""Full-size checkpoints from file to file on a real clip: the picture is noise, all around it is real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import Tensor

from tests.support import golden_vectors as golden
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import probe_video, read_video
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.motion_file import load_motion
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

KEYPOINTS = {"facevid2vid": 15, "liveportrait": 21, "fomm": 10}


def fill(family: str) -> dict[str, Tensor]:
    if family == "liveportrait":
        return golden.fill_liveportrait()
    name = "A_facevid2vid_vox256_spade.pth.tar" if family == "facevid2vid" else "E_fomm_vox256.pth.tar"
    return golden.fill(name, lambda key: not key.startswith(("discriminator", "optimizer_")))


@pytest.fixture(scope="module", params=KEYPOINTS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    path = tmp_path_factory.mktemp("full") / "checkpoint.safetensors"
    save_file(fill(request.param), path)
    yield load_model(str(path))
    path.unlink()  # most of a gigabyte


@pytest.fixture
def clip(media_dir: Path) -> Path:
    """A talking head, 512x446, 25 frames/s, with sound."""
    return media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"


@pytest.fixture
def portrait() -> Path:
    return Path(__file__).parents[1] / "examples" / "portrait.jpg"


def test_golden_motion_and_a_turned_frame(loaded: LoadedModel, clip: Path, portrait: Path, tmp_path: Path) -> None:
    moves = tmp_path / "moves.safetensors"
    extract_motion(clip, moves, MotionOptions(end="0.08"), model=loaded)
    assert load_motion(moves).motion.expression.shape == (2, KEYPOINTS[loaded.family.name], 3)
    turned = "15" if loaded.family.has_head_pose else None
    options = ReenactOptions(end="0.04", reference_frame="0", smooth=0, yaw=turned)  # a frame takes seconds
    result = reenact(portrait, clip, tmp_path / "out.mp4", options, model=loaded)
    info = probe_video(tmp_path / "out.mp4")
    assert (result.frames, info.frame_count, info.size, info.has_audio) == (1, 1, (512, 512), True)
    source = read_image(portrait).astype(np.int16)
    frames = np.stack([frame.astype(np.int16) for frame in read_video(tmp_path / "out.mp4")])
    changed = np.abs(frames - source).max(-1)
    assert np.median(changed[:, :, -4:]) < 8, "beside the face all is as it was"
    assert changed.max() > 100
