"""The results of an evaluation: rows of figures and their means, for a table, JSON or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vid2vid_cli.errors import MediaError, UsageError
from vid2vid_cli.evaluation.measures import MeanScores, Scores
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.publishing import published


@dataclass(frozen=True)
class Metric:
    """A figure. title: heading of its column, with the unit. better: which direction. digits: after the point."""

    name: str
    title: str
    better: Literal["less", "more"]
    digits: int = 2


PICTURE = (
    Metric("l1", "L1 of 255", "less", 1),
    Metric("psnr", "PSNR dB", "more", 1),
    Metric("ssim", "SSIM", "more", 3),
    Metric("ms_ssim", "MS-SSIM", "more", 3),
    Metric("akd", "AKD px", "less"),
    Metric("mouth_akd", "mouth AKD px", "less"),
    Metric("mouth_l1", "mouth L1", "less", 1),
)
IDENTITY = Metric("identity", "identity dist.", "less", 3)
LOST = Metric("no_face_pct", "no face %", "less", 0)
SHAPE = Metric("shape_pct", "shape %", "less", 1)
POSE = Metric("pose_deg", "pose err. deg", "less", 1)
EXPRESSION = (
    Metric("expression_pct", "expr. err. %", "less", 1),
    Metric("expression_r", "expr. corr.", "more"),
)
METRICS: Mapping[str, tuple[Metric, ...]] = {
    "self": (*PICTURE, IDENTITY, LOST),
    "cross": (IDENTITY, SHAPE, POSE, *EXPRESSION, LOST),
    "rotate": (POSE, IDENTITY, SHAPE, LOST),
}
# What a row's subject names, by kind of run: its first columns in tables, JSON and CSV.
KEYS: Mapping[str, tuple[str, ...]] = {"self": ("clip",), "cross": ("source", "driving"), "rotate": ("source", "angle")}


@dataclass(frozen=True)
class FigureRow:
    """One row. subject: what was judged, a name for each of the run's KEYS. judged: number of pictures per figure."""

    subject: tuple[str, ...]
    method: str
    scores: Scores
    judged: int
    faceless: int = 0


@dataclass(frozen=True)
class Evaluation:
    """The results of a run. rows: single results. means: of each method. skipped: files left out, and why.

    checkpoint, family, sha256: what was judged. landmarks, embedding: the judges; None if there is no embedding.
    settings: the options that change the figures, by name.
    """

    kind: Literal["self", "cross", "rotate"]
    checkpoint: str
    family: str
    sha256: str
    landmarks: str
    embedding: str | None
    settings: Mapping[str, Any]
    rows: tuple[FigureRow, ...]
    means: tuple[FigureRow, ...]
    skipped: Mapping[Path, str]
    warnings: tuple[str, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Return the figures of this kind of run, in order."""
        return METRICS[self.kind]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the column headings of a row's subject."""
        return KEYS[self.kind]

    def facts(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        return {
            "kind": self.kind,
            "checkpoint": self.checkpoint,
            "family": self.family,
            "sha256": self.sha256,
            **self.settings,
            "landmarks": self.landmarks,
            "embedding": self.embedding,
            "rows": [self.row_facts(row) for row in self.rows],
            "means": [self.row_facts(row) for row in self.means],
            "skipped": {str(path): why for path, why in self.skipped.items()},
            "warnings": list(self.warnings),
        }

    def row_facts(self, row: FigureRow) -> dict[str, Any]:
        """Return one row, for JSON or CSV: names, counts, then the figures."""
        # Rows of all methods have the same keys, so that they make one table: a figure that a method lacks is None.
        subject = dict(zip(self.keys, row.subject, strict=True))
        counts = {"judged": row.judged, "faceless": row.faceless}
        return {**subject, "method": row.method, **counts, **{m.name: row.scores.get(m.name) for m in self.metrics}}


def mean_rows(rows: Sequence[FigureRow], subject: tuple[str, ...]) -> tuple[FigureRow, ...]:
    """Return the mean of each method's rows, each row with the same weight. `{}` in a subject becomes their number."""
    means = []
    for method in dict.fromkeys(row.method for row in rows):
        same_method = [row for row in rows if row.method == method]
        # Clips count equally, whatever their length, so that a long one does not decide the mean.
        tally = MeanScores()
        for row in same_method:
            tally.add(row.scores)
        named = tuple(part.format(len(same_method)) for part in subject)
        judged, faceless = (sum(counts) for counts in zip(*((r.judged, r.faceless) for r in same_method), strict=True))
        means.append(FigureRow(named, method, tally.means(), judged, faceless))
    return tuple(means)


def check_csv(path: str | None, *, force: bool, inputs: Sequence[Path]) -> None:
    """Raise unless a table can be written to `path`."""
    if path is None:
        return
    if Path(path).suffix.lower() != ".csv":
        raise UsageError(f"--csv {path}: give the name of a .csv file")
    check_output(path, force=force, inputs=inputs, is_file=True)


def write_csv(path: str, evaluation: Evaluation, *, force: bool) -> None:
    """Write rows and means as CSV. The file appears only when it is complete."""
    text = io.StringIO()
    lines = [evaluation.row_facts(row) for row in (*evaluation.rows, *evaluation.means)]
    # The same bytes on every system; None becomes an empty field.
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    with published(Path(path), None, force=force) as whole:
        try:
            whole.write_text(text.getvalue(), encoding="utf-8")
        except OSError as error:
            raise MediaError(f"{path}: cannot be written: {error.strerror}") from error
