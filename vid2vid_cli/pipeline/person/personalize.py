"""Make a person file from pictures and clips."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.errors import UsageError
from vid2vid_cli.media.files import check_output, require_file
from vid2vid_cli.models.device import set_threads
from vid2vid_cli.models.registry import load_face_analyzer
from vid2vid_cli.person_file import MAX_VIEWS, decode_person
from vid2vid_cli.person_mark import SUFFIX
from vid2vid_cli.pipeline.person.gathering import Gathering, Request
from vid2vid_cli.pipeline.person.movements import movement_tables
from vid2vid_cli.pipeline.person.options import PersonalizeOptions
from vid2vid_cli.pipeline.person.storing import fit_into, person_of, write_person
from vid2vid_cli.pipeline.person.summary import PersonSummary, summarize
from vid2vid_cli.pipeline.progress import Hooks, WarningLog

LEAST_MB = 0.05


@dataclass(frozen=True)
class Personalized:
    """What was made. summary: what the file shows. seconds: of work."""

    output: Path
    summary: PersonSummary
    seconds: float
    warnings: tuple[str, ...]


def personalize(
    sources: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    options: PersonalizeOptions | None = None,
    *,
    hooks: Hooks | None = None,
) -> Personalized:
    """Keep what pictures and clips show of one person in a file that every command takes as a source.

    sources: pictures and clips; whoever the first picture shows is meant, or, without a picture before the first clip,
    whoever that clip shows most. output: a .person file, which only its owner can read; default
    `{first source}.person` in the current folder.
    Raises a subclass of Vid2VidError whose text is one line; nothing is left behind then.
    """
    began = time.perf_counter()
    options, log = options or PersonalizeOptions(), WarningLog(hooks or Hooks())
    paths = [Path(each) for each in ([sources] if isinstance(sources, str | Path) else sources)]
    target = Path(f"{paths[0].stem}{SUFFIX}") if output is None and paths else Path(output or "")
    _check(paths, target, options)
    set_threads(options.threads)
    request = Request(same=options.same_person, max_pixels=options.max_pixels)
    told = Hooks((hooks or Hooks()).progress, log.warn)
    gathering = Gathering(load_face_analyzer(), request, told)
    gathering.add_all(paths)
    person = person_of(gathering, options.views, movement_tables(gathering, paths))
    content = fit_into(person, int(options.max_size * 1e6))
    write_person(target, content, force=options.force)
    made = summarize(target, decode_person(content), len(content))
    return Personalized(target, made, time.perf_counter() - began, tuple(log.warnings))


def _check(paths: Sequence[Path], target: Path, options: PersonalizeOptions) -> None:
    """Raise before any work for what cannot become a file."""
    if not paths:
        raise UsageError("personalize: name pictures or clips of the person")
    if target.suffix.lower() != SUFFIX:
        raise UsageError(f"{target}: a person is kept in a {SUFFIX} file; name one")
    if not 1 <= options.views <= MAX_VIEWS:
        raise UsageError(f"--views {options.views}: write a number from 1 to {MAX_VIEWS}")
    if not LEAST_MB <= options.max_size <= 256:
        raise UsageError(f"--max-size {options.max_size:g}: write a number of MB from {LEAST_MB} to 256")
    for path in paths:
        require_file(path)
    check_output(target, force=options.force, inputs=paths, is_file=True)
