"""Extension of griffe: a field `option(default, "help", ...)` has that default and help in the Python reference."""

from __future__ import annotations

import ast
from typing import Any

from griffe import Attribute, Docstring, ExprCall, Extension


class OptionHelp(Extension):
    """Take default and docstring of an option from its declaration."""

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Read the declaration of one field of a dataclass."""
        if isinstance(attr.value, ExprCall) and str(attr.value.function) == "option":
            default, text = attr.value.arguments[:2]
            attr.docstring = Docstring(ast.literal_eval(str(text)), parent=attr)
            attr.value = default
