"""Say how far moved portraits look like somebody else, and how far real people do so who move as much.

    python -m training.identity MEDIA RENDERED     RENDERED: what training.expression left in its --out

Every n-th frame is cut out around the first frame's face, 256 px wide, and dlib's embedding compared with that of the
source; see training.judge for what it needs. No picture of a person who talks is as near to a resting one as the
resting one itself. So the driving's own frames are compared in the same way with the one that is nearest to rest.
Frames are told apart by what the driving does: lips apart, lids shut, the head turned, or none of these.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.expression import DRIVINGS, EYES, FEATURES, SOURCES, features_of, files
from vid2vid_cli.arrays import Frame
from vid2vid_cli.evaluation.dlib_faces import DlibFaces
from vid2vid_cli.evaluation.heads import angle_between_deg
from vid2vid_cli.evaluation.material import judged_square
from vid2vid_cli.face.crop import crop_frame
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, select_face
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.motion import join_motions
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import EngineOptions
from vid2vid_cli.pipeline.output import fit_size

CLIP_PX = 512  # longer side of what training.expression writes
SIDE_PX = 256
LIPS_APART = 0.06  # eye distances, more than at rest
LIDS_SHUT = 0.6  # of the opening at rest, less than that
TURNED_DEG = 8.0
KINDS = ("calm", "lips apart", "lids shut", "turned", "all")


@dataclass(frozen=True)
class Judged:
    """A frame: how far its embedding is from the source's, and how far the driving's face is from its rest.

    lips: eye distances further apart. lids: how far open, over that at rest. turned: degrees.
    """

    subject: str
    frame: int
    distance: float
    lips: float
    lids: float
    turned: float

    def kinds(self) -> list[str]:
        """Return what of KINDS it is."""
        found = {
            "lips apart": self.lips > LIPS_APART,
            "lids shut": self.lids < LIDS_SHUT,
            "turned": self.turned > TURNED_DEG,
        }
        return [*([name for name, is_so in found.items() if is_so] or ["calm"]), "all"]


@dataclass(frozen=True)
class Driving:
    """What a clip of N frames does: features (N, F), see training.expression; rotations (N, 3, 3); its calmest one."""

    features: NDArray[np.float64]
    rotations: Tensor
    rest: int

    def judged(self, subject: str, frame: int, distance: float) -> Judged:
        """Describe a frame."""
        names = list(FEATURES)
        now, rest = self.features[frame], self.features[self.rest]
        eyes = [names.index(name) for name in EYES]
        return Judged(
            subject,
            frame,
            distance,
            float((now - rest)[names.index("mouth open")]),
            float(now[eyes].mean() / rest[eyes].mean()),
            angle_between_deg(self.rotations[frame], self.rotations[self.rest]),
        )


def main() -> None:
    """Print a row for each driving's own frames and each pair, and the means; write all frames to a file if asked."""
    given = arguments()
    engine = start_engine(EngineOptions(threads=given.threads), None)
    faces, model = DlibFaces(), cast(CompactModel, engine.loaded.model)
    print(f"{'distance':22}" + "".join(f"{kind:>12}" for kind in KINDS))
    real: list[Judged] = []
    moved: list[Judged] = []
    portraits = files(given.media / "sources", given.sources)
    sources = {portrait: embed_portrait(portrait, engine.analyzer, faces) for portrait in portraits}
    for path in files(given.media / "drivings", given.drivings):
        driving = read_driving(path, engine.analyzer, model, given.seconds)
        own = embed_clip(path, engine.analyzer, faces, given, also=driving.rest)
        rows = distances(own, own[driving.rest], driving, path.name[:3], given.every)
        show(f"{path.name[:3]} itself", rows)
        real += rows
        for source, embedding in sources.items():
            subject = f"{source.name[:3]}_{path.name[:3]}"
            clip = embed_clip(given.rendered / f"{subject}.mp4", engine.analyzer, faces, given)
            rows = distances(clip, embedding, driving, subject, given.every)
            show(subject, rows)
            moved += rows
    show("people themselves", real)
    show("portraits", moved)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(row) for row in (*real, *moved)]), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, help="a folder that holds the folders sources and drivings")
    parser.add_argument("rendered", type=Path, help="the folder of clips that training.expression wrote with --out")
    parser.add_argument("--sources", nargs="*", default=SOURCES, help="how the names of the sources begin")
    parser.add_argument("--drivings", nargs="+", default=DRIVINGS, help="how the names of the drivings begin")
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4, help="how much of each driving is used")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write what was found of every frame to this file")
    return parser.parse_args()


def embed_portrait(path: Path, analyzer: FaceAnalyzer, faces: DlibFaces) -> NDArray[np.float64]:
    """Return the embedding of a source as it is, in as many pixels as the clips that show it moved."""
    picture = read_image(path)
    picture = resize_frame(picture, fit_size(picture.shape, CLIP_PX))
    face = select_face(analyzer.faces(picture, thorough=True), "largest", picture)
    square = None if face is None else judged_square(face, picture.shape, SIDE_PX)
    embedding = None if square is None else faces.embed(crop_frame(picture, square))
    if embedding is None:
        raise SystemExit(f"{path}: dlib finds no face; leave it out with --sources")
    return embedding


def read_driving(path: Path, analyzer: FaceAnalyzer, model: CompactModel, seconds: float) -> Driving:
    """Read what a clip does; frames without a face count as the one before."""
    motions, features = [], []
    for frame, face in tracked(path, analyzer, seconds):
        if face is not None:
            features.append(features_of(face.landmarks_px[None])[0])
            motions.append(model.motion(None, torch.from_numpy(face.landmarks_px).float()[None], frame.shape[:2]))
        elif motions:
            features.append(features[-1])
            motions.append(motions[-1])
    motion = join_motions(motions)
    return Driving(np.array(features), motion.rotation, int(model.unrest(motion).argmin()))


def embed_clip(
    path: Path, analyzer: FaceAnalyzer, faces: DlibFaces, given: argparse.Namespace, also: int = 0
) -> dict[int, NDArray[np.float64]]:
    """Return the embeddings of every n-th frame of a clip, and of one more, in which dlib finds a face."""
    square, found = None, {}
    for index, (frame, face) in enumerate(tracked(path, analyzer, given.seconds)):
        if square is None and face is not None:
            square = judged_square(face, frame.shape, SIDE_PX)
        if square is not None and (index % given.every == 0 or index == also):
            embedding = faces.embed(crop_frame(frame, square))
            if embedding is not None:
                found[index] = embedding
    return found


def tracked(path: Path, analyzer: FaceAnalyzer, seconds: float) -> Iterator[tuple[Frame, Face | None]]:
    """Yield the frames of a clip and the face in each."""
    tracker = FaceTracker(analyzer)
    for frame in read_video(path, ReadOptions(end_s=seconds)):
        yield frame, tracker.update(frame)


def distances(
    embeddings: dict[int, NDArray[np.float64]], own: NDArray[np.float64], driving: Driving, subject: str, every: int
) -> list[Judged]:
    """Compare every n-th frame with a source's embedding."""
    return [
        driving.judged(subject, index, float(np.linalg.norm(embedding - own)))
        for index, embedding in embeddings.items()
        if index % every == 0 and index < len(driving.features)
    ]


def show(subject: str, rows: list[Judged]) -> None:
    """Print the mean distance of each kind of frame; the mean of a pair's or a person's mean where there are more."""
    cells = []
    for kind in KINDS:
        subjects: dict[str, list[float]] = {}
        for row in rows:
            if kind in row.kinds():
                subjects.setdefault(row.subject, []).append(row.distance)
        means = [np.mean(values) for values in subjects.values()]
        cells.append(f"{np.mean(means):.3f}" if means else "-")
    print(f"{subject:22}" + "".join(f"{cell:>12}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
