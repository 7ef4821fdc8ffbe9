"""Names of the parts of a face that may move; free of tensors, so that the command line can list them quickly."""

from __future__ import annotations

from typing import Literal

Region = Literal["all", "pose", "expression", "mouth", "eyes"]
