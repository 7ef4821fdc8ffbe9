"""The attention mesh against MediaPipe's own runtime, its operations against plain numpy, and its fast twin."""

from __future__ import annotations

import copy
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor, nn

from training.attention_vectors import draw
from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.attention_mesh import (
    ENDS,
    IRIS_CENTRES,
    IRIS_POINTS,
    POINTS,
    REGIONS,
    AttentionMesh,
    Pointwise,
    Regions,
    assemble,
)
from vid2vid_cli.face.attention_regions import CROP_SIZE, crop_features, map_points, region_affine
from vid2vid_cli.face.blazeface import BlazeBlock
from vid2vid_cli.face.eyes import BROWS_AND_CHEEKS, LOOPS, RINGS
from vid2vid_cli.face.fast_blocks import LARGE_MAP
from vid2vid_cli.face.fast_mesh import FastRegions, fast_layers, use_fast_layers
from vid2vid_cli.face.landmarks import INNER_LIPS, LANDMARKS, LIP_CONTOURS, OUTER_LIPS
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker, load_prefixed
from vid2vid_cli.face.square import Square, crop_square
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video

GOLDEN = Path(__file__).parent / "golden" / "attention_mesh.npz"
CASES = 9  # of the golden file, the drawn picture last
REFINED = {"lips": REGIONS[0], "right_eye": REGIONS[1], "left_eye": REGIONS[2]}


@pytest.fixture(scope="module")
def plain(face_state: dict[str, Tensor]) -> AttentionMesh:
    mesh = AttentionMesh().eval()
    load_prefixed(mesh, face_state, "mesh.")
    return mesh.requires_grad_(False)


@pytest.fixture(scope="module")
def fast(plain: AttentionMesh) -> AttentionMesh:
    mesh = copy.deepcopy(plain)
    use_fast_layers(mesh)
    return mesh


def crop_of_case(golden: dict[str, np.ndarray], case: int, media_dir: Path) -> Frame:
    path = media_dir / str(golden["files"][case])
    number = int(golden["frames"][case])
    frame = next(islice(read_video(path), number, None)) if path.suffix == ".mp4" else read_image(path)
    return crop_square(frame, Square(*golden["squares"][case].tolist()), AttentionMesh.image_size)


def check_parity(mesh: AttentionMesh, image: Tensor, golden: dict[str, np.ndarray], case: int) -> None:
    """Compare with the runtime's raw outputs. Measured: 0.0001 px; what is asked is 0.1."""
    points, logit = (output[0].numpy() for output in mesh(image))
    theirs = {name: golden[name][case] for name in ("mesh", *REFINED, "right_iris", "left_iris", "presence")}
    bare = theirs["mesh"].reshape(LANDMARKS, 3)
    untouched = np.setdiff1d(np.arange(LANDMARKS), np.concatenate(REGIONS))
    np.testing.assert_allclose(points[untouched], bare[untouched], atol=0.01)
    np.testing.assert_allclose(points[:LANDMARKS, 2], bare[:, 2], atol=0.01)  # the depth is the mesh's everywhere
    for name, landmarks in REFINED.items():
        np.testing.assert_allclose(points[landmarks, :2], theirs[name].reshape(-1, 2), atol=0.01, err_msg=name)
    for name, first in zip(("right_iris", "left_iris"), IRIS_CENTRES, strict=True):
        iris = points[first : first + IRIS_POINTS, :2]
        np.testing.assert_allclose(iris, theirs[name].reshape(-1, 2), atol=0.01, err_msg=name)
    assert logit == pytest.approx(theirs["presence"][0], abs=0.01)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.mark.parametrize("kind", ["plain", "fast"])
def test_it_answers_a_drawing_as_recorded_from_mediapipe(
    kind: str, golden: dict[str, np.ndarray], request: pytest.FixtureRequest
) -> None:
    image = torch.from_numpy(draw()).permute(2, 0, 1)[None].float() / 255
    check_parity(request.getfixturevalue(kind), image, golden, CASES - 1)


@pytest.mark.parametrize("case", range(CASES - 1))
def test_it_answers_pictures_as_recorded_from_mediapipe(
    fast: AttentionMesh, golden: dict[str, np.ndarray], media_dir: Path, case: int
) -> None:
    assert len(golden["files"]) == CASES
    crop = torch.from_numpy(crop_of_case(golden, case, media_dir))
    check_parity(fast, crop.permute(2, 0, 1)[None].float() / 255, golden, case)


def test_refined_landmarks_are_listed_once_and_mirror_each_other(face_state: dict[str, Tensor]) -> None:
    partner = face_state["face.mirror"].numpy().astype(int)
    assert len(np.unique(np.concatenate(REGIONS))) == 80 + 71 + 71
    for right, left in (LOOPS, *RINGS, BROWS_AND_CHEEKS, (ENDS[1], ENDS[2][::-1])):
        np.testing.assert_array_equal(partner[list(right)], left)
    assert set(LIP_CONTOURS[0].tolist()) == set(OUTER_LIPS)
    assert set(LIP_CONTOURS[1].tolist()) == set(INNER_LIPS)
    for contour in LIP_CONTOURS:  # 11 points from corner to corner, then 9 between
        np.testing.assert_array_equal(partner[contour[:11]], contour[10::-1])
        np.testing.assert_array_equal(partner[contour[11:]], contour[:10:-1])


def test_the_crop_of_a_region_holds_its_turned_box_with_a_margin() -> None:
    """Checked with complex numbers: the crop's corners are those of the box, 1.5 times as large."""
    generator = np.random.default_rng(0)
    points = generator.normal(20, 6, (3, 40, 2)) * (1, 0.4)
    affine = region_affine(torch.from_numpy(points), torch.from_numpy(points[:, 3]), torch.from_numpy(points[:, 9]))
    for ours, cloud in zip(affine.numpy(), points, strict=True):
        places = cloud[:, 0] + 1j * cloud[:, 1]
        turn = (places[9] - places[3]) / abs(places[9] - places[3])
        level = places / turn
        half = complex(np.ptp(level.real), np.ptp(level.imag)) / 2 * 1.5
        middle = complex(level.real.min() + level.real.max(), level.imag.min() + level.imag.max()) / 2
        for u, v in ((0, 0), (CROP_SIZE, 0), (0, CROP_SIZE), (CROP_SIZE, CROP_SIZE)):
            corner = complex(half.real * (2 * u / CROP_SIZE - 1), half.imag * (2 * v / CROP_SIZE - 1))
            expected = (middle + corner) * turn
            assert complex(*(ours @ (u, v, 1))) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", ["plain", "fast"])
def test_a_crop_is_bilinear_between_centres_of_pixels_and_zero_outside(
    kind: str, plain: AttentionMesh, fast: AttentionMesh
) -> None:
    features = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    # One region within, turned; one that reaches over the map's right and lower edge.
    affine = torch.tensor([[[1.1, -0.4, 20.0], [0.4, 0.9, 12.0]], [[2.0, 0.1, 25.0], [-0.1, 2.0, 30.0]]])
    if kind == "plain":
        ours = crop_features(features, affine)
    else:
        from vid2vid_cli.face.fast_mesh import _cut_regions

        crops = np.empty((1, 2, CROP_SIZE, CROP_SIZE, 3), np.float32)
        _cut_regions(features.permute(0, 2, 3, 1).contiguous().numpy(), affine[None].numpy(), crops)
        ours = torch.from_numpy(crops[0]).permute(0, 3, 1, 2)
    v, u = np.mgrid[:CROP_SIZE, :CROP_SIZE] + 0.5
    for n in range(2):
        x, y = (row[0] * u + row[1] * v + row[2] - 0.5 for row in affine[n].double().numpy())
        for channel in range(3):
            expected = map_coordinates(features[n, channel].double().numpy(), [y, x], order=1, mode="constant")
            expected[(x < 0) | (y < 0) | (x > 47) | (y > 47)] = 0
            np.testing.assert_allclose(ours[n, channel], expected, atol=2e-5)
    assert (ours[1] == 0).all(0).sum() > 50


def test_points_go_through_the_map_of_their_own_picture() -> None:
    affine = torch.rand(2, 2, 3, dtype=torch.float64)
    points = torch.rand(2, 5, 2, dtype=torch.float64)
    for n in range(2):
        homogeneous = np.column_stack([points[n].numpy(), np.ones(5)])
        np.testing.assert_allclose(map_points(affine, points)[n], homogeneous @ affine[n].numpy().T)


def test_regions_change_x_and_y_alone_and_irises_lie_as_deep_as_their_eyes() -> None:
    mesh = torch.rand(2, LANDMARKS, 3)
    placed = [torch.full((2, count, 2), 500.0 + k) for k, count in enumerate((80, 71, 5, 71, 5))]
    points = assemble(mesh, placed)
    assert points.shape == (2, POINTS, 3)
    assert torch.equal(points[:, :LANDMARKS, 2], mesh[..., 2])
    for landmarks, value in zip(REGIONS, (500, 501, 503), strict=True):
        assert (points[:, landmarks, :2] == value).all()
    for eye, (centre, value) in enumerate(zip(IRIS_CENTRES, (502, 504), strict=True)):
        iris = points[:, centre : centre + IRIS_POINTS]
        assert (iris[..., :2] == value).all()
        torch.testing.assert_close(iris[..., 2], mesh[:, LOOPS[eye], 2].mean(1, keepdim=True).expand(2, 5))


@pytest.mark.parametrize("kind", ["plain", "fast"])
def test_a_batch_answers_as_its_faces_do_alone(
    kind: str, request: pytest.FixtureRequest, golden: dict[str, np.ndarray], media_dir: Path
) -> None:
    mesh = request.getfixturevalue(kind)
    crops = np.stack([crop_of_case(golden, case, media_dir) for case in (1, 3, 6)])
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    together = mesh(images)
    alone = [mesh(image[None]) for image in images]
    for i, whole in enumerate(together):
        torch.testing.assert_close(whole, torch.cat([one[i] for one in alone]), rtol=0, atol=1e-3)


def test_the_fast_twin_answers_as_the_plain_network_does(plain: AttentionMesh, fast: AttentionMesh) -> None:
    images = torch.rand(2, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(fast(images), plain(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-4)  # px; positions up to 192 have seven digits
    left = {type(module) for module in fast.modules()}
    assert not left & {BlazeBlock, Pointwise, Regions}
    regions = fast.regions
    use_fast_layers(fast)  # once more changes nothing
    assert fast.regions is regions and isinstance(regions, FastRegions)


@pytest.mark.parametrize("side", [3, 8, LARGE_MAP])  # odd, even, and where another loop takes over
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 3])
def test_fast_layers_take_maps_of_any_layout_and_several_at_once(side: int, stride: int, groups: int) -> None:
    torch.manual_seed(0)
    nets = [nn.Sequential(BlazeBlock(5, 7, stride, slopes=True), Pointwise(7, 4)) for _ in range(groups)]
    nets = [net.requires_grad_(False) for net in nets]
    maps = torch.randn(groups, 2, 5, side * stride, side * stride + 2)[..., : side * stride]
    expected = torch.cat([net(own) for net, own in zip(nets, maps, strict=True)])
    torch.testing.assert_close(fast_layers(nets)(maps.flatten(0, 1)), expected, rtol=1e-4, atol=1e-5)


def test_heads_with_fewer_values_answer_beside_those_with_more() -> None:
    torch.manual_seed(0)
    heads = [nn.Sequential(nn.Conv2d(3, values, 2)) for values in (7, 2)]
    maps = torch.randn(2, 4, 3, 2, 2)
    ours = fast_layers(heads)(maps.flatten(0, 1)).reshape(2, 4, 7).detach()
    torch.testing.assert_close(ours[0], heads[0](maps[0])[..., 0, 0].detach())
    torch.testing.assert_close(ours[1, :, :2], heads[1](maps[1])[..., 0, 0].detach())


def test_a_shut_eye_and_a_wide_mouth_are_read_as_such(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    """The mesh alone reads this shut eye as 0.07 open, and this mouth as 0.47."""
    shut = read_face(face_analyzer, media_dir / "drivings" / "d03_woman_expressions_audio.mp4", 59)
    assert gap(shut, 159, 145) / gap(shut, 33, 133) < 0.025
    wide = read_face(face_analyzer, media_dir / "drivings" / "d06_man_mouth_wide_audio.mp4", 139)
    assert 0.55 < gap(wide, 13, 14) / gap(wide, 33, 263) < 0.62


def read_face(analyzer: FaceAnalyzer, path: Path, number: int) -> np.ndarray:
    """Return the landmarks of a frame, followed from two frames before."""
    tracker = FaceTracker(analyzer)
    faces = [tracker.update(frame) for frame in islice(read_video(path), number - 2, number + 1)]
    assert faces[-1] is not None
    return faces[-1].landmarks_px


def gap(points: np.ndarray, one: int, other: int) -> float:
    return float(np.linalg.norm(points[one, :2] - points[other, :2]))
