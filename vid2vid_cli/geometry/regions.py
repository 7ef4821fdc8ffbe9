"""Names of the parts of a face that may move or be filled; without tensors, so that the command line starts quickly."""

from __future__ import annotations

from typing import Literal

Region = Literal["all", "pose", "expression", "mouth", "eyes"]
Mouth = Literal["auto", "source", "driving", "bank"]  # what fills an opening mouth
