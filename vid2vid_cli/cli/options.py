"""Turn fields of dataclasses into command-line options, so that every option is defined once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from vid2vid_cli.cli.completion import OF_OPTIONS
from vid2vid_cli.errors import UsageError

PANELS = (
    *("Server", "Limits", "Batch", "Judging", "Camera", "Person", "Motion", "Head pose", "Expression", "Words"),
    *("Voice", "Sound", "Picture", "Time"),
    *("Encoding", "Output", "Network", "Engine", "Messages"),
    *("Only for -c liveportrait", "Only for -c facevid2vid and fomm"),
)
"""The order of the panels on a help page."""

Command = Callable[..., int | None]


def takes_options(function: Command) -> Command:
    """Replace each dataclass parameter by one keyword parameter per field.

    The result has the signature that typer reads. It builds the dataclasses and passes them to `function`.
    """
    # The annotations are strings (`from __future__ import annotations`); typer needs the real types.
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    groups: dict[str, type[Any]] = {name: hint for name, hint in hints.items() if _is_group(hint)}
    own = [p.replace(annotation=hints[p.name]) for p in parameters if p.name not in groups]
    made = [parameter for group in groups.values() for parameter in _parameters_of(group)]

    @wraps(function)
    def with_options(**given: Any) -> int | None:
        options = {name: _build(group, given) for name, group in groups.items()}
        return function(**given, **options)

    # Typer lists options in the order of the parameters, so their panels must be in order here.
    signature = inspect.Signature(own + sorted(made, key=_panel_index))
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    return with_options


def _is_group(hint: object) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def _build(group: type[Any], given: dict[str, Any]) -> Any:
    """Build a dataclass from the given values, and remove those; a value that it rejects is a UsageError."""
    values = {field.name: given.pop(field.name) for field in fields(group)}
    try:
        return group(**values)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _parameters_of(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group)
    return [_parameter(field, hints[field.name]) for field in fields(group)]


def _parameter(field: Field[Any], hint: Any) -> inspect.Parameter:
    if field.default is MISSING:
        raise ValueError(f"the option {field.name} needs a default")
    option = typer.Option(
        *(field.metadata.get("flags") or [_flag(field)]),
        help=field.metadata.get("help"),
        rich_help_panel=field.metadata.get("panel") or None,
        metavar=field.metadata.get("metavar") or None,
        autocompletion=OF_OPTIONS.get(field.name),
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(field.name, kind, default=field.default, annotation=Annotated[hint, option])


def _flag(field: Field[Any]) -> str:
    """Name the flag after the field; one that is on by default gets a --no- form."""
    name = field.name.replace("_", "-")
    return f"--{name}/--no-{name}" if field.default is True else f"--{name}"


def _panel_index(parameter: inspect.Parameter) -> int:
    panel = parameter.annotation.__metadata__[0].rich_help_panel
    return PANELS.index(panel) if panel in PANELS else -1  # no panel: typer's own "Options", which comes first
