"""Read JSON of clients, which may hold what nobody can write again."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Return the value of a text. ValueError for what is no JSON, is nested too deep, or holds halves of characters."""
    try:
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate could be put into no answer
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
