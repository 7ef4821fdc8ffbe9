"""Three-quarter portraits turned to the camera: one ear a side, one collar, and nothing of the head beside the head."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.registry import LoadedModel, load_person_matte
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.rotate import rotate

SIDE_PX = 512
GROWN = 2 * round(0.02 * SIDE_PX) + 1  # px: what a matte may miss
CHANGED, LIKE = 40, 30  # grey levels: what a picture shows anew, and what is a colour of the person
COLOURS = 12
SEEN, AROUND = 8, np.ones((5, 5), np.uint8)  # grey levels of a change that is seen; px that belong to it
MOST_OUTSIDE, LARGEST = 5e-4, 1.0  # of the picture; of the person in the source

pytestmark = pytest.mark.usefixtures("own_folder")


def colours_of(frame: Frame, matte: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the colours of skin, hair and clothes: (COLOURS, 3)."""
    pixels = frame[cv2.erode(matte, np.ones((GROWN, GROWN))) > 0.95][::7].astype(np.float32)
    cv2.setRNGSeed(1)
    rounds = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 30, 1.0)
    return np.asarray(cv2.kmeans(pixels, COLOURS, None, rounds, 1, cv2.KMEANS_PP_CENTERS)[2])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "name",
    ["s02_pearl_earring.jpg", "s08_painted_man_glasses.png", "s18_side_view_alpha.png", "s26_woman_threequarter.jpg"],
)
def test_a_three_quarter_portrait_that_looks_ahead_has_no_second_ear_or_collar(
    name: str, media_dir: Path, model: LoadedModel
) -> None:
    """The far half is mirrored within the head. A second collar, or a wedge beside it, would make the person larger."""
    source = media_dir / "sources" / name
    still = RotateOptions(size=SIDE_PX, yaw="0", force=True)
    before, after = (
        read_image(rotate(source, output, options, model=model).output)
        for output, options in (("own.png", still), ("ahead.png", RotateOptions(size=SIDE_PX, frontalize=True)))
    )
    own, ahead = (load_person_matte().of_frame(frame) for frame in (before, after))
    outside = cv2.dilate(np.maximum(own, ahead), np.ones((GROWN, GROWN))) < 0.1
    away = np.linalg.norm(after[:, :, None] - colours_of(before, own), axis=-1).min(-1)
    spilt = outside & (cv2.absdiff(before, after).max(-1) > CHANGED) & (away < LIKE)
    assert spilt.mean() < MOST_OUTSIDE
    assert cv2.absdiff(before, after).max(-1)[own > 0.9].mean() > 3, "nothing turned"
    # Where nothing changed, the person is where they were: in the dark, the network sees shoulders come and go.
    seen = cv2.morphologyEx((cv2.absdiff(before, after).max(-1) > SEEN).astype(np.uint8), cv2.MORPH_CLOSE, AROUND) > 0
    assert 0.8 < np.where(seen, ahead, own).mean() / own.mean() < LARGEST
