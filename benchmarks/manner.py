"""Measure whether --manner makes a stranger's expressions a person's own.

python -m benchmarks.manner --people t43_lpd14 t01_ai5 --drivings d03 d06 --sheet manner.png

A person file is made from clip `_a` of MEDIA/train. Strangers drive it with --manner 0 and 1, and the pictures are read
by the mesh. Each feature's histogram is compared with that of the person's clip `_b`: by the mean distance of their
quantiles (the earth mover's distance), each around its median. The correlation is that with the driving.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.material import REPOSITORY
from training.expression import FEATURES, features_of, files, read_features
from vid2vid_cli.arrays import Frame
from vid2vid_cli.evaluation.sheet import Sheet, SheetCell
from vid2vid_cli.face.mesh import FaceTracker
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.open_scene import open_scene
from vid2vid_cli.pipeline.options import EngineOptions, ReenactOptions
from vid2vid_cli.pipeline.person.options import PersonalizeOptions
from vid2vid_cli.pipeline.person.personalize import personalize

Array = NDArray[np.float64]

MANNERS = (0.0, 1.0)
SHARES = np.linspace(0.02, 0.98, 49)  # of the frames, at which histograms are compared
SHOWN = ((0, np.nanargmax), (1, np.nanargmax), (1, np.nanargmin), (5, np.nanargmax))  # features of the sheet's rows


def main() -> None:
    """Run the command."""
    given = arguments()
    media = given.media or REPOSITORY.parent / "shared" / "media"
    engine = start_engine(EngineOptions(threads=1), None)
    sheet, rows = Sheet(1 + len(MANNERS), 256), []
    print(f"{'person x driving':28}" + "".join(f"{name:>26}" for name in FEATURES))
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.people:
            person = Path(scratch) / f"{name}.person"
            personalize(media / "train" / f"{name}_a.mp4", person, PersonalizeOptions(threads=1))
            own = read_features(media / "train" / f"{name}_b.mp4", engine.analyzer, None)
            for driving in files(media / "drivings", given.drivings):
                rows.append(judge(person, driving, own, (given.seconds, engine, sheet)))
                show(f"{name} x {driving.name[:3]}", rows[-1])
    show("mean", np.nanmean(rows, axis=0))
    if given.sheet is not None:
        provenance = Provenance(command="evaluate", credentials=False, watermark=False)
        sheet.write(str(given.sheet), force=True, provenance=provenance, warn=print)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--media", type=Path, default=os.environ.get("VID2VID_MEDIA"), help="folder that holds drivings/ and train/")
    add("--people", nargs="+", default=["t43_lpd14", "t01_ai5"], help="people of train/ with two clips, without _a")
    add("--drivings", nargs="+", default=["d03", "d06"], help="how the names of the drivings begin")
    add("--seconds", type=float, default=6, help="of each driving")
    add("--sheet", type=Path, help="draw the widest mouths and the highest brows")
    return parser.parse_args()


def judge(person: Path, driving: Path, own: Array, how: tuple[float, Engine, Sheet]) -> Array:
    """Drive a person with every manner. Returns (2, M, F): distances of histograms, and correlations."""
    seconds, engine, sheet = how
    filmed = [np.array(frame) for frame in read_video(driving, ReadOptions(end_s=seconds))]
    truth = features_in(filmed, engine)
    played = []
    for manner in MANNERS:
        options = ReenactOptions(end=str(seconds), size=384, manner=manner, threads=1)
        with open_scene(person, driving, options, model=engine.loaded) as scene:
            played.append(list(scene.frames()))
    read = [features_in(frames, engine) for frames in played]
    distances = [np.abs(histogram(shown) - histogram(own)).mean(0) for shown in read]
    for feature, furthest in SHOWN:
        index = int(furthest(truth[:, feature]))
        labels = (f"{driving.name[:3]}, frame {index}", *(f"{person.stem}, --manner {manner:g}" for manner in MANNERS))
        pictures = (filmed[index], *(frames[index] for frames in played))
        sheet.add([SheetCell(picture, label) for picture, label in zip(pictures, labels, strict=True)])
    return np.array([distances, [correlation(truth, shown) for shown in read]])


def features_in(frames: Sequence[Frame], engine: Engine) -> Array:
    """Read the features of frames that follow each other: (N, F), NaN where no face is found."""
    tracker, rows = FaceTracker(engine.analyzer), []
    for frame in frames:
        face = tracker.update(frame)
        rows.append(np.full(len(FEATURES), np.nan) if face is None else features_of(face.landmarks_px[None])[0])
    return np.array(rows)


def histogram(features: Array) -> Array:
    """Return the quantiles (SHARES, F) of features (N, F) around their medians: faces differ at rest."""
    return np.asarray(np.nanquantile(features - np.nanmedian(features, axis=0), SHARES, axis=0))


def correlation(truth: Array, shown: Array) -> Array:
    """Return how well features (N, F) follow those of the driving: (F,)."""
    both = ~np.isnan(truth[:, 0]) & ~np.isnan(shown[:, 0])
    return np.array([np.corrcoef(*pair)[0, 1] for pair in zip(truth[both].T, shown[both].T, strict=True)])


def show(subject: str, row: Array) -> None:
    """Print distances and correlations with each manner."""
    (before, after), (followed, still_followed) = row
    cells = zip(before, after, followed, still_followed, strict=True)
    print(f"{subject:28}" + "".join(f"  {a:.4f}->{b:.4f} r{c:.2f}->{d:.2f}" for a, b, c, d in cells), flush=True)


if __name__ == "__main__":
    main()
