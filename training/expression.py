"""Say how much of a driving's expression arrives in a portrait, feature by feature and stage by stage.

Every feature is a distance on the face over the distance of the outer eye corners. Its gain is the slope of what a
stage shows on what is read in the driving: 1 when all of a movement arrives. The stages, in the order of the pipeline:

    motion    the driving's expressions on the mean face, as the model reads them
    smoothed  the same after --smooth
    driven    the mesh of the source under them
    picture   the face as read in the video that is written

Reading is done by the project's own mesh, which also drives; a judge that has no part in it may read the videos, which
stay in the folder that is given with --out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.base import ReenactmentModel, SourceAppearance
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.motion import Motion, PoseOverride
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.options import EngineOptions, ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

Array = NDArray[np.float64]

SOURCES = ("s01", "s08", "s15", "s16", "s24", "s26", "s27")
DRIVINGS = ("d01", "d03", "d06", "d07", "d09", "d10")
STAGES = ("motion", "smoothed", "driven", "picture")
EYE_CORNERS = (33, 263)
# Name: pairs of mesh points whose mean distance is the feature, and the movement below which a clip says nothing of it.
FEATURES = {
    "mouth open": (((13, 14), (81, 178), (311, 402)), 0.06),
    "mouth width": (((61, 291),), 0.06),
    "lips height": (((0, 17),), 0.06),
    "left eye": (((159, 145), (158, 153)), 0.03),
    "right eye": (((386, 374), (385, 380)), 0.03),
    "brows": (((105, 159), (334, 386)), 0.03),
}
EYES = ("left eye", "right eye")
SHUT = 0.055  # an eye that is open less is shut; in a picture, this much and a fifth
LEAST_SHUT = 4  # frames with a shut eye, from which on their share says something


@dataclass
class Witness:
    """A model that keeps what its stages gave, and else does what the model does."""

    model: CompactModel
    motions: list[Motion] = field(default_factory=list)
    smoothed: list[Motion] = field(default_factory=list)
    driven: list[Tensor] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def motion(self, images: Tensor | None, landmarks: Tensor, size: tuple[int, int]) -> Motion:
        """Read a motion and keep it."""
        self.motions.append(self.model.motion(images, landmarks, size))
        return self.motions[-1]

    def drive(
        self, source: SourceAppearance, driving: Motion, reference: Motion | None, pose: PoseOverride | None
    ) -> CompactState:
        """Drive a source, and keep the motion and the mesh."""
        state = self.model.drive(source, driving, reference, pose)
        self.smoothed.append(driving)
        self.driven.append(state.keypoints)
        return state

    def stages(self) -> dict[str, Array]:
        """Return what a clip of N frames went through: (N, F) for each stage but the picture."""
        mean = self.model.topology.canonical
        meshes = {
            # The reference was searched before, with motions of its own.
            "motion": [mean + motion.expression[:, :POINTS] for motion in self.motions[-len(self.driven) :]],
            "smoothed": [mean + motion.expression[:, :POINTS] for motion in self.smoothed],
            "driven": self.driven,
        }
        return {stage: features_of(torch.cat(points).double().numpy()) for stage, points in meshes.items()}


def main() -> None:
    """Drive every source by every driving, and print the gains of each pair and stage, and their means."""
    given = arguments()
    engine = start_engine(EngineOptions(checkpoint=given.checkpoint, threads=given.threads), None)
    options = ReenactOptions(end=str(given.seconds), size=512, force=True, audio="none", body=given.body)
    print(f"{'gain/correlation':22}{'stage':10}" + "".join(f"{name:>14}" for name in FEATURES) + f"{'shut':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        pairs = []
        for driving in files(given.media / "drivings", given.drivings):
            truth = read_features(driving, engine.analyzer, given.seconds)
            for source in files(given.media / "sources", given.sources):
                stages = drive(source, driving, out, options, engine)
                pairs.append({stage: compare(truth, shown) for stage, shown in stages.items()})
                show(f"{source.name[:3]} x {driving.name[:3]}", pairs[-1])
    means = {stage: mean([pair[stage] for pair in pairs]) for stage in STAGES}
    show("mean", means)
    if given.json is not None:
        given.json.write_text(json.dumps({stage: means[stage] for stage in STAGES}, indent=1), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, help="a folder that holds the folders sources and drivings")
    parser.add_argument("--sources", nargs="+", default=SOURCES, help="how the names of the sources begin")
    parser.add_argument("--drivings", nargs="+", default=DRIVINGS, help="how the names of the drivings begin")
    parser.add_argument("-c", "--checkpoint", default="compact", help="a checkpoint of the family compact")
    parser.add_argument("--seconds", type=float, default=4, help="how much of each driving is used")
    parser.add_argument("--head-only", dest="body", action="store_false", help="as in reenact")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the videos in this folder")
    parser.add_argument("--json", type=Path, help="write the mean gains and correlations to this file")
    return parser.parse_args()


def files(folder: Path, beginnings: Sequence[str]) -> list[Path]:
    """Return the files of a folder whose names begin as asked, in the order asked."""
    return [path for beginning in beginnings for path in sorted(folder.glob(f"{beginning}*"))]


def drive(source: Path, driving: Path, out: Path, options: ReenactOptions, engine: Engine) -> dict[str, Array]:
    """Drive a source; return the features (N, F) of every stage."""
    witness = Witness(cast(CompactModel, engine.loaded.model))
    watched = replace(engine.loaded, model=cast(ReenactmentModel, witness))
    target = out / f"{source.name[:3]}_{driving.name[:3]}.mp4"
    reenact(source, driving, target, options, model=watched)
    return {**witness.stages(), "picture": read_features(target, engine.analyzer, None)}


def read_features(clip: Path, analyzer: FaceAnalyzer, seconds: float | None) -> Array:
    """Read the features of a clip: (N, F), NaN where no face is found."""
    tracker, rows = FaceTracker(analyzer), []
    for frame in read_video(clip, ReadOptions(end_s=seconds)):
        face = tracker.update(frame)
        rows.append(np.full(len(FEATURES), np.nan) if face is None else features_of(face.landmarks_px[None])[0])
    return np.array(rows)


def features_of(points: NDArray[np.floating]) -> Array:
    """Measure faces (N, 468 or more, 3) in any unit: (N, F)."""

    def distance(one: int, other: int) -> Array:
        return np.asarray(np.linalg.norm(points[:, one].astype(float) - points[:, other], axis=1))

    unit = distance(*EYE_CORNERS)
    columns = [np.mean([distance(*pair) for pair in pairs], axis=0) / unit for pairs, _ in FEATURES.values()]
    return np.stack(columns, 1)


def compare(truth: Array, shown: Array) -> dict[str, tuple[float, float]]:
    """Compare a stage (N, F) with the driving: gain and correlation by feature; shut: the share of shut eyes, twice.

    NaN for a feature that does not move in the driving.
    """
    count = min(len(truth), len(shown))
    both = ~np.isnan(truth[:count, 0]) & ~np.isnan(shown[:count, 0])
    truth, shown = truth[:count][both], shown[:count][both]
    scores = {}
    for column, (name, (_, floor)) in enumerate(FEATURES.items()):
        x, y = truth[:, column], shown[:, column]
        moves = len(x) > LEAST_SHUT and np.percentile(x, 97) - np.percentile(x, 3) >= floor
        if moves:
            covariance = np.cov(x, y)
            scores[name] = covariance[0, 1] / covariance[0, 0], float(np.corrcoef(x, y)[0, 1])
        else:
            scores[name] = np.nan, np.nan
    eyes = [list(FEATURES).index(name) for name in EYES]
    is_shut = truth[:, eyes] < SHUT
    share = float(np.mean(shown[:, eyes][is_shut] < 1.2 * SHUT)) if is_shut.sum() >= LEAST_SHUT else np.nan
    return {**scores, "shut": (share, share)}


def mean(scores: Sequence[dict[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Average scores, leaving out the features that did not move."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature may move in no clip
        return {name: tuple(np.nanmean([score[name] for score in scores], axis=0)) for name in scores[0]}


def show(subject: str, stages: dict[str, dict[str, tuple[float, float]]]) -> None:
    """Print a row for each stage."""
    for stage in STAGES:
        scores = stages[stage]
        cells = "".join(f"{gain:8.2f}/{corr:5.2f}" for gain, corr in (scores[name] for name in FEATURES))
        print(f"{subject:22}{stage:10}{cells}{scores['shut'][0]:8.2f}", flush=True)


if __name__ == "__main__":
    main()
