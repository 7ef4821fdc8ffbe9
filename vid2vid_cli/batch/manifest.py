"""Read a table of jobs: a row a job, and any option of `reenact` or `rotate` as a column."""

from __future__ import annotations

import csv
import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vid2vid_cli.batch.jobs import Job, Options, check_template, output_name
from vid2vid_cli.batch.options import BatchOptions
from vid2vid_cli.errors import UsageError, one_line
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions

OWN_COLUMNS = ("command", "source", "driving", "output")
YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class ManifestRow:
    """One row of a table. where: its file and line, for messages."""

    where: str
    cells: Mapping[str, Any]


def jobs_of_manifest(path: Path, folder: Path, options: ReenactOptions, batch: BatchOptions) -> list[Job]:
    """Make the jobs of a manifest. Paths in it count from its own folder; options left empty are those of `options`.

    folder: of the outputs. UsageError names the line and column of what cannot be read.
    """
    check_template(batch.name)
    jobs = [_job(index, row, (path.parent, folder), options, batch) for index, row in enumerate(_read_rows(path))]
    if not jobs:
        raise UsageError(f"{path}: has no rows; write one a job")
    return jobs


def _read_rows(path: Path) -> Iterator[ManifestRow]:
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl}
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path}: a manifest is a .csv or a .jsonl")
    try:
        yield from readers[path.suffix.lower()](path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    except csv.Error as error:
        raise UsageError(f"{path}: is no readable CSV: {error}") from error


def _read_csv(path: Path) -> Iterator[ManifestRow]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        names = [_column(name) for name in reader.fieldnames or ()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"{path}: the column {twice} is there twice")
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if None in cells:
                raise UsageError(f"{where}: has more cells than the first line has columns")
            yield ManifestRow(
                where, {_column(name): cell.strip() for name, cell in cells.items() if (cell or "").strip()}
            )


def _read_jsonl(path: Path) -> Iterator[ManifestRow]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                cells = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{where}: is no JSON object: {error}") from error
            if not isinstance(cells, dict):
                raise UsageError(f"{where}: is no JSON object")
            yield ManifestRow(where, {_column(name): cell for name, cell in cells.items() if cell is not None})


def _column(name: str) -> str:
    return name.strip().lower().removeprefix("--").replace("-", "_")


def _job(index: int, row: ManifestRow, homes: tuple[Path, Path], defaults: ReenactOptions, batch: BatchOptions) -> Job:
    """Make one job. homes: the folders that inputs and outputs count from."""
    command = row.cells.get("command", "reenact" if "driving" in row.cells else "rotate")
    if command not in ("reenact", "rotate"):
        raise UsageError(f"{row.where}: command {command}: write reenact or rotate")
    if command == "rotate" and "driving" in row.cells:
        raise UsageError(f"{row.where}: rotate has no driving; leave it out, or the command")
    source = homes[0] / _path(row, "source")
    driving = homes[0] / _path(row, "driving") if command == "reenact" else None
    base: Options = defaults if command == "reenact" else for_rotate(defaults)
    options = _with_cells(base, row)
    name = Path(_path(row, "output")) if "output" in row.cells else None
    if name is None:
        name = output_name(batch.name, index, source, driving, options)
    elif ".." in name.parts or name.is_absolute():
        raise UsageError(f"{row.where}: output {name}: must lie inside of the output folder")
    return Job(index, source, driving, homes[1] / name, options)


def _path(row: ManifestRow, column: str) -> str:
    text = row.cells.get(column, "")
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"{row.where}: names no {column}; fill in the column {column}")
    return text


def for_rotate(options: ReenactOptions) -> RotateOptions:
    """Take from the options of `reenact` those that `rotate` has too; what is None stays as `rotate` has it."""
    shared = {field.name: getattr(options, field.name, None) for field in fields(RotateOptions)}
    return RotateOptions(**{name: value for name, value in shared.items() if value is not None})


def _with_cells(options: Options, row: ManifestRow) -> Options:
    columns = _columns(type(options))
    changed: dict[str, Any] = {}
    for column, cell in row.cells.items():
        if column in OWN_COLUMNS:
            continue
        if column not in columns:
            raise UsageError(f"{row.where}: column {column}: {_unknown(column, options)}")
        name, hint, is_opposite = columns[column]
        value = _convert(cell, hint, f"{row.where}: {column} {one_line(str(cell))}")
        changed[name] = not value if is_opposite else value
    try:
        return replace(options, **changed)
    except ValueError as error:
        raise UsageError(f"{row.where}: {error}") from error


def _unknown(column: str, options: Options) -> str:
    command = "reenact" if isinstance(options, ReenactOptions) else "rotate"
    other = RotateOptions if command == "reenact" else ReenactOptions
    if column in _columns(other):
        return f"{command} has no such option; leave the cell empty in this row"
    return f"neither reenact nor rotate has such an option; see vid2vid {command} --help"


def _columns(kind: type[Options]) -> dict[str, tuple[str, Any, bool]]:
    """List what a column may be called: the option's field, or any of its flags. True: it means the opposite."""
    hints = get_type_hints(kind)
    found: dict[str, tuple[str, Any, bool]] = {}
    for field in fields(kind):
        found[field.name] = field.name, hints[field.name], False
        for name, is_opposite in _flags(field):
            found.setdefault(name, (field.name, hints[field.name], is_opposite))
    return found


def _flags(field: Field[Any]) -> Iterator[tuple[str, bool]]:
    flags = field.metadata.get("flags") or ([f"--{field.name}/--no-{field.name}"] if field.default is True else [])
    for flag in flags:
        for place, name in enumerate(flag.split("/")):
            if name.startswith("--"):
                yield _column(name), place == 1


def _convert(cell: Any, hint: Any, where: str) -> Any:
    """Turn a cell into what an option takes."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kind = next(kind for kind in kinds if kind is not type(None))
    if get_origin(kind) is Literal:
        if cell not in get_args(kind):
            raise UsageError(f"{where}: write one of {', '.join(map(str, get_args(kind)))}")
        return cell
    if kind is bool:
        return _truth(cell, where)
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        raise UsageError(f"{where}: write a number or a text")
    try:
        return kind(str(cell)) if kind in (int, float) else str(cell)
    except ValueError as error:
        raise UsageError(f"{where}: write a {'whole number' if kind is int else 'number'}") from error


def _truth(cell: Any, where: str) -> bool:
    word = str(cell).lower()
    if word not in (*YES, *NO):
        raise UsageError(f"{where}: write true or false")
    return word in YES
