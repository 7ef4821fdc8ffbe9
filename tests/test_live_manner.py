"""A person's own manner while a portrait is shown live."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from tests.support.clips import ffmpeg
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.live_portrait import LivePortrait, LiveSetup
from vid2vid_cli.pipeline.options import EngineOptions, PictureOptions
from vid2vid_cli.pipeline.person.options import PersonalizeOptions
from vid2vid_cli.pipeline.person.personalize import personalize

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_person_shown_live_comes_to_move_in_its_own_manner(tmp_path: Path) -> None:
    """Play a clip as a camera: the manner counts nothing at first and shows at the end."""
    ffmpeg("-stream_loop", "1", "-i", EXAMPLES / "driving.mp4", "-vf", "scale=256:-2", "-an", tmp_path / "long.mp4")
    personalize(tmp_path / "long.mp4", tmp_path / "me.person", PersonalizeOptions(views=1, threads=1))
    shown = {}
    for manner in (0.0, 1.0):
        engine = start_engine(EngineOptions(threads=1), None)
        setup = LiveSetup(manner=manner)
        options = PictureOptions(size=128)
        with closing(LivePortrait(engine, [tmp_path / "me.person"], options, lambda text: None, setup=setup)) as live:
            pictures = list(read_video(EXAMPLES / "driving.mp4", ReadOptions(end_s=4)))
            shown[manner] = [live.render(live.read(picture, k / 25)) for k, picture in enumerate(pictures)]
    away = [float(np.abs(a.astype(float) - b).mean()) for a, b in zip(shown[0.0], shown[1.0], strict=True)]
    assert max(away[:3]) < 0.01 < max(away[-25:])
