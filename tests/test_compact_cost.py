"""What a frame costs the compact family: nothing that is the same twice is computed twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.clips import make_clip
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.following.follower import REFINED_TIMES
from vid2vid_cli.models.compact.mesh.warp import MeshWarp
from vid2vid_cli.models.compact.posing import Posing
from vid2vid_cli.models.registry import load_model
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
FRAMES = 3
DRIVEN, PLACED = 3, 2 + REFINED_TIMES  # how often a comparison drives the person, and places their mesh


@pytest.mark.parametrize("body", [False, True], ids=["head only", "followed"])
def test_a_frame_is_driven_and_its_mesh_placed_once(
    body: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the driving is followed, the mesh of its own first frame is placed besides: it is another face."""
    # One more for the reference frame, which is read before the others, and one for the one candidate to show its rest.
    comparisons = FRAMES + 2 if body else 0
    calls: Counter[str] = Counter()

    def count(owner: type, name: str) -> None:
        real: Callable[..., object] = getattr(owner, name)

        def counted(*given: object) -> object:
            calls[name] += 1
            return real(*given)

        monkeypatch.setattr(owner, name, counted)

    portrait = read_image(PORTRAIT)[::2, ::2]
    make_clip(tmp_path / "driving.mp4", [np.roll(portrait, shift, 1) for shift in range(FRAMES)])
    for owner, name in ((Posing, "drive"), (Posing, "head_pose"), (MeshWarp, "place")):
        count(owner, name)
    options = replace(ReenactOptions(size=96, reference_frame="0"), body=body)
    reenact(PORTRAIT, tmp_path / "driving.mp4", tmp_path / "out.mp4", options, model=load_model())
    driven, placed = FRAMES + DRIVEN * comparisons, FRAMES + PLACED * comparisons
    assert calls == {"drive": driven, "head_pose": driven, "place": placed}
