"""The jobs of a batch: which files are paired, and what the outputs are called."""

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
from vid2vid_cli.home import under_home
from vid2vid_cli.media.probe import sniff
from vid2vid_cli.media.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from vid2vid_cli.person_mark import SUFFIX
from vid2vid_cli.pipeline.background import check_transparency, clip_suffix, parse_background
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions, SpeakOptions
from vid2vid_cli.process.shutdown import signals_delayed

PLACEHOLDERS = ("source", "driving", "index", "ext")
Options = ReenactOptions | RotateOptions  # those of `speak` are a kind of those of `reenact`
KINDS: dict[str, type[Options]] = {"reenact": ReenactOptions, "rotate": RotateOptions, "speak": SpeakOptions}
"""The commands that a job can be of, each with its options."""


@dataclass(frozen=True)
class Job:
    """One output.

    driving: None for a head that is turned by `rotate`. index: its position in the batch, from 0. preview: where the
    worker keeps the newest frame as a JPEG, if anybody wants to see it.
    """

    index: int
    source: Path
    driving: Path | None
    output: Path
    options: Options
    preview: Path | None = None

    @property
    def command(self) -> str:
        """Name the command that would do this job by itself."""
        if isinstance(self.options, SpeakOptions):
            return "speak"
        return "reenact" if self.driving is not None else "rotate"

    @property
    def inputs(self) -> tuple[Path, ...]:
        """List the files that the job reads."""
        return (self.source,) if self.driving is None else (self.source, self.driving)

    @property
    def checkpoint_path(self) -> Path | None:
        """The file or folder of the checkpoint; None unless it is named by its path."""
        name = self.options.checkpoint
        path = under_home(name)
        is_named = name == catalogue.DEFAULT_CHECKPOINT or catalogue.named(name) is not None
        is_path = not is_named and os.path.exists(path)  # noqa: PTH110  for too long a name Path.exists raises
        return path if is_path else None

    @cached_property
    def appearance(self) -> tuple[Any, ...]:
        """Return a key for what is computed of the source. Jobs with the same key share it."""
        o = self.options
        return "source", self.source, o.face, o.size, o.paste_back, o.background, *self._arithmetic

    @cached_property
    def motion(self) -> tuple[Any, ...] | None:
        """Return a key for the motion that is read off the driving. Jobs with the same key share it."""
        if self.driving is None or not isinstance(self.options, ReenactOptions) or self.command == "speak":
            return None  # a sound is heard anew each time
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
            "command": self.command,
            "source": str(self.source),
            "driving": driving,
            "output": str(self.output),
            "options": asdict(self.options),
            "preview": None if self.preview is None else str(self.preview),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Job:
        """Build a job from plain values."""
        driving = None if plain["driving"] is None else Path(plain["driving"])
        options, preview = KINDS[plain["command"]](**plain["options"]), plain["preview"]
        source, output = Path(plain["source"]), Path(plain["output"])
        return cls(plain["index"], source, driving, output, options, None if preview is None else Path(preview))


def checkpoint_parts(name: str) -> list[Path]:
    """List the files on this machine that belong to a checkpoint, given by name or path; empty if there are none."""
    if name == catalogue.DEFAULT_CHECKPOINT:
        return [bundled_file("weights", EMBEDDED)]
    known = catalogue.named(name)
    if known is not None:
        own = own_file(name)
        return [own] if own is not None else [found.path for found in look_for(known) if found.path is not None]
    path = under_home(name)
    if os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises for a name that is too long
        return sorted(part for part in path.rglob("*") if part.is_file())
    return [path] if os.path.isfile(path) else []  # noqa: PTH113  as above


@dataclass(frozen=True)
class MatchedFiles:
    """The files that one side of a batch names. skipped: how many files of a folder are not media by their names."""

    files: list[Path]
    skipped: int = 0


def find_files(named: str, side: str) -> MatchedFiles:
    """Find the files that a folder, a pattern or a file name stands for, sorted by name.

    side: SOURCES or DRIVINGS. In a folder, only files directly in it count: pictures and videos; as sources
    person files, too, and as drivings everything that some kind of driving calls its own. A pattern stands for all
    files that match it.
    """
    path = Path(named)
    if os.path.isdir(named):  # noqa: PTH112  Path.is_dir raises for a name that is too long
        files = sorted(entry for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
        fits = _is_source if side == "SOURCES" else _is_driving
        media = [file for file in files if _is_visual(file) or fits(file)]
        if not media:
            raise UsageError(f"{named}: no picture or video in this folder; name another as {side}")
        return MatchedFiles(media, len(files) - len(media))
    # A file may be called a[1].png. One that is missing is left to its job to report.
    if os.path.lexists(named) or not glob.has_magic(named):
        return MatchedFiles([path])
    files = sorted(match for match in map(Path, glob.glob(named, recursive=True)) if match.is_file())  # noqa: PTH207
    if not files:
        raise UsageError(f"{named}: no file matches this pattern; name another as {side}")
    return MatchedFiles(files)


def _is_visual(file: Path) -> bool:
    return file.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES


def _is_source(file: Path) -> bool:
    return file.suffix.lower() == SUFFIX


def _is_driving(file: Path) -> bool:
    # The kinds of driving need torch, which takes seconds to load. A folder of clips is listed without.
    with signals_delayed():  # an exception in the middle of torch's import would abort the process
        from vid2vid_cli.pipeline.driving.opening import is_called_driving

    return is_called_driving(file)


def pair_files(sources: Sequence[Path], drivings: Sequence[Path], pair: Pair) -> list[tuple[Path, Path]]:
    """Pair the files of both sides."""
    if pair == "product":
        return list(product(sources, drivings))
    if pair == "zip":
        if len(sources) != len(drivings):
            raise UsageError(
                f"--pair zip: {len(sources)} sources and {len(drivings)} drivings cannot be paired; "
                "give as many of one as of the other, or --pair product"
            )
        return list(zip(sources, drivings, strict=True))
    by_name = [_by_stem(sources, "sources"), _by_stem(drivings, "drivings")]
    pairs = [(file, by_name[1][stem]) for stem, file in by_name[0].items() if stem in by_name[1]]
    if not pairs:
        raise UsageError(
            "--pair one-to-one-by-name: no source has the same name as a driving; see --dry-run --pair product"
        )
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
    """Raise UsageError unless a template uses known placeholders only, and names a file inside the output folder."""
    try:
        parts = list(string.Formatter().parse(template))
        for _, place, form, conversion in parts:
            if place is not None and (place not in PLACEHOLDERS or conversion or "{" in (form or "")):
                # A form may hold a field of its own, as in {index:{source}}: it is refused as well.
                raise ValueError(f"{{{place}}} is not known")
        example = template.format(source="a", driving="b", index=0, ext="mp4")
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        known = " ".join(f"{{{place}}}" for place in PLACEHOLDERS)
        raise UsageError(f"--name {template}: {error}; use {known}") from error
    path = Path(example)
    if not example.strip() or path.is_absolute() or ".." in path.parts or not path.name or "\0" in example:
        raise UsageError(f"--name {template}: must name a file inside the output folder")


def output_name(template: str, index: int, source: Path, driving: Path | None, options: Options) -> Path:
    """Fill in a template. ext: png if the output is one picture, otherwise mp4."""
    stem = "rotated" if driving is None else driving.stem
    ext = "png" if _is_picture(source, driving, options) else clip_suffix(options)[1:]
    return Path(template.format(source=source.stem, driving=stem, index=index, ext=ext))


def _is_picture(source: Path, driving: Path | None, options: Options) -> bool:
    if not _is_still(source):
        return False
    if driving is None:
        return not any(":" in (angle or "") for angle in (options.yaw, options.pitch, options.roll))
    return _is_still(driving)


def _is_still(path: Path) -> bool:
    """Say whether a file is a picture, by its content. A file that cannot be read is left to its job to report."""
    try:
        return sniff(path) == "still"
    except (Vid2VidError, OSError, ValueError):
        return False


def check_background(job: Job, *, ships: bool) -> None:
    """Raise UsageError if a job's output cannot have the background asked for. ships: whether inputs are sent away."""
    check_transparency(job.output, job.options)
    if ships and parse_background(job.options.background).path is not None:
        raise UsageError(f"--background {job.options.background}: --ship-inputs does not send this file; use a colour")


def check_clashes(jobs: Sequence[Job]) -> None:
    """Raise UsageError if an output would be written twice, inside another output, or over an input."""
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
            raise UsageError(f"{job.output}: lies inside another output, {above}; choose another --name")


def _place(path: Path) -> str:
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100  Path.resolve would follow a link to elsewhere


def _origin(job: Job) -> str:
    return " and ".join(map(str, job.inputs))


@dataclass(frozen=True)
class Sides:
    """What the user gave for each side: a folder, a pattern, or a file name."""

    sources: str
    drivings: str

    def find(self) -> tuple[MatchedFiles, MatchedFiles]:
        """Find the files of both sides."""
        return find_files(self.sources, "SOURCES"), find_files(self.drivings, "DRIVINGS")


def jobs_of_folders(sides: Sides, folder: Path, options: ReenactOptions, batch: BatchOptions) -> list[Job]:
    """Make the jobs of SOURCES and DRIVINGS. folder: of the outputs."""
    check_template(batch.name)
    sources, drivings = (side.files for side in sides.find())
    return [
        Job(index, source, driving, folder / output_name(batch.name, index, source, driving, options), options)
        for index, (source, driving) in enumerate(pair_files(sources, drivings, batch.pair))
    ]
