"""An endless stream of training samples: a source, and targets that it is to be turned into.

From clips: two moments of one person. From portraits: the portrait is the target, and the source is the same picture
with another expression and head pose, made by the warp without networks. In this way 700 people teach teeth, open eyes,
far cheeks and edges of hair, though none of them ever moved.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from training.packed import SIDE as SQUARE_SIDE
from training.packed import Pack, Picture, Points, Squares
from vid2vid_cli.face.eyes import IRISES
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.following.first_frame import VIEW, FirstFrame
from vid2vid_cli.models.compact.following.follower import FirstFrameFollower
from vid2vid_cli.models.compact.gaze import place_irises
from vid2vid_cli.models.compact.learned.networks import FLOW_SIDE, GUIDE_SIDE, LEARNED_PREFIXES, PATCH_SIDE
from vid2vid_cli.models.compact.learned.refine import Patch, draw_guide, rigid_flow
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import POINTS, as_map, no_extra
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource
from vid2vid_cli.motion import PoseOverride

SIDE = 320  # px of the crop that a sample is made of: three times the face, as at run time
COARSE = 128  # px of the whole square, on which the flow is compared
TARGETS = 4  # of one source, when it comes from a clip
CLIPS, STILLS = 3, 4  # sources of a batch
TARGETS_IN_BATCH = CLIPS * TARGETS + STILLS
MOUTH_WEIGHT, EYE_WEIGHT = 5.0, 4.0
EYE_POINTS = (33, 263)
# How often the driving is compared with its first frame, as it is at run time but for calls and absolute motion.
FOLLOWED, FOLLOWED_STILLS = 0.75, 0.4


@dataclass(frozen=True)
class Shot:
    """One frame cut for training: picture (320, 320, 3), landmarks (470, 3) and visible part (4,), both in its px."""

    picture: Picture
    landmarks: Points
    visible: Points


@dataclass(frozen=True)
class Cut:
    """How a square becomes a crop: an affine map of px, whether it is mirrored, and a table of colours (256, 3)."""

    matrix: NDArray[np.float64]
    scale: float
    is_mirrored: bool
    colours: NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """A source, ready to be driven.

    image: (1, 3, 320, 320), its picture. follower: compares it with targets; None where nothing is to be known of the
    driving but its mesh.
    """

    appearance: CompactSource
    image: Tensor
    follower: FirstFrameFollower | None


class Samples(IterableDataset[dict[str, Tensor]]):
    """Yields batches for ever; each worker draws its own."""

    def __init__(self, pack: Path, state: dict[str, Tensor], seed: int) -> None:
        self._pack, self._seed = pack, seed
        self._state = {name: value for name, value in state.items() if not name.startswith(LEARNED_PREFIXES)}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self._seed, worker.id if worker else 0))
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        maker = SampleMaker(Pack.load(self._pack), CompactModel(self._state), rng)
        while True:
            with torch.no_grad():
                batch = maker.make_batch()
            yield batch


class SampleMaker:
    """Makes samples from a pack."""

    def __init__(self, pack: Pack, model: CompactModel, rng: np.random.Generator) -> None:
        self._model, self._rng = model, rng
        self._clips, self._stills = list(pack.clips.values()), pack.stills
        people = [name.split("_")[0] for name in pack.clips]
        # All people count alike, except that a long clip counts a little more.
        weight = np.array([len(c) ** 0.5 / people.count(p) for c, p in zip(self._clips, people, strict=True)])
        self._chances = weight / weight.sum()

    def make_batch(self) -> dict[str, Tensor]:
        """Make a batch of B targets of S sources.

        source: (S, 3, 320, 320). which: (B,), the source of each target. first: (S,), the first target of each source.
        follows: (F,), the targets that are the moment right after the target before. The rest: see describe_target.
        """
        groups = [self._from_clip() for _ in range(CLIPS)] + [self._from_still() for _ in range(STILLS)]
        sources: list[Tensor] = []
        parts: list[dict[str, Tensor]] = []
        which, first_targets, follows = [], [], []
        for index, (source, *targets) in enumerate(groups):
            image = image_of(self._spoil(source.picture))
            appearance = self._model.appearance(image, torch.from_numpy(source.landmarks)[None])
            follower = None
            if self._rng.random() < (FOLLOWED if len(targets) > 1 else FOLLOWED_STILLS):
                first = FirstFrame(appearance.warp, appearance.square.box, _view(source, appearance))
                follower = FirstFrameFollower(self._model.posing, appearance, first)
            prepared = Prepared(appearance, image, follower)
            first_targets.append(len(parts))
            parts += [describe_target(self._model, prepared, source, target) for target in targets]
            sources.append(image[0])
            which += [index] * len(targets)
            if len(targets) > 1:
                follows.append(len(parts) - 1)
        batch = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
        batch |= {"which": torch.tensor(which), "follows": torch.tensor(follows), "source": torch.stack(sources)}
        return batch | {"first": torch.tensor(first_targets)}

    def _from_clip(self) -> list[Shot]:
        """Return a source and targets of one clip; the last two targets follow each other."""
        rng = self._rng
        clip = self._clips[rng.choice(len(self._clips), p=self._chances)]
        source = int(rng.integers(len(clip)))
        targets = [int(k) for k in rng.integers(len(clip), size=TARGETS - 1)]
        targets[-1] -= targets[-1] % 2  # the first of a pair
        if rng.random() < 0.1:  # without movement the source must come back
            targets[0] = source
        cut = self._choose_cut(clip.landmarks[source])
        return [self._shoot(clip, k, cut) for k in (source, *targets, targets[-1] + 1)]

    def _from_still(self) -> list[Shot]:
        """Return a portrait with another expression and pose, and the portrait itself as its target."""
        rng = self._rng
        index = int(rng.integers(len(self._stills)))
        still = self._shoot(self._stills, index, self._choose_cut(self._stills.landmarks[index]))
        return [self._make_different(still), still]

    def _make_different(self, still: Shot) -> Shot:
        """Give a portrait the movement between two moments of some clip, often one that closes its lips."""
        rng, model = self._rng, self._model
        clip = self._clips[rng.choice(len(self._clips), p=self._chances)]
        some = torch.from_numpy(clip.landmarks[rng.integers(len(clip), size=12)])
        motions = model.motion(None, some, (SQUARE_SIDE, SQUARE_SIDE))
        image = image_of(still.picture)
        source = model.appearance(image, torch.from_numpy(still.landmarks)[None])
        before, after = self._choose_change(some, torch.from_numpy(still.landmarks))
        angles = torch.from_numpy(np.deg2rad(rng.normal(0, (9, 5, 2)))).float()
        pose = PoseOverride(*(angle[None] for angle in angles))
        driven = model.drive(source, motions[after], motions[before], pose if rng.random() < 0.7 else None)
        picture = (model.render(source, driven)[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
        half = SIDE / 2
        mesh = (driven.keypoints[0].numpy() * half + (half, half, 0)).astype(np.float32)
        gaze = (source.motion.expression[:, POINTS:] + driven.gaze)[0, -1].numpy()
        return Shot(picture, np.concatenate([mesh, place_irises(mesh, gaze)]), still.visible)

    def _choose_change(self, some: Tensor, still: Tensor) -> tuple[int, int]:
        """Choose the moment that counts as the portrait's own, and the one whose motion it gets."""
        opening = mouth_openings(some)
        own = float(mouth_openings(still[None])[0])
        before = int((opening - own).abs().argmin())
        # From closed lips to open ones is the hardest way: half of all portraits go it.
        if self._rng.random() < 0.5:
            return before, int(opening.argmin())
        return before, int(self._rng.integers(len(some)))

    def _choose_cut(self, landmarks: Points) -> Cut:
        """Choose a crop around a face as the pipeline would cut it, with a little rotation, shift and scale."""
        rng = self._rng
        low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
        side = float((high - low).max()) * 3.0 * np.exp(rng.normal(0, 0.06))
        middle = (low + high) / 2 + rng.normal(0, 0.02, 2) * side
        angle = np.deg2rad(rng.normal(0, 6))
        scale = SIDE / side
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.column_stack([turn, SIDE / 2 - turn @ middle])
        return Cut(matrix, scale, bool(rng.random() < 0.5), self._choose_colours())

    def _choose_colours(self) -> NDArray[np.float32]:
        """Choose a table (256, 3) of new colour values: gamma, gain, colour cast, offset."""
        rng = self._rng
        steps = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.12, (1, 1)))
        gain = np.exp(rng.normal(0, 0.10) + rng.normal(0, 0.04, (1, 3)))
        table = steps * gain + rng.normal(0, 0.02, (1, 3))
        return np.clip(table * 255, 0, 255).astype(np.float32)

    def _shoot(self, squares: Squares, index: int, cut: Cut) -> Shot:
        """Cut one frame."""
        landmarks = squares.landmarks[index].copy()
        landmarks[:, :2] = landmarks[:, :2] @ cut.matrix[:, :2].T + cut.matrix[:, 2]
        landmarks[:, 2] *= cut.scale
        shift = cut.matrix.copy()  # from edges to pixel centres, as cv2 counts
        shift[:, 2] += cut.matrix[:, :2] @ (0.5, 0.5) - 0.5
        turned = cv2.warpAffine(
            squares.picture(index), shift, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        picture = np.stack([cut.colours[turned[..., k], k] for k in range(3)], -1).round().astype(np.uint8)
        corners = squares.visible[index].reshape(2, 2) @ cut.matrix[:, :2].T + cut.matrix[:, 2]
        visible = np.concatenate([corners.min(0), corners.max(0)]).astype(np.float32)
        if cut.is_mirrored:
            picture = np.ascontiguousarray(picture[:, ::-1])
            landmarks = landmarks[[*self._model.topology.mirror, *reversed(IRISES)]]
            landmarks[:, 0] = SIDE - landmarks[:, 0]
            visible[[0, 2]] = SIDE - visible[[2, 0]]
        return Shot(picture, landmarks, visible)

    def _spoil(self, picture: Picture) -> Picture:
        """Blur or compress a source now and then, as real ones are."""
        rng = self._rng
        if rng.random() < 0.12:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.0))), np.uint8)
        if rng.random() < 0.15:
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "JPEG", quality=int(rng.integers(35, 85)))
            picture = np.asarray(Image.open(file))
        return picture


def mouth_openings(landmarks: Tensor) -> Tensor:
    """Return how far mouths are open, in eye distances: (B,). landmarks: (B, 468 or more, 3)."""
    eyes: Tensor = (landmarks[:, EYE_POINTS[0]] - landmarks[:, EYE_POINTS[1]]).norm(dim=-1)
    lips: Tensor = (landmarks[:, 13, :2] - landmarks[:, 14, :2]).norm(dim=-1)
    return lips / eyes


def describe_target(model: CompactModel, prepared: Prepared, shot: Shot, target: Shot) -> dict[str, Tensor]:
    """Return everything that a training step needs of one target, drawn and cut. shot: what the source was made of."""
    source = prepared.appearance
    size = (SIDE, SIDE)
    motion = model.motion(None, torch.from_numpy(target.landmarks)[None], size)
    own_motion = model.motion(None, torch.from_numpy(shot.landmarks)[None], size)
    extra = no_extra(motion.expression)
    own_motion = replace(own_motion, extra=extra)
    if prepared.follower is not None:
        extra = prepared.follower.compare(motion, _view(target, source))
    motion = replace(motion, extra=extra)
    driven = model.drive(source, motion, own_motion, None)
    own = Similarity(source.motion.scale, source.motion.rotation, source.motion.translation)
    mesh = source.warp.place(driven.keypoints[0].numpy(), driven.head)
    square = source.square
    whole, patch = Patch(*square.middle, square.half), square.patch(own, driven.head)
    guide = draw_guide(mesh, patch.box, PATCH_SIDE, square)[0]
    coarse = draw_guide(mesh, square.box, COARSE, square)[0]
    picture = image_of(target.picture)
    return {
        "rigid": rigid_flow(own, driven.head, square)[0],
        "missed": as_map(extra[0, POINTS:], like=extra)[0],
        "guide": draw_guide(mesh, square.box, FLOW_SIDE, square)[0],
        "patch_guide": draw_guide(mesh, patch.box, GUIDE_SIDE, square)[0],
        "place": torch.tensor(square.place(patch)),
        "square": torch.tensor((*square.middle, square.half)),
        "coarse_flow": coarse[:2],
        "coarse_weight": (1 - coarse[4:5]) * (1 - coarse[9:10]) * visible_mask(target.visible, square.box, COARSE),
        "patch_flow": _with_gaze(guide[:2], source, patch.box, driven),
        "patch_overlay": draw_overlay(prepared, driven, patch, guide),
        "patch_weight": part_weights(model, guide) * visible_mask(target.visible, patch.box, PATCH_SIDE),
        "patch_target": cut_patch(picture, patch, PATCH_SIDE)[0],
        "coarse_target": cut_patch(picture, whole, COARSE)[0],
    }


def _with_gaze(flow: Tensor, source: CompactSource, box: Box, driven: CompactState) -> Tensor:
    """Return a flow (2, h, w) over a box, in squares, with the irises where they look."""
    displacement = (flow * source.square.half).permute(1, 2, 0).numpy().copy()
    source.irises.move(displacement, box, driven.keypoints[0].numpy(), driven.gaze[0, 0].numpy())
    return torch.from_numpy(displacement).permute(2, 0, 1) / source.square.half


def _view(shot: Shot, source: CompactSource) -> Picture:
    """Return what a source's square shows of a shot, as the model's follower sees it: (VIEW, VIEW)."""
    square = Patch(*source.square.middle, source.square.half)
    view = cut_patch(image_of(shot.picture), square, VIEW)[0]
    colours = (view.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)


def part_weights(model: CompactModel, guide: Tensor) -> Tensor:
    """Return how much each pixel of a patch counts: (1, H, W). Mouth and eyes are small and matter most."""
    mean = model.topology.canonical
    loops = [(model.topology.inner_lips, 0.30, MOUTH_WEIGHT), *((eye, 0.20, EYE_WEIGHT) for eye in model.topology.eyes)]
    follow = guide[8:9]
    place = guide[5:8] / follow.clamp_min(0.05)
    weight = 0.5 + 0.5 * follow
    for loop, radius, extra in loops:
        middle = mean[torch.from_numpy(loop.astype(np.int64))].mean(0)
        square = (place - middle[:, None, None]).square().sum(0, keepdim=True) / radius**2  # 50 times as fast as norm
        weight = weight + extra * (follow > 0.98) * torch.exp(-square)
    return weight


def draw_overlay(prepared: Prepared, driven: CompactState, patch: Patch, guide: Tensor) -> Tensor:
    """Return what is laid over the warped patch: (4, 192, 192), colour times weight, and 1 - weight.

    guide: (CHANNELS, 192, 192), the mesh's, over the patch.
    """
    source = prepared.appearance
    grid = torch.stack(patch_places(patch, PATCH_SIDE), -1)[None]
    mirrored = sample_image(prepared.image, grid + guide[2:4].permute(1, 2, 0)[None] * source.square.half)
    weight = guide[4:5][None]
    colour = (mirrored * weight)[0]
    keep = 1 - weight[0]
    return torch.cat([colour, keep])


def patch_places(patch: Patch, side: int) -> tuple[Tensor, Tensor]:
    """Return x and y of a patch's pixels in the crop's unit, each (side, side)."""
    steps = patch.half * ((torch.arange(side) * 2 + 1) / side - 1)
    return (patch.x + steps).expand(side, side), (patch.y + steps)[:, None].expand(side, side)


def sample_image(image: Tensor, grid: Tensor) -> Tensor:
    """Sample an image (1, 3, S, S) at places (1, H, W, 2), the border repeated."""
    return torch.nn.functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


def cut_patch(image: Tensor, patch: Patch, side: int) -> Tensor:
    """Cut a patch out of an image (1, 3, 320, 320): (1, 3, side, side)."""
    shrink = patch.half * SIDE / side
    if shrink > 1.5:  # the whole square at half its size
        image = torch.nn.functional.avg_pool2d(image, 2)
    return sample_image(image, torch.stack(patch_places(patch, side), -1)[None])


def visible_mask(visible: Points, box: Box, side: int) -> Tensor:
    """Return 1 where a box of the target lies within its frame: (1, side, side). visible: (4,), in px of the crop."""
    left, top, right, bottom = (float(v) / (SIDE / 2) - 1 for v in visible)
    whole = Patch((box.left + box.right) / 2, (box.top + box.bottom) / 2, box.width / 2)
    x, y = patch_places(whole, side)
    return ((x > left) & (x < right) & (y > top) & (y < bottom))[None].float()
