"""How a person moves: told from the motions that were gathered, and kept in their file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.habits import Habits, habits_of, join_habits
from vid2vid_cli.person_file import load_person
from vid2vid_cli.person_mark import is_person_file
from vid2vid_cli.pipeline.person.gathering import Gathering

REST = "rest"  # the table of a person file that holds the expression at rest


@torch.inference_mode()
def movement_tables(gathering: Gathering, paths: Sequence[Path]) -> Mapping[str, NDArray[Any]]:
    """Return a gathered person's habits as tables of a person file; none where too little footage tells them.

    paths: what was gathered. Habits in person files among them count as the footage that told them.
    """
    model = gathering.reader.model
    known = [habits for path in paths if (habits := kept_habits(path)) is not None]
    told = [habits for habits in known if habits.names == model.movement_names]
    rest = next((rest for path in paths if (rest := kept_rest(path)) is not None), None)
    motions = None if gathering.person is None else gathering.person.habits.joined()
    if motions is not None:
        calm = model.rest(motions).motion
        seen = habits_of(model.movement_names, model.movements(motions, calm))
        if seen is not None:
            told.append(seen)
            rest = calm.expression if rest is None else rest
    tables = join_habits(told).tables() if told else {}
    return tables if rest is None else {**tables, REST: np.asarray(rest[0], np.float32)}


def kept_rest(path: Path) -> Tensor | None:
    """Return the expression (1, K, 3) of the person of a source at rest, as clips showed it; None where none did."""
    table = load_person(path).statistics.get(REST) if is_person_file(path) else None
    return None if table is None or table.ndim != 2 else torch.from_numpy(table.copy())[None]


def kept_habits(path: Path) -> Habits | None:
    """Return the habits that a source tells; None for one that is no person file, or has none."""
    return Habits.from_tables(load_person(path).statistics) if is_person_file(path) else None
