"""Put a bank of mouths into a checkpoint of compact: rows of teeth, cut out of portraits.

    python -m training.mouth_bank STILLS -o weights/compact.safetensors

STILLS is a folder of portraits (`*.jpg`, one face each) whose pictures may be published. Of those who face the camera
and plainly show their teeth, some are taken whose skins differ most, so that most sources find one in like light.
`vid2vid_cli.models.compact.mouth_bank` says what each tensor holds. Tensors of other prefixes in the output file are
kept, and SHA256SUMS beside it is renewed. --sheet writes a picture of the bank, to be looked at.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.checkpoint_file import read_existing, renew_sum, update_checkpoint
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.geometry.keypoints import fit_similarity
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.mouth_bank import BANK_PREFIX, HEIGHT, MIDDLE_PX, UNIT_PX, WIDTH
from vid2vid_cli.models.compact.mouth_halves import (
    BEHIND_LIPS,
    COLUMNS,
    LOWER_LIP,
    UPPER_LIP,
    Halves,
    Projection,
    Values,
    read_halves,
    sample,
)
from vid2vid_cli.models.compact.mouth_tone import edge_blur

UPPERS, LOWERS = 28, 4
UPPER_YAW = np.radians(9)
MAX_YAW = np.radians(14)
MAX_BLUR_PX = 1.6
SHARPEN = 0.4  # of what a blur takes away: portraits are smaller than the pictures that they lend their teeth to
TRIMMED, LOW_TRIMMED = 0.008, 0.016  # eye distances of the rows' ends: they may show a lip, or the dark between
RELIEF = 0.053  # of brightness from pixel to pixel: below it, teeth run into one another
MIDDLE = slice(COLUMNS // 4, -COLUMNS // 4)
# Looked at and left out: the line between the rows runs through teeth, or teeth are missing or stained.
REJECTED_UPPERS = tuple(f"p{k:03d}.jpg" for k in (25, 108, 216, 220, 253, 257, 295, 444, 446, 686, 697, 710))
REJECTED_LOWERS = ("p264.jpg",)


@dataclass(frozen=True)
class Portrait:
    """A portrait's mouth. yaw: radians. blur_px: of its picture. relief: how clearly its upper teeth are told apart."""

    name: str
    halves: Halves
    yaw: float
    blur_px: float
    relief: float


def read_portrait(path: Path, analyzer: FaceAnalyzer, topology: FaceTopology) -> Portrait | None:
    """Read the mouth of a portrait; None without a face, or where its lips are shut."""
    frame = read_image(path)
    faces = analyzer.faces(frame)
    if not faces:
        return None
    points = max(faces, key=lambda face: face.size_px).landmarks_px[:POINTS]
    keypoints = torch.from_numpy(points)[None].float()
    head = fit_similarity(topology.canonical[None], keypoints, topology.rigid_weights)
    arch_z = float(head.undo(keypoints)[0, [UPPER_LIP, LOWER_LIP], 2].mean()) + BEHIND_LIPS
    halves = read_halves(frame, points, topology.inner_lips, Projection.of_head(head, arch_z, 1.0, (0.0, 0.0)))
    if halves is None:
        return None
    yaw = float(pose_from_rotation(head.rotation)[0])
    return Portrait(path.name, halves, yaw, edge_blur(frame, points), find_relief(halves))


def find_relief(mouth: Halves) -> float:
    """Return how much brightness changes from left to right over the middle teeth, a pixel, over the brightness."""
    x = np.arange(-0.17, 0.17, 1 / UNIT_PX)
    top, seam = (np.interp(x, mouth.x, line) for line in (mouth.lines[0] + 0.02, mouth.lines[1] - 0.02))
    y = top + np.linspace(0, 1, 9)[:, None] * np.maximum(seam - top, 0)
    light = sample(mouth.picture, *mouth.projection.to_px(np.broadcast_to(x, y.shape), y)).mean(-1)
    return float(np.abs(np.diff(light, axis=1)).mean() / max(float(light.mean()), 1.0))


def upper_quality(one: Portrait) -> float:
    """Return how well a portrait shows its upper teeth; 0 where it is not to be used."""
    mouth = one.halves
    height = float((mouth.lines[1] - mouth.lines[0])[MIDDLE].mean())
    # A line between the rows that jumps has found something else.
    bend = float(np.abs(np.diff(mouth.lines[1], 2)).max())
    lopsided = float(np.abs(mouth.lines[1] - mouth.lines[1, ::-1])[MIDDLE].max())
    if (
        one.name in REJECTED_UPPERS
        or bend > 0.012
        or lopsided > 0.03
        or height < 0.07
        or mouth.teeth[0] < 0.8
        or abs(one.yaw) > UPPER_YAW
        or one.relief < RELIEF
    ):
        return 0.0
    return height * float(mouth.teeth[0])


def lower_quality(one: Portrait) -> float:
    """Return how well a portrait shows its lower teeth; 0 where it is not to be used."""
    mouth = one.halves
    height = float((mouth.lines[3] - mouth.lines[2])[MIDDLE].mean())
    # Without upper teeth above a gap, the row is more likely an upper one itself.
    gap = float((mouth.lines[2] - mouth.lines[1])[MIDDLE].mean())
    if one.name in REJECTED_LOWERS or height < 0.03 or gap < 0.008 or mouth.teeth.min() < 0.3:
        return 0.0
    return height * float(mouth.teeth[1])


def choose(portraits: Sequence[Portrait], quality: Callable[[Portrait], float], count: int) -> list[Portrait]:
    """Choose portraits of good quality whose skins differ most: each next one is farthest from those before."""
    good = sorted((one for one in portraits if quality(one) > 0), key=lambda one: -quality(one))[: 3 * count]
    chosen, rest = good[:1], good[1:]
    while rest and len(chosen) < count:
        skins = np.log(np.stack([one.halves.skin for one in chosen]) + 0.02)
        far = [float(np.abs(np.log(one.halves.skin + 0.02) - skins).sum(1).min()) for one in rest]
        chosen.append(rest.pop(int(np.argmax(far))))
    return chosen


def flatten(one: Portrait) -> tuple[Values, Values, Values]:
    """Return a mouth's picture on the flat arch (HEIGHT, WIDTH, 3), its lines (4, COLUMNS) and its sides (2,)."""
    mouth, edge = one.halves, one.halves.edge()
    x = (np.arange(WIDTH) - MIDDLE_PX[0]) / UNIT_PX
    y = (np.arange(HEIGHT) - MIDDLE_PX[1]) / UNIT_PX + edge
    picture = sample(mouth.picture, *mouth.projection.to_px(*np.meshgrid(x, y)))
    picture += SHARPEN * (picture - cv2.GaussianBlur(picture, (0, 0), 1.5))
    lines = mouth.lines - edge + np.array([[0.0], [-TRIMMED], [LOW_TRIMMED], [0.0]])
    return picture.clip(0, 255).round(), lines, mouth.x[[0, -1]]


def bank_tensors(uppers: Sequence[Portrait], lowers: Sequence[Portrait]) -> dict[str, Tensor]:
    """Return the tensors of a bank."""
    rows = [*uppers, *lowers]
    pictures, lines, sides = zip(*map(flatten, rows), strict=True)
    tensors = {
        "pictures": torch.from_numpy(np.stack(pictures).astype(np.uint8)),
        "lines": torch.from_numpy(np.stack(lines)).half(),
        "sides": torch.from_numpy(np.stack(sides)).half(),
        "teeth": torch.from_numpy(np.stack([one.halves.teeth for one in rows])).half(),
        "skin": torch.from_numpy(np.stack([one.halves.skin for one in rows])).half(),
        "is_lower": torch.tensor([False] * len(uppers) + [True] * len(lowers)),
    }
    return {BANK_PREFIX + name: tensor for name, tensor in tensors.items()}


def draw_sheet(tensors: dict[str, Tensor], names: Sequence[str]) -> Image.Image:
    """Draw a bank's mouths with their lines, eight in a row."""
    tiles = []
    for k, name in enumerate(names):
        picture = tensors[BANK_PREFIX + "pictures"][k].numpy()
        tile = cv2.resize(picture, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
        left, right = tensors[BANK_PREFIX + "sides"][k].tolist()
        x = np.linspace(left, right, COLUMNS)
        for line in tensors[BANK_PREFIX + "lines"][k].float().numpy():
            px = (np.stack([x, line], 1) * UNIT_PX + MIDDLE_PX) * 3 + 1
            cv2.polylines(tile, [np.round(px * 16).astype(np.int32)], False, (0, 255, 0), 1, cv2.LINE_AA, 4)
        cv2.putText(tile, name, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 8)
    return Image.fromarray(np.concatenate([np.concatenate(tiles[i : i + 8], 1) for i in range(0, len(tiles), 8)]))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stills", type=Path, help="folder of portraits")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint")
    parser.add_argument("--sheet", type=Path, help="picture of the bank")
    options = parser.parse_args()
    state, _ = read_existing(options.output)
    analyzer, topology = FaceAnalyzer.from_state(state), FaceTopology.from_state(state)
    found = (read_portrait(path, analyzer, topology) for path in sorted(options.stills.glob("*.jpg")))
    portraits = [one for one in found if one is not None and abs(one.yaw) < MAX_YAW and one.blur_px < MAX_BLUR_PX]
    uppers, lowers = choose(portraits, upper_quality, UPPERS), choose(portraits, lower_quality, LOWERS)
    tensors = bank_tensors(uppers, lowers)
    record = {"portraits": len(portraits), "uppers": [o.name for o in uppers], "lowers": [o.name for o in lowers]}
    update_checkpoint(options.output, tensors, {"mouth_bank": json.dumps(record)}, replaces=(BANK_PREFIX,))
    renew_sum(options.output)
    if options.sheet:
        draw_sheet(tensors, [one.name for one in (*uppers, *lowers)]).save(options.sheet)
    print(record, f"{sum(t.numel() * t.element_size() for t in tensors.values()) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
