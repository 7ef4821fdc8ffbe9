"""The compact family: its warp, its mouth, and what it promises to the pipeline. Layers are in test_layers.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from vid2vid_cli.arrays import Frame
from vid2vid_cli.checkpoints.reading import embedded_checkpoint, find_checkpoint, read_checkpoint
from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.face.crop import FaceCrop, Room, crop_around, crop_frame
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.openings import PlacedFace, inside_source_xy
from vid2vid_cli.models.compact.mesh.placed_mesh import MIRROR
from vid2vid_cli.models.compact.mesh.rasterizer import nearest_triangles, rasterize
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import unit_points
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource
from vid2vid_cli.models.registry import FAMILIES, load_model
from vid2vid_cli.motion import Motion, PoseOverride

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"


@pytest.fixture(scope="module")
def model(face_state: Mapping[str, Tensor]) -> CompactModel:
    return CompactModel(face_state)


class Sitter:
    """A crop of a face, its landmarks and its appearance."""

    def __init__(self, image: Tensor, landmarks: Tensor, model: CompactModel) -> None:
        """Look at an image (1, 3, H, W) in [0, 1], with landmarks (1, 478, 3) in px."""
        self.image, self.landmarks = image, landmarks
        self.source: CompactSource = model.appearance(image, landmarks)
        self.size = image.shape[2], image.shape[3]

    @classmethod
    def find(cls, frame: Frame, analyzer: FaceAnalyzer, model: CompactModel) -> Sitter:
        """Crop the largest face of a frame."""
        face = max(analyzer.faces(frame, thorough=True), key=lambda f: f.size_px)
        crop: FaceCrop = crop_around(face, model.source_crop, Room.of_frame(frame.shape))
        image = torch.from_numpy(crop_frame(frame, crop).copy()).permute(2, 0, 1)[None].float() / 255
        return cls(image, torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None], model)


@pytest.fixture(scope="module")
def sitter(face_analyzer: FaceAnalyzer, model: CompactModel) -> Sitter:
    return Sitter.find(read_image(PORTRAIT), face_analyzer, model)


def face_mask(sitter: Sitter) -> np.ndarray:
    """Return where the face is: inside the landmarks' box."""
    low = sitter.landmarks[0, :, :2].min(0).values.int().tolist()
    high = sitter.landmarks[0, :, :2].max(0).values.int().tolist()
    mask = np.zeros(sitter.size, bool)
    mask[low[1] : high[1], low[0] : high[0]] = True
    return mask


def turn(model: CompactModel, sitter: Sitter, *, yaw: float = 0, pitch: float = 0, roll: float = 0) -> Tensor:
    own = sitter.source.motion
    angles = (torch.tensor([np.deg2rad(a)], dtype=torch.float32) if a else None for a in (yaw, pitch, roll))
    return model.render(sitter.source, model.drive(sitter.source, own, own, PoseOverride(*angles)))


def read_pose(image: Tensor, analyzer: FaceAnalyzer, model: CompactModel) -> np.ndarray:
    frame = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    faces = analyzer.faces(frame, thorough=True)
    face = max(faces, key=lambda f: f.size_px)
    motion = model.motion(None, torch.from_numpy(face.landmarks_px)[None], frame.shape[:2])
    return np.array([torch.rad2deg(a).item() for a in pose_from_rotation(motion.rotation)])


def test_the_rasterizer_interpolates_and_the_nearest_triangle_wins() -> None:
    far = np.array([[-1, -1, 5], [20, -1, 5], [-1, 20, 5]], np.float32)
    near = np.array([[2, 2, 1], [6, 2, 1], [2, 6, 1]], np.float32)
    vertices = np.concatenate([far, near])
    attributes = np.concatenate([vertices[:3, :2], np.full((3, 2), 99)]).astype(np.float32)
    triangles = np.array([[0, 2, 1], [3, 4, 5]], np.int32)  # either winding
    for order in ([0, 1], [1, 0]):
        values = rasterize(vertices, attributes, triangles[order], (8, 8))
        assert values[3, 3].tolist() == [99, 99]
        assert values[1, 7] == pytest.approx([7, 1], abs=1e-4)
        numbers = nearest_triangles(vertices, triangles[order], (20, 8))
        assert order[numbers[3, 3]] == 1 and order[numbers[1, 7]] == 0 and numbers[19, 7] == -1
    alone = rasterize(near, attributes[3:], np.array([[0, 1, 2]], np.int32), (8, 8))
    assert alone[7, 7].tolist() == [0, 0]


def test_neighbouring_triangles_leave_no_seam() -> None:
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(-1, 40, 9), np.linspace(-1, 40, 9)), -1).astype(np.float32)
    grid[1:-1, 1:-1] += rng.uniform(-1.5, 1.5, (7, 7, 2))
    vertices = np.concatenate([grid.reshape(-1, 2), np.ones((81, 1))], 1).astype(np.float32)
    cells = [(9 * r + c) for r in range(8) for c in range(8)]
    triangles = np.array([t for i in cells for t in ((i, i + 1, i + 9), (i + 1, i + 10, i + 9))], np.int32)
    values = rasterize(vertices, np.ones((81, 1), np.float32), triangles, (40, 40))
    assert (values > 0.99).all()


def test_the_rasterizer_agrees_with_asking_each_pixel_about_each_triangle() -> None:
    rng = np.random.default_rng(0)
    vertices = rng.uniform(-6, 22, (30, 3)).astype(np.float32)
    vertices[:12] = np.round(vertices[:12])  # edges along rows and columns, and through the middles of pixels
    attributes = rng.uniform(-1, 1, (30, 2)).astype(np.float32)
    triangles = rng.integers(0, 30, (40, 3)).astype(np.int32)
    triangles[:3] = [[0, 0, 1], [0, 1, 1], [2, 2, 2]]  # without an area
    values = rasterize(vertices, attributes, triangles, (16, 18))
    for y, x in np.ndindex(16, 18):
        shown = [pixel for t in triangles if (pixel := _at_pixel(vertices[t], attributes[t], (x, y))) is not None]
        wanted = min(shown, key=lambda pixel: pixel[0])[1] if shown else np.zeros(2)
        assert values[y, x] == pytest.approx(wanted, abs=2e-3)


def _at_pixel(corners: np.ndarray, values: np.ndarray, place: tuple[int, int]) -> tuple[float, np.ndarray] | None:
    """Return depth and values of a triangle at a place, None beside it."""
    matrix = np.concatenate([corners[:, :2].T.astype(np.float64), np.ones((1, 3))])
    if abs(np.linalg.det(matrix)) < 1e-9:
        return None
    shares = np.linalg.solve(matrix, [*place, 1])
    return None if shares.min() < -1e-4 else (float(shares @ corners[:, 2]), shares @ values)


def test_the_mesh_is_a_closed_disk_wound_outwards(model: CompactModel) -> None:
    triangles = model.topology.triangles
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert len(triangles) == 898 and set(counts) == {1, 2}
    rim = {tuple(e) for e, n in zip(*np.unique(edges, axis=0, return_counts=True), strict=True) if n == 1}
    oval = model.topology.oval
    assert rim == {tuple(sorted((int(a), int(b)))) for a, b in zip(oval, np.roll(oval, -1), strict=True)}
    facing = model.topology.facing(model.topology.canonical.numpy())
    assert facing[1] > 0.5 and (facing > -0.3).all() and len(model.topology.mouth_triangles) == 18


def test_the_mean_face_is_symmetric_and_looks_ahead(model: CompactModel) -> None:
    canonical, mirror = model.topology.canonical, torch.from_numpy(model.topology.mirror).long()
    assert torch.allclose(canonical[mirror] * torch.tensor([-1.0, 1, 1]), canonical, atol=2e-3)
    assert (canonical[263] - canonical[33]).norm().item() == pytest.approx(1.0, abs=1e-3)
    assert canonical[1, 2] < canonical[33, 2] < 0  # the nose is nearer than the eyes, the pivot behind both


def test_no_motion_returns_the_source(model: CompactModel, sitter: Sitter) -> None:
    own = sitter.source.motion
    for reference in (own, None):
        image = model.render(sitter.source, model.drive(sitter.source, own, reference, None))
        error = (image - sitter.image)[0].square().mean(0).numpy()[face_mask(sitter)].mean()
        assert -10 * np.log10(error) > 35


@pytest.mark.parametrize(("axis", "angle"), [(0, 20), (0, -20), (1, 15), (1, -15), (2, 20), (2, -20)], ids=str)
def test_a_turn_reads_as_it_was_asked(
    model: CompactModel, sitter: Sitter, face_analyzer: FaceAnalyzer, axis: int, angle: int
) -> None:
    asked = {("yaw", "pitch", "roll")[axis]: angle}
    change = read_pose(turn(model, sitter, **asked), face_analyzer, model) - read_pose(
        sitter.image, face_analyzer, model
    )
    assert change[axis] == pytest.approx(angle, abs=3)


def test_keypoints_turn_with_the_override(model: CompactModel, sitter: Sitter) -> None:
    own = sitter.source.motion
    still = model.drive(sitter.source, own, own, None).keypoints
    turned = model.drive(sitter.source, own, own, PoseOverride(yaw=torch.tensor([np.deg2rad(30.0)]))).keypoints
    towards_right = (turned - still)[0, 1, 0]  # the nose's tip
    assert towards_right > 0.1 and abs((turned - still)[0, 1, 1]) < 0.03


def test_the_border_of_a_crop_inside_a_frame_holds_still(model: CompactModel, face_analyzer: FaceAnalyzer) -> None:
    frame = np.pad(read_image(PORTRAIT), ((300, 300), (300, 300), (0, 0)), mode="reflect")
    sitter = Sitter.find(frame, face_analyzer, model)
    image = turn(model, sitter, yaw=30, roll=20)
    difference = (image - sitter.image).abs()[0].mean(0)
    inside = difference[10:-10, 10:-10].max()
    rim = torch.cat([difference[0], difference[-1], difference[:, 0], difference[:, -1]])
    assert inside > 0.2 and rim.max() < 0.02


def test_large_turns_leave_no_holes(model: CompactModel, sitter: Sitter) -> None:
    white = torch.ones_like(sitter.image)
    sitter_white = Sitter(white, sitter.landmarks, model)
    for angles in ({"yaw": 45}, {"yaw": -45}, {"pitch": 25}, {"pitch": -25}, {"roll": 30}, {"yaw": 45, "pitch": 25}):
        assert turn(model, sitter_white, **angles).min() > 0.999


def oval_mask(model: CompactModel, points_px: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return where the outline of the face encloses the picture: (height, width) bool."""
    mask = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(mask).polygon([tuple(p) for p in points_px[model.topology.oval, :2].tolist()], fill=1)
    return np.array(mask)


@pytest.mark.parametrize("yaw", [30.0, -30.0])
def test_a_turned_face_shows_its_cheek_and_not_what_was_beside_it(
    model: CompactModel, face_analyzer: FaceAnalyzer, media_dir: Path, yaw: float
) -> None:
    sitter = Sitter.find(read_image(media_dir / "sources" / "s27_ai_woman.png"), face_analyzer, model)
    inside = torch.from_numpy(oval_mask(model, sitter.landmarks[0].numpy() * 0.999, sitter.size))
    green = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    source = model.appearance(torch.where(inside, sitter.image, green[None]), sitter.landmarks)
    own = source.motion
    driven = model.drive(source, own, own, PoseOverride(yaw=torch.tensor([np.deg2rad(yaw)], dtype=torch.float32)))
    image = model.render(source, driven)[0]
    half = max(sitter.size) / 2
    points = driven.keypoints[0].numpy() * half + (sitter.size[1] / 2, sitter.size[0] / 2, 0)
    is_green = ((image[1] > 0.8) & (image[0] < 0.4)).numpy()
    face = oval_mask(model, points, sitter.size)
    assert is_green[~face].mean() > 0.5 and is_green[face].mean() < 0.01


def open_mouth(model: CompactModel, sitter: Sitter, gap: float) -> CompactState:
    """Return the sitter with the lower lip moved down by `gap` eye distances."""
    own = sitter.source.motion
    loop = torch.from_numpy(model.topology.inner_lips).long()
    expression = own.expression.clone()
    below = model.topology.region_mask(model.topology.inner_lips[11:], 0.35)
    below[loop[:11]] = 0.0
    upper = model.topology.canonical[loop[5], 1]
    below = torch.where(model.topology.canonical[:, 1] < upper + 0.005, torch.zeros_like(below), below)
    expression[0, :468, 1] += gap * below
    moved = Motion(own.rotation, own.translation, own.scale, expression)
    return model.drive(sitter.source, moved, own, None)


def test_an_opening_mouth_is_dark_inside_and_not_smeared_lips(
    model: CompactModel, face_analyzer: FaceAnalyzer, media_dir: Path
) -> None:
    sitter = Sitter.find(read_image(media_dir / "sources" / "s27_ai_woman.png"), face_analyzer, model)  # closed lips
    driven = open_mouth(model, sitter, 0.35)
    image = model.render(sitter.source, driven)[0]
    half = max(sitter.size) / 2
    loop = model.topology.inner_lips
    points = driven.keypoints[0, loop, :2] * half + torch.tensor([sitter.size[1] / 2, sitter.size[0] / 2])
    upper, lower = points[5], points[15]
    assert lower[1] - upper[1] > 12
    column = image[:, int(upper[1]) : int(lower[1]) + 1, int(upper[0])].mean(0)
    skin = image[:, int(upper[1]) - 25, int(upper[0])].mean()
    assert column.min() < 0.45 * skin  # the cavity
    assert column[2:-2].max() - column.min() > 0.25  # teeth above it


def squeeze_eyes(model: CompactModel, share: float) -> np.ndarray:
    """Return the mean face (468, 2) with its eyes open by a share of what they are."""
    face = model.topology.canonical[:, :2].numpy().copy()
    for loop in model.topology.eyes:
        corners = face[loop[[0, 8]]]
        line = np.interp(face[loop, 0], *corners[np.argsort(corners[:, 0])].T)
        face[loop, 1] = line + share * (face[loop, 1] - line)
    return face


def test_lids_slide_over_eyeballs_and_do_not_squeeze_them(model: CompactModel) -> None:
    face = model.topology.canonical[:, :2].numpy()
    lids = model.topology.eyes.ravel()

    def shown(share: float) -> np.ndarray:
        target = PlacedFace(squeeze_eyes(model, share), 1.0)
        return inside_source_xy(model.topology, PlacedFace(face, 1.0), target)[: len(lids)]

    np.testing.assert_allclose(shown(1.0), face[lids], atol=1e-5)  # as open: the whole inside
    np.testing.assert_allclose(shown(0.4), squeeze_eyes(model, 0.4)[lids], atol=3e-3)  # a slice of it, unsqueezed
    np.testing.assert_allclose(shown(1.5), face[lids], atol=1e-5)  # there is no more of it than all


def test_an_eye_that_closes_in_the_driving_closes_in_the_source(model: CompactModel, sitter: Sitter) -> None:
    mean = model.topology.canonical
    shut = torch.from_numpy(squeeze_eyes(model, 0.0))
    expression = torch.zeros(1, 469, 3)
    expression[0, :468, 1] = shut[:, 1] - mean[:, 1]
    rest = Motion(torch.eye(3)[None], torch.zeros(1, 3), torch.ones(1, 1), torch.zeros(1, 469, 3))
    closing = Motion(rest.rotation, rest.translation, rest.scale, expression)

    def openings(motion: Motion) -> list[float]:
        points = model.drive(sitter.source, motion, rest, None).keypoints[0]
        width = (points[263] - points[33]).norm()
        return [float((points[low, 1] - points[up, 1]) / width) for up, low in ((159, 145), (386, 374))]

    before, after = openings(rest), openings(closing)
    assert min(before) > 0.08 and max(abs(value) for value in after) < 0.01
    half = Motion(rest.rotation, rest.translation, rest.scale, expression / 2)
    # Less than half: what the mesh reads of a shut eye's lashes is no opening.
    assert openings(half) == pytest.approx([0.34 * value for value in before], abs=0.006)


def test_absolute_motion_takes_the_expression_and_leaves_the_face(
    model: CompactModel, face_analyzer: FaceAnalyzer, media_dir: Path
) -> None:
    sitter = Sitter.find(read_image(media_dir / "sources" / "s27_ai_woman.png"), face_analyzer, model)
    own = sitter.source.motion
    before = model.drive(sitter.source, own, None, None).keypoints
    kept, given = [], []
    for name in ("s24_man_beard_large.jpg", "s16_man_smiling.jpg", "s14_cartoon_man.png", "s05_painting_woman.jpg"):
        stranger = Sitter.find(read_image(media_dir / "sources" / name), face_analyzer, model).source.motion
        facing = Motion(own.rotation, own.translation, own.scale, stranger.expression)
        change = model.drive(sitter.source, facing, None, None).keypoints - before
        kept.append(change.norm())
        given.append(((stranger.expression - own.expression) * own.scale[:, None]).norm())
    assert sum(kept) < 0.7 * sum(given)  # the rest of the difference was the shape of their faces


def test_a_closed_mouth_is_left_alone(model: CompactModel, sitter: Sitter) -> None:
    own = sitter.source.motion
    driven = model.drive(sitter.source, own, own, None)
    assert torch.allclose(model.render(sitter.source, driven), sitter.image, atol=0.02)


def test_a_batch_equals_its_frames_one_by_one(model: CompactModel, sitter: Sitter) -> None:
    own = sitter.source.motion
    yaw = torch.tensor([0.0, 0.2, -0.3])
    driven = model.drive(sitter.source, own.repeat(3), own, PoseOverride(yaw=yaw))
    together = model.render(sitter.source, driven)
    assert together.shape == (3, 3, *sitter.size)
    for i in range(3):
        assert torch.equal(together[i : i + 1], model.render(sitter.source, driven[i]))


def test_motion_undoes_what_posing_did(model: CompactModel) -> None:
    truth = Similarity(torch.tensor([[0.4]]), turn_matrix(25, -10, 5), torch.tensor([[0.1, -0.2, 0.0]]))
    points = truth.apply(model.topology.canonical[None])
    landmarks = points * 100 + torch.tensor([100.0, 100.0, 0.0])
    motion = model.motion(None, landmarks, (200, 200))
    assert torch.allclose(unit_points(landmarks, (200, 200)), points, atol=1e-5)
    assert torch.allclose(motion.rotation, truth.rotation, atol=1e-4)
    assert torch.allclose(motion.scale, truth.scale, atol=1e-4)
    assert motion.expression.abs().max() < 1e-3


def turn_matrix(yaw: float, pitch: float, roll: float) -> Tensor:
    angles = (torch.tensor([np.deg2rad(a)], dtype=torch.float32) for a in (yaw, pitch, roll))
    return PoseOverride(*angles).apply(torch.eye(3)[None])


def test_relative_motion_scales_with_the_face(model: CompactModel, sitter: Sitter) -> None:
    own = sitter.source.motion
    start = Motion(torch.eye(3)[None], torch.zeros(1, 3), torch.tensor([[0.2]]), torch.zeros(1, 469, 3))
    moved = Motion(start.rotation, torch.tensor([[0.1, 0.0, 0.0]]), start.scale, start.expression)
    still = model.drive(sitter.source, start, start, None).keypoints
    shift = (model.drive(sitter.source, moved, start, None).keypoints - still)[0, :, 0]
    expected = 0.1 * own.scale.item() / 0.2  # as many face widths as the driving moved
    assert torch.allclose(shift, torch.full_like(shift, expected), atol=1e-5)


def test_regions_are_where_they_say(model: CompactModel) -> None:
    mouth, eyes = model.expression_mask("mouth"), model.expression_mask("eyes")
    assert mouth[13] == 1 and mouth[33] == 0 and eyes[33] == 1 and eyes[13] == 0
    assert model.expression_mask("all").min() == 1 and model.expression_mask("pose").max() == 0


def test_a_turned_source_shows_its_hidden_cheek_by_the_other_one(
    model: CompactModel, face_analyzer: FaceAnalyzer, media_dir: Path
) -> None:
    sitter = Sitter.find(read_image(media_dir / "sources" / "s02_pearl_earring.jpg"), face_analyzer, model)
    own = sitter.source.motion
    frontal = PoseOverride(*(torch.zeros(1) for _ in range(3)), absolute=True)
    driven = model.drive(sitter.source, own, own, frontal)
    mesh = sitter.source.warp.place(driven.keypoints[0].numpy(), driven.head)
    assert mesh.has_mirror and mesh.draw(Box.whole((128, 128)), (128, 128), (MIRROR,)).max() > 0.8
    same = model.drive(sitter.source, own, own, None)
    assert not sitter.source.warp.place(same.keypoints[0].numpy(), same.head).has_mirror
    yaw = read_pose(model.render(sitter.source, driven), face_analyzer, model)[0]
    assert abs(yaw) < 8


def test_half_precision_is_refused(model: CompactModel) -> None:
    with pytest.raises(UsageError, match="--dtype bfloat16"):
        model.to(torch.device("cpu"), torch.bfloat16)


def test_a_checkpoint_of_another_size_is_refused_by_name(face_state: Mapping[str, Tensor], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    broken = {**face_state, "matte.answer.weight": face_state["matte.answer.weight"][:4].clone()}
    path = tmp_path / "broken.safetensors"
    save_file(broken, path)
    with pytest.raises(WeightsError, match=r"broken\.safetensors.*damaged compact"):
        load_model(str(path))


def test_a_checkpoint_from_before_there_were_layers_renders_as_the_embedded_one(
    face_state: Mapping[str, Tensor], face_analyzer: FaceAnalyzer, tmp_path: Path
) -> None:
    """It has networks that nothing takes any more, and no network for the matte: the package's is taken."""
    from safetensors.torch import save_file

    older = {name: tensor for name, tensor in face_state.items() if not name.startswith("matte.")}
    for name in ("encoder.enter.weight", "flow_net.net.leave.weight", "painter.net.leave.bias", "ranges.painter"):
        older[name] = torch.full((2, 3), torch.nan)
    save_file(older, tmp_path / "older.safetensors")
    pictures = []
    for model in (CompactModel(face_state), load_model(str(tmp_path / "older.safetensors")).model):
        assert isinstance(model, CompactModel)
        pictures.append(turn(model, Sitter.find(read_image(PORTRAIT), face_analyzer, model), yaw=15))
    assert torch.equal(*pictures)


def test_the_embedded_checkpoint_holds_nothing_that_is_not_used(face_state: Mapping[str, Tensor]) -> None:
    used = {"face", "expression", "basis", "mouth_bank", "detector_short", "detector_full", "mesh", "matte", "head"}
    assert {name.split(".")[0] for name in face_state} == used


def test_the_embedded_checkpoint_is_found_detected_and_hashed() -> None:
    loaded = load_model()
    assert loaded.family.name == loaded.model.name == "compact" and len(loaded.sha256) == 64
    assert loaded.sha256 == embedded_checkpoint().sha256
    assert [family.name for family in FAMILIES if family.detect(embedded_checkpoint().tensors)] == ["compact"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"PK\x03\x04whatever", "pickle"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "damaged"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=words) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


def test_foreign_and_missing_checkpoints_are_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="no known family"):
        load_model(str(path))
    with pytest.raises(WeightsError, match="no such checkpoint file"):
        find_checkpoint(str(tmp_path / "missing.safetensors"))
    with pytest.raises(WeightsError, match="not a checkpoint that vid2vid knows"):
        find_checkpoint("facevid2vidd")
