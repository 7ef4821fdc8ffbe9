"""A body goes with its head as far as pictures show it; where they show too little of it, as that of one picture."""

from __future__ import annotations

import numpy as np
import pytest

from vid2vid_cli.models.compact.around_body import Bodies

HEADS = np.array([[0.0, 0.0], [0.2, 0.0], [-0.1, 0.1]])
NOTHING = np.zeros(2, np.float32)


def test_bodies_that_nothing_shows_are_not_known() -> None:
    assert Bodies.of([NOTHING, None, None], HEADS, 0.5) is None
    # A head that hardly moved tells nothing of one that moved far.
    assert Bodies.of([NOTHING, NOTHING, None], np.array([[0, 0], [0.01, 0], [0.3, 0]]), 0.5) is None


def test_a_body_goes_on_with_its_head_beyond_the_pictures() -> None:
    bodies = Bodies.of([NOTHING, *np.float32(0.4 * HEADS[1:])], HEADS, 0.5)
    assert bodies is not None
    assert bodies.sway == pytest.approx(0.4, abs=0.02)
    # Held as in a picture, the body lies as there.
    for number, head in enumerate(HEADS):
        assert np.allclose(bodies.shifts(np.eye(3)[number], head)[number], 0, atol=1e-6)
    further = bodies.shifts(np.array([0.0, 1.0, 0.0]), np.array([0.4, 0.0]))
    assert np.allclose(further[1], [0.4 * 0.2, 0], atol=0.005)
    assert np.allclose(further[0] - further[1], 0.4 * HEADS[1], atol=1e-6)


def test_a_body_that_one_picture_does_not_show_goes_with_its_head() -> None:
    bodies = Bodies.of([NOTHING, np.float32([0.1, 0.0]), None], HEADS, 0.5)
    assert bodies is not None
    assert np.allclose(bodies.bodies[2], bodies.sway * HEADS[2])


def test_a_body_that_moves_otherwise_does_not_sway() -> None:
    bodies = Bodies.of([NOTHING, np.float32([-0.1, 0.0]), np.float32([0.05, -0.05])], HEADS, 0.5)
    assert bodies is not None
    assert bodies.sway == 0
