"""Judge a checkpoint by dlib's eyes: self-reenactment of a folder of clips, against a copy and the bare warp.

An independent judge for development: its 68 keypoints and its embedding are no part of what drives. It needs
`pip install dlib-bin face_recognition_models`, which the package itself does not.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.evaluation.judges import DlibEmbedding, DlibFaces, Judges
from vid2vid_cli.pipeline.evaluation.measures import Scores, Tally
from vid2vid_cli.pipeline.evaluation.performers import without_networks
from vid2vid_cli.pipeline.evaluation.reenact_self import Bench, ClipScores, Protocol, judge_clip
from vid2vid_cli.pipeline.options import EngineOptions

COLUMNS = ("l1", "psnr", "ssim", "ms_ssim", "akd", "mouth_akd", "mouth_l1", "identity", "no_face")


def main() -> None:
    """Print a table of all clips and their mean, and write the figures where asked."""
    given = arguments()
    torch.set_num_threads(given.threads)
    began = time.perf_counter()
    bench = make_bench(given)
    clips = sorted(given.clips.glob("*.mp4")) if given.clips.is_dir() else [given.clips]
    print(row("clip", "method", dict.fromkeys(COLUMNS), COLUMNS))
    tallies = {name: Tally() for name in ("copy", *bench.models)}
    judged: list[ClipScores] = []
    for clip in clips:
        judged.append(judge_clip(clip, bench))
        for method, scores in judged[-1].methods.items():
            tallies[method].add(scores)
            print(row(clip.stem[:20], method, scores), flush=True)
    means = {method: tally.means() for method, tally in tallies.items()}
    for method, scores in means.items():
        print(row(f"mean of {len(clips)}", method, scores))
    print(f"{time.perf_counter() - began:.0f} s")
    if given.json is not None:
        facts = {"clips": {j.clip.name: j.methods for j in judged}, "mean": means}
        given.json.write_text(json.dumps(facts, indent=1))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="a clip, or a folder of *.mp4")
    parser.add_argument("-c", "--checkpoint", default="compact", help="a checkpoint file; default: the embedded one")
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only-model", action="store_true", help="leave the warp out, whose figures are known")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def make_bench(given: argparse.Namespace) -> Bench:
    """Load the checkpoint, the same without its networks, and dlib."""
    engine = start_engine(EngineOptions(checkpoint=given.checkpoint, threads=given.threads), None)
    warp = without_networks(engine.loaded)
    models = {"model": engine.loaded.model}
    if warp is not None and not given.only_model:
        models = {"warp": warp} if warp is engine.loaded.model else {"warp": warp, **models}
    faces = DlibFaces()
    return Bench(engine, models, Judges(faces, DlibEmbedding(faces)), Protocol(given.every, given.frames, given.size))


def row(clip: str, method: str, scores: Scores, titles: tuple[str, ...] = ()) -> str:
    """Lay out one line of the table."""
    cells = titles or ["-" if scores.get(c) is None else f"{scores[c]:.3f}" for c in COLUMNS]
    return f"{clip:22}{method:7}" + "".join(f"{cell:>10}" for cell in cells)


if __name__ == "__main__":
    main()
