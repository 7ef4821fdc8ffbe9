"""Read a table of jobs: one row per job, with any option of `reenact` or `rotate` as a column."""

from __future__ import annotations

import codecs
import csv
import json
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vid2vid_cli.batch.jobs import KINDS, Job, Options, check_template, output_name
from vid2vid_cli.batch.options import BatchOptions
from vid2vid_cli.errors import UsageError, one_line
from vid2vid_cli.near_names import hint_at, nearest_file
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions

OWN_COLUMNS = ("command", "source", "driving", "output")
ANGLES = ("yaw", "pitch", "roll")
_NAMED_SEPARATOR = re.compile(r'"?sep=(.)"?\s*')  # what some spreadsheets write above the first row
YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class ManifestRow:
    """One row of a table. where: its file and line, for messages. cells: by column; empty ones are left out.

    has_decimal_commas: whether 0,5 means a half.
    """

    where: str
    cells: Mapping[str, Any]
    has_decimal_commas: bool = False


@dataclass(frozen=True)
class ManifestFolders:
    """The folders that relative paths in a table start from."""

    inputs: Path
    outputs: Path


@dataclass(frozen=True)
class Column:
    """The option that a column sets. hint: its type. is_opposite: whether the column negates it."""

    option: str
    hint: Any
    is_opposite: bool


def jobs_of_manifest(path: Path, folder: Path, options: ReenactOptions, batch: BatchOptions) -> list[Job]:
    """Make the jobs of a manifest. Paths in it start from its own folder; an empty cell takes the value in `options`.

    folder: of the outputs. UsageError names the line and column that cannot be read.
    """
    check_template(batch.name)
    folders = ManifestFolders(path.parent, folder)
    jobs = [_job(index, row, folders, options, batch) for index, row in enumerate(_read_rows(path))]
    if not jobs:
        raise UsageError(f"{path}: has no rows; write one per job")
    return jobs


def _read_rows(path: Path) -> Iterator[ManifestRow]:
    # By the name alone: a table of one column is valid CSV whatever is in it.
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".txt": _read_csv, ".jsonl": _read_jsonl}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path}: a manifest must be a .csv, .tsv, .txt or .jsonl file")
    try:
        yield from readers[path.suffix.lower()](path)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file; {hint_at(nearest_file(path), 'check the name')}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    except csv.Error as error:
        raise UsageError(f"{path}: is not readable CSV: {error}") from error


def _read_csv(path: Path) -> Iterator[ManifestRow]:
    with path.open(encoding=_encoding(path), newline="") as file:
        header = file.readline()
        named = _NAMED_SEPARATOR.fullmatch(header)
        separator = named[1] if named else _separator(header)
        if not named:
            file.seek(0)
        reader = csv.DictReader(file, delimiter=separator, strict=True)
        names = [_column(name) for name in reader.fieldnames or ()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"{path}: has the column {twice} twice")
        for cells in reader:
            where = f"{path}:{reader.line_num + (named is not None)}"
            if None in cells:  # the reader's key for surplus cells
                raise UsageError(f"{where}: has more cells than the first row has columns")
            filled = {_column(name): cell.strip() for name, cell in cells.items() if (cell or "").strip()}
            yield ManifestRow(where, filled, has_decimal_commas=separator != ",")


def _encoding(path: Path) -> str:
    """Return the encoding of a table: spreadsheets put a byte order mark in front of UTF-8, and of UTF-16."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _separator(header: str) -> str:
    """Return what stands between the columns: a comma, or what spreadsheets write where that is the decimal point."""
    return max(",;\t", key=header.count)  # the first of them if there is one column alone


def _read_jsonl(path: Path) -> Iterator[ManifestRow]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                cells = json.loads(line)
            except (ValueError, RecursionError) as error:  # RecursionError: brackets nested too deep
                raise UsageError(f"{where}: is not a JSON object: {error}") from error
            if not isinstance(cells, dict):
                raise UsageError(f"{where}: is not a JSON object")
            yield ManifestRow(where, {_column(name): cell for name, cell in cells.items() if cell is not None})


def _column(name: str) -> str:
    """Spell a column as the option's field: `--Max-Pixels` means `max_pixels`."""
    return name.strip().lower().removeprefix("--").replace("-", "_")


def _job(index: int, row: ManifestRow, folders: ManifestFolders, defaults: ReenactOptions, batch: BatchOptions) -> Job:
    command = row.cells.get("command", "reenact" if "driving" in row.cells else "rotate")
    if command not in ("reenact", "rotate"):
        raise UsageError(f"{row.where}: command {command}: write reenact or rotate")
    if command == "rotate" and "driving" in row.cells:
        raise UsageError(f"{row.where}: rotate takes no driving; leave out the driving or the command")
    source = folders.inputs / _path(row, "source")
    driving = folders.inputs / _path(row, "driving") if command == "reenact" else None
    # Options from the command line apply to every row, those that rotate does not have only to the others.
    base: Options = defaults if command == "reenact" else for_rotate(defaults)
    options = with_cells(base, row)
    name = Path(_path(row, "output")) if "output" in row.cells else None
    if name is None:
        name = output_name(batch.name, index, source, driving, options)
    elif ".." in name.parts or name.is_absolute():
        raise UsageError(f"{row.where}: output {name}: must lie inside the output folder")
    return Job(index, source, driving, folders.outputs / name, options)


def _path(row: ManifestRow, column: str) -> str:
    text = row.cells.get(column, "")
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"{row.where}: has no {column}; fill in the column {column}")
    return text


def for_rotate(options: ReenactOptions) -> RotateOptions:
    """Return the options that `rotate` shares with `reenact`. Those that are None keep the default of `rotate`."""
    shared = {field.name: getattr(options, field.name, None) for field in fields(RotateOptions)}
    return RotateOptions(**{name: value for name, value in shared.items() if value is not None})


def with_cells(options: Options, row: ManifestRow) -> Options:
    """Return options with those changed that a row has a cell for. UsageError for a cell that cannot be read."""
    columns = _columns(type(options))
    changed: dict[str, Any] = {}
    for column, cell in row.cells.items():
        if column in OWN_COLUMNS:
            continue
        if column not in columns:
            raise UsageError(f"{row.where}: column {column}: {_unknown(column, options)}")
        meant = columns[column]
        is_number = meant.option in ANGLES or float in kinds_of(meant.hint)
        plain = cell.replace(",", ".") if row.has_decimal_commas and is_number else cell
        value = _convert(plain, meant.hint, f"{row.where}: {column} {one_line(str(cell))}")
        changed[meant.option] = not value if meant.is_opposite else value
    try:
        return replace(options, **changed)
    except ValueError as error:
        raise UsageError(f"{row.where}: {error}") from error


def _unknown(column: str, options: Options) -> str:
    command = next(name for name, kind in KINDS.items() if type(options) is kind)
    if any(column in _columns(other) for other in KINDS.values()):
        return f"{command} has no such option; leave it out there"
    return f"neither reenact nor rotate has such an option; see vid2vid {command} --help"


def _columns(kind: type[Options]) -> dict[str, Column]:
    """List the names that a column may have: the option's field, or any of its flags."""
    hints = get_type_hints(kind)
    found: dict[str, Column] = {}
    for field in fields(kind):
        found[field.name] = Column(field.name, hints[field.name], is_opposite=False)
        for name, is_opposite in _flags(field):
            found.setdefault(name, Column(field.name, hints[field.name], is_opposite))
    return found


def _flags(field: Field[Any]) -> Iterator[tuple[str, bool]]:
    """Yield each long flag of an option as a column's name, and whether it is the opposite of a pair."""
    # An option that is on by default gets its opposite from the command line when it names no flags itself.
    flags = field.metadata.get("flags") or ([f"--{field.name}/--no-{field.name}"] if field.default is True else [])
    for flag in flags:
        for place, name in enumerate(flag.split("/")):
            if name.startswith("--"):
                yield _column(name), place == 1


def _convert(cell: Any, hint: Any, where: str) -> Any:
    """Turn a cell into a value of the option's type. where: for messages."""
    # `float | None` takes numbers only: a cell cannot say None, it is left empty.
    kind = next(kind for kind in kinds_of(hint) if kind is not type(None))
    if get_origin(kind) is Literal:
        if cell not in get_args(kind):
            raise UsageError(f"{where}: write one of {', '.join(map(str, get_args(kind)))}")
        return cell
    if kind is bool:
        return _truth(cell, where)
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        raise UsageError(f"{where}: write a number or text")
    try:
        return kind(str(cell)) if kind in (int, float) else str(cell)
    except ValueError as error:
        raise UsageError(f"{where}: write a {'whole number' if kind is int else 'number'}") from error


def kinds_of(hint: Any) -> tuple[Any, ...]:
    """Return the types that a value of an option may have."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _truth(cell: Any, where: str) -> bool:
    word = str(cell).lower()
    if word not in (*YES, *NO):
        raise UsageError(f"{where}: write true or false")
    return word in YES
