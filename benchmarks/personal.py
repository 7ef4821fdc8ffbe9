"""Measure what more pictures of a person bring: the person is made from one clip and judged on another.

make personal                          measure everybody, write benchmarks/personal.json and docs/images/personal.png
python -m benchmarks.personal --people 3 --seconds 2 --every 12   two minutes; writes nothing
python -m benchmarks.personal --sheet people.png                  also draws five people by number of pictures
python -m benchmarks.personal --docs                              put the table of personal.json into docs/personal.md

Each person of MEDIA/train with two clips: pictures are chosen from clip `_a`, which both clips' camera took. The first
one is what moves, and clip `_b` drives it, head only, so that the frames of `_b` show what it should look like.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from benchmarks.material import REPOSITORY
from benchmarks.personal_people import (
    Pair,
    find_people,
    find_turning,
    frames_of,
    portrait_of,
    views_of,
    write_blocks,
)
from benchmarks.personal_plot import draw_curves
from benchmarks.personal_table import CLIP, format_tables
from benchmarks.personal_turns import SIDE_DEG, Turning, turned_frames, turned_views
from benchmarks.report import Report
from vid2vid_cli.evaluation.dlib_faces import DlibEmbedding, DlibFaces
from vid2vid_cli.evaluation.judges import Judges
from vid2vid_cli.evaluation.material import TrackedFrame, judged_square
from vid2vid_cli.evaluation.measures import EVERYTHING, MeanScores, mean_error, window_around
from vid2vid_cli.evaluation.performers import Performer
from vid2vid_cli.evaluation.run import EvaluationSetup
from vid2vid_cli.evaluation.self_reenactment import TrueFrame
from vid2vid_cli.evaluation.sheet import Sheet, SheetCell
from vid2vid_cli.face.crop import FaceCrop, crop_frame
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.person_file import StoredView
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import EngineOptions
from vid2vid_cli.pipeline.person.source_views import SourcePlace, view_of

REPORT = Report(Path(__file__).with_name("personal.json"), "personal.md", "personal", format_tables)
PLOT = REPOSITORY / "docs" / "images" / "personal.png"
COUNTS = (1, 2, 4, 8)
SHOWN_DEG = 10  # pictures that are turned so far show something of that side
KEPT = ("l1", "face_l1", "psnr", "ssim", "mouth_l1", "akd", "mouth_akd", "identity", "no_face_pct")
Kind = TypeVar("Kind")
TIMED_FRAMES, TIMED_PEOPLE = 48, 3
PEOPLE_ON_SHEET = 5


@dataclass
class Shown:
    """A person under the motion of another clip, by number of pictures: performers, scores, and frames for a sheet."""

    name: str
    performers: Mapping[str, Performer]
    square: FaceCrop
    tallies: dict[str, MeanScores] = field(default_factory=dict)
    identities: list[np.ndarray] = field(default_factory=list)
    cells: dict[str, tuple[float, list[SheetCell]]] = field(default_factory=dict)

    def judge(self, truth: TrueFrame, frame: TrackedFrame) -> None:
        """Show one frame with every number of pictures, and compare it with the true one."""
        face = window_around(self.square.to_crop(frame.face.landmarks_px[:, :2]), 0, self.square.size)
        cells = [SheetCell(truth.picture, f"{self.name}, filmed")]
        for count, performer in self.performers.items():
            picture = crop_frame(performer.follow(frame.frame, frame.face), self.square)
            scores = truth.scores(picture)
            scores["face_l1"] = mean_error(truth.picture, picture, face or EVERYTHING)
            self.tallies.setdefault(count, MeanScores()).add({name: scores[name] for name in KEPT})
            cells.append(SheetCell(picture, f"{count}, L1 {scores['l1']:.1f}"))
        if truth.reading.identity is not None:
            self.identities.append(truth.reading.identity)
        lips = frame.face.landmarks_px[[13, 14, 33, 263], :2]
        opened = float(np.linalg.norm(lips[0] - lips[1]) / np.linalg.norm(lips[2] - lips[3]))
        for what, value in (("mouth", opened), ("turn", abs(float(yaw_offset(frame.face.landmarks_px))))):
            if value > self.cells.get(what, (-1.0, []))[0]:
                self.cells[what] = value, cells


def yaw_offset(points: np.ndarray) -> float:
    """Return how far the nose lies beside the middle of the eyes, in eye distances: it grows with yaw."""
    right, left, nose = points[33, :2], points[263, :2], points[1, :2]
    return float((nose - (right + left) / 2) @ (left - right) / ((left - right) @ (left - right)))


def measure(pair: Pair, setup: EvaluationSetup, given: argparse.Namespace, sheet: Sheet | None) -> dict[str, Any]:
    """Measure one person by number of pictures."""
    chosen = by_number(views_of([pair.seen], given.seconds, setup.engine.analyzer))
    shown = start(pair, chosen, setup, shows=not given.own_mouth)
    for frame in frames_of(pair.judged, given.seconds, given.every, setup.engine.analyzer):
        shown.judge(TrueFrame.of(frame, shown.square, setup.judges), frame)
    facts = {
        "person": pair.name,
        "pictures": len(chosen[CLIP]),
        "scores": {count: tally.means() for count, tally in shown.tallies.items()},
        "sides": [measure_side(sign, chosen, shown, setup) for sign in (-1, 1)],
    }
    if sheet is not None:
        for _, cells in shown.cells.values():
            sheet.add(cells)
    return facts


def by_number(views: Sequence[StoredView]) -> dict[str, Sequence[StoredView]]:
    """Return views by number of pictures: each contains those of the numbers before."""
    return {str(count): views[:count] for count in COUNTS} | {CLIP: views}


def start(pair: Pair, chosen: Mapping[str, Sequence[StoredView]], setup: EvaluationSetup, *, shows: bool) -> Shown:
    """Prepare the person with every number of pictures."""
    first = portrait_of(chosen[CLIP][0], pair.seen)
    spec, device = setup.engine.loaded.model.source_crop, setup.engine.device
    place = SourcePlace.of(chosen[CLIP][0], first.crop(setup.engine))
    performers = {
        count: Performer(
            setup.engine,
            first,
            follows=setup.follows,
            views=[view_of(view, spec, device, place) for view in views[1:]],
            shows=shows,
        )
        for count, views in chosen.items()
    }
    return Shown(pair.name, performers, judged_square(first.face, first.frame.shape, setup.size_px))


def measure_side(
    sign: int, chosen: Mapping[str, Sequence[StoredView]], shown: Shown, setup: EvaluationSetup
) -> dict[str, dict[str, float | bool | None]]:
    """Turn the head to one side; say how far its identity is from the true one, and whether the pictures show it."""
    pose = PoseOverride(yaw=torch.tensor([math.radians(sign * SIDE_DEG)]), absolute=True)
    true = np.mean(shown.identities, axis=0) if shown.identities else None
    sides: dict[str, dict[str, float | bool | None]] = {}
    for count, performer in shown.performers.items():
        reading = setup.judges.read(crop_frame(performer.turn(pose), shown.square)).identity
        distance = None if reading is None or true is None else float(np.linalg.norm(reading - true))
        sides[count] = {
            "identity": distance,
            "is_shown": any(sign * math.degrees(view.facts.yaw) >= SHOWN_DEG for view in chosen[count]),
        }
    return sides


def measure_turning(clip: Path, setup: EvaluationSetup, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the sides to which a clip turns in frames that are held back and in pictures of the others."""
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(clip.stem, Path(folder) / clip.name, clip)
        write_blocks(clip, pair.seen)
        views = views_of([pair.seen], given.seconds, setup.engine.analyzer)
        shown = start(pair, by_number(views), setup, shows=not given.own_mouth)
    turning = Turning(shown.performers, shown.square, setup.judges)
    return [
        {"clip": clip.stem, "views": turned_views(views, sign), **turning.measure(sign, frames)}
        for sign, frames in turned_frames(clip, 2 * given.seconds, setup.engine.analyzer).items()
        if frames and turned_views(views, sign)
    ]


def measure_speed(people: list[Pair], setup: EvaluationSetup, given: argparse.Namespace) -> dict[str, float]:
    """Return frames per second of processor time with one picture and with many, frame by frame in turn."""
    spent, pictures, frame_count = {"1": 0.0, CLIP: 0.0}, [], 0
    for pair in people[:TIMED_PEOPLE]:  # of the first ones, both clips together have thirty views or nearly
        views = views_of([pair.seen, pair.judged], given.seconds, setup.engine.analyzer)
        shown = start(pair, {"1": views[:1], CLIP: views}, setup, shows=True)
        # All frames, as of a film: of those that follow each other, what changes slowly is not chosen anew.
        frames = list(frames_of(pair.judged, given.seconds, 1, setup.engine.analyzer))
        pictures.append(len(views))
        frame_count += TIMED_FRAMES
        for index in range(TIMED_FRAMES + 1):
            frame = frames[index % len(frames)]
            # Whoever comes second finds warm caches, so the order changes.
            for count, performer in list(shown.performers.items())[:: 1 if index % 2 else -1]:
                began = time.process_time()
                performer.follow(frame.frame, frame.face)
                spent[count] += time.process_time() - began if index else 0.0  # the first one compiles
    return {"pictures": min(pictures), **{count: frame_count / seconds for count, seconds in spent.items()}}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = REPORT.parser(__doc__)
    add = parser.add_argument
    add("--media", type=Path, default=os.environ.get("VID2VID_MEDIA"), help="folder that holds MANIFEST.csv and train/")
    add("--people", type=int, help="only so many, evenly spread; nothing is written")
    add("--seconds", type=float, default=8, help="of each clip")
    add("--every", type=int, default=12, help="judge every n-th frame")
    add("--own-mouth", action="store_true", help="show nothing of the driving's mouth, as in calls")
    add("--sheet", type=Path, help="draw five people by number of pictures")
    add("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def some(people: list[Kind], count: int | None) -> list[Kind]:
    """Return so many of some people, evenly spread."""
    if count is None or count >= len(people):
        return people
    return [people[index * len(people) // count] for index in range(count)]


def main() -> None:
    """Run the command."""
    given = arguments()
    if given.docs:
        REPORT.update_docs()
        return
    engine, faces = start_engine(EngineOptions(threads=1), None), DlibFaces()
    setup = EvaluationSetup(engine, Judges(faces, DlibEmbedding(faces)), 256, follows=False)
    media = given.media or REPOSITORY.parent / "shared" / "media"
    people = some(find_people(media), given.people)
    on_sheet = some(people, PEOPLE_ON_SHEET) if given.sheet else []
    sheet, rows = Sheet(len(COUNTS) + 2, 256), []
    for pair in people:
        rows.append(measure(pair, setup, given, sheet if pair in on_sheet else None))
        one, whole = (rows[-1]["scores"][count] for count in ("1", CLIP))
        print(pair.name, *(f"{name} {one[name]:.3f} -> {whole[name]:.3f}" for name in KEPT[:-1]), flush=True)
    turns = [side for clip in some(find_turning(media), given.people) for side in measure_turning(clip, setup, given)]
    speed = measure_speed(people, setup, given)
    settings = {"every": given.every, "seconds": given.seconds, "own_mouth": given.own_mouth, "judge": faces.name}
    results = {**settings, "people": rows, "turns": turns, "speed": speed}
    print(format_tables(results))
    if given.sheet:
        provenance = Provenance(command="evaluate", credentials=False, watermark=False)
        sheet.write(str(given.sheet), force=True, provenance=provenance, warn=print)
    if given.json is not None:
        Report(given.json, REPORT.page, REPORT.mark, REPORT.format).keep(results)
    elif given.people is None:
        REPORT.keep(results)
        draw_curves(results, PLOT)


if __name__ == "__main__":
    main()
