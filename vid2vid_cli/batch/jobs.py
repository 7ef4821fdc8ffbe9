"""Which jobs a batch has: files on both sides, how they are paired, and what the outputs are called."""

from __future__ import annotations

import glob
import os
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from vid2vid_cli.batch.options import BatchOptions, Pair
from vid2vid_cli.checkpoints import catalogue
from vid2vid_cli.checkpoints.cache import EMBEDDED, bundled_file, look_for, own_file
from vid2vid_cli.errors import UsageError, Vid2VidError
from vid2vid_cli.media.probe import sniff
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions

PICTURES = frozenset(
    {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".jp2", ".avif", ".heic", ".heif"}
)
VIDEOS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".mts", ".flv", ".wmv", ".ogv"}
    | {".3gp", ".mxf"}
)
MOTIONS = frozenset({".safetensors", ".v2v"})
PLACES = ("source", "driving", "index", "ext")
Options = ReenactOptions | RotateOptions


@dataclass(frozen=True)
class Job:
    """One output. driving: None for a head that is turned (`rotate`). index: its place in the batch, from 0."""

    index: int
    source: Path
    driving: Path | None
    output: Path
    options: Options

    @property
    def command(self) -> str:
        """Name the command that would do the job alone."""
        return "reenact" if self.driving is not None else "rotate"

    @property
    def inputs(self) -> tuple[Path, ...]:
        """List the files that the job reads."""
        return (self.source,) if self.driving is None else (self.source, self.driving)

    @property
    def checkpoint_path(self) -> Path | None:
        """The file or folder of the checkpoint, where it is named by its path."""
        name = self.options.checkpoint
        path = Path(name).expanduser()
        is_named = name == catalogue.DEFAULT_CHECKPOINT or catalogue.named(name) is not None
        is_path = not is_named and os.path.exists(path)  # noqa: PTH110  for too long a name Path.exists raises
        return path if is_path else None

    @cached_property
    def appearance(self) -> tuple[Any, ...]:
        """Name what the job computes of its source: jobs with the same name share it."""
        o = self.options
        return "source", self.source, o.face, o.size, o.paste_back, o.background, *self._arithmetic

    @cached_property
    def motion(self) -> tuple[Any, ...] | None:
        """Name the motion that the job reads off a driving: jobs with the same name share it."""
        if self.driving is None or not isinstance(self.options, ReenactOptions):
            return None
        o = self.options
        return "driving", self.driving, o.driving_face, o.start, o.end, o.fps, *self._arithmetic

    @property
    def _arithmetic(self) -> tuple[str, ...]:
        o = self.options
        return o.checkpoint, o.detector, o.device, o.dtype

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain values."""
        driving = None if self.driving is None else str(self.driving)
        return {
            "index": self.index,
            "source": str(self.source),
            "driving": driving,
            "output": str(self.output),
            "options": asdict(self.options),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Job:
        """Build a job of plain values."""
        driving = None if plain["driving"] is None else Path(plain["driving"])
        kind = RotateOptions if driving is None else ReenactOptions
        source, output = Path(plain["source"]), Path(plain["output"])
        return cls(plain["index"], source, driving, output, kind(**plain["options"]))


def checkpoint_parts(name: str) -> list[Path]:
    """List the files on this machine that the name or the path of a checkpoint means; none where it means nothing."""
    if name == catalogue.DEFAULT_CHECKPOINT:
        return [bundled_file("weights", EMBEDDED)]
    known = catalogue.named(name)
    if known is not None:
        own = own_file(name)
        return [own] if own is not None else [found.path for found in look_for(known) if found.path is not None]
    path = Path(name).expanduser()
    if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises for a name that is too long
        return sorted(part for part in path.rglob("*") if part.is_file())
    return [path] if os.path.isfile(path) else []  # noqa: PTH113  as above


@dataclass(frozen=True)
class MatchedFiles:
    """The files that one side of a batch names. passed_over: files of a folder that are no media by name."""

    files: list[Path]
    passed_over: int = 0


def find_files(named: str, side: str) -> MatchedFiles:
    """Find the files that a folder, a pattern or a file's name means, in the order of their names.

    side: SOURCES or DRIVINGS, for messages. Of a folder the pictures and videos directly in it count, for drivings
    motion files too; of a pattern all files.
    """
    path = Path(named)
    if os.path.isdir(named):  # noqa: PTH112  Path.is_dir raises for a name that is too long
        known = PICTURES | VIDEOS | (MOTIONS if side == "DRIVINGS" else frozenset())
        files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
        media = [file for file in files if file.suffix.lower() in known]
        if not media:
            raise UsageError(f"{named}: no picture or video in this folder; name another as {side}")
        return MatchedFiles(media, len(files) - len(media))
    if os.path.lexists(named) or not glob.has_magic(named):
        return MatchedFiles([path])
    files = sorted(match for match in map(Path, glob.glob(named, recursive=True)) if match.is_file())  # noqa: PTH207
    if not files:
        raise UsageError(f"{named}: no file fits this pattern; name another as {side}")
    return MatchedFiles(files)


def pair_files(sources: Sequence[Path], drivings: Sequence[Path], pair: Pair) -> list[tuple[Path, Path]]:
    """Pair the files of both sides."""
    if pair == "product":
        return list(product(sources, drivings))
    if pair == "zip":
        if len(sources) != len(drivings):
            raise UsageError(
                f"--pair zip: {len(sources)} sources and {len(drivings)} drivings do not go together; "
                "give as many of both, or --pair product"
            )
        return list(zip(sources, drivings, strict=True))
    by_name = [_by_stem(sources, "sources"), _by_stem(drivings, "drivings")]
    pairs = [(file, by_name[1][stem]) for stem, file in by_name[0].items() if stem in by_name[1]]
    if not pairs:
        raise UsageError("--pair one-to-one-by-name: no source has the name of a driving; see --dry-run --pair product")
    return pairs


def _by_stem(files: Sequence[Path], side: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        if file.stem in found:
            raise UsageError(
                f"--pair one-to-one-by-name: two {side} are called {file.stem}: {found[file.stem]}, {file}"
            )
        found[file.stem] = file
    return found


def check_template(template: str) -> None:
    """Raise UsageError unless a name is made of the known places, and stays in its folder."""
    try:
        parts = list(string.Formatter().parse(template))
        for _, place, form, conversion in parts:
            if place is not None and (place not in PLACES or conversion or "{" in (form or "")):
                raise ValueError(f"{{{place}}} is not known")
        example = template.format(source="a", driving="b", index=0, ext="mp4")
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        known = " ".join(f"{{{place}}}" for place in PLACES)
        raise UsageError(f"--name {template}: {error}; use {known}") from error
    path = Path(example)
    if not example.strip() or path.is_absolute() or ".." in path.parts or not path.name or "\0" in example:
        raise UsageError(f"--name {template}: must name a file inside of the output folder")


def output_name(template: str, index: int, source: Path, driving: Path | None, options: Options) -> Path:
    """Fill in a template. ext: png where one picture comes out, else mp4."""
    stem = "rotated" if driving is None else driving.stem
    ext = "png" if _is_picture(source, driving, options) else "mp4"
    return Path(template.format(source=source.stem, driving=stem, index=index, ext=ext))


def _is_picture(source: Path, driving: Path | None, options: Options) -> bool:
    if not _is_still(source):
        return False
    if driving is None:
        return not any(":" in (angle or "") for angle in (options.yaw, options.pitch, options.roll))
    return driving.suffix.lower() not in MOTIONS and _is_still(driving)


def _is_still(path: Path) -> bool:
    """Tell a still by content; what cannot be read is left to the job to complain of."""
    try:
        return sniff(path) == "still"
    except (Vid2VidError, OSError, ValueError):
        return False


def check_clashes(jobs: Sequence[Job]) -> None:
    """Raise UsageError where two jobs would write the same file, one inside of another's, or over an input."""
    outputs = Counter(_place(job.output) for job in jobs)
    inputs = {_place(path) for job in jobs for path in job.inputs}
    for job in jobs:
        place = _place(job.output)
        if outputs[place] > 1:
            twins = [other for other in jobs if _place(other.output) == place]
            raise UsageError(
                f"{job.output}: {len(twins)} jobs would write it, the first two from {_origin(twins[0])} and "
                f"{_origin(twins[1])}; put {{index}} into --name"
            )
        if place in inputs:
            raise UsageError(f"{job.output}: would replace an input of this batch; choose another folder or --name")
        above = next((folder for folder in map(str, Path(place).parents) if folder in outputs), None)
        if above is not None:
            raise UsageError(f"{job.output}: lies inside of another output, {above}; choose another --name")


def _place(path: Path) -> str:
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100  Path.resolve would follow a link to elsewhere


def _origin(job: Job) -> str:
    return " and ".join(map(str, job.inputs))


def jobs_of_folders(sides: tuple[str, str], folder: Path, options: ReenactOptions, batch: BatchOptions) -> list[Job]:
    """Make the jobs of SOURCES and DRIVINGS. folder: of the outputs."""
    check_template(batch.name)
    sources, drivings = find_files(sides[0], "SOURCES").files, find_files(sides[1], "DRIVINGS").files
    return [
        Job(index, source, driving, folder / output_name(batch.name, index, source, driving, options), options)
        for index, (source, driving) in enumerate(pair_files(sources, drivings, batch.pair))
    ]
