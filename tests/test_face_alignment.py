"""The package face-alignment as a detector and as a judge: its own code, on networks that the test makes.

Its published weights are not here. It loads the networks' files from a folder, as it does once it has fetched them;
nothing is fetched. Two kinds of networks lie there. Seeded ones run as they are: their answers mean nothing, but what
loads them, cuts crops for them and reads their answers is real. And there are stand-ins for what trained ones answer:
they look, by the built-in networks, at the very tensor that the package hands to its own, and answer in its own terms
(scores and offsets of anchors, heat maps). So a picture whose colours, crop, order of points or coordinates were wrong
would not be found, or not there.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import face_alignment.api as fan_api
import face_alignment.detection.sfd.sfd_detector as sfd_api
import numpy as np
import pytest
import torch
from face_alignment.detection.sfd.net_s3fd import s3fd
from face_alignment.models import FAN
from torch import Tensor, nn

from vid2vid_cli.errors import WeightsError
from vid2vid_cli.evaluation.judges import FanLandmarks
from vid2vid_cli.face.alignment import load_alignment
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
BLUE_GREEN_RED = torch.tensor([104.0, 117.0, 123.0])[:, None, None]  # what S3FD wants to have taken away
VARIANCES = 0.1, 0.2  # of an anchor's offsets and sizes
# Mesh points where the usual 68 landmarks lie: jaw, brows, nose, eyes, outer and inner lips.
OF_68 = (
    *(127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
)
# Eyes by their corners, the person's right one first; tip of the nose, middle of the mouth, right and left temple.
MARKED = ((33, 133), (362, 263), (4,), (13, 14), (127,), (356,))


def seeded_s3fd() -> nn.Module:
    """Make a detector that sees a face of 440 px around each of its coarsest anchors, whatever is on the picture."""
    network = s3fd()
    for name, layer in network.named_modules():
        if name.endswith(("_conf", "_loc")):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            if name.endswith("_conf"):
                layer.bias.data[0] = 9.0  # the background's
    network.conv7_2_mbox_conf.bias.data[:] = torch.tensor([0.0, 3.0])
    network.conv7_2_mbox_loc.bias.data[2:] = math.log(440 / 512) / VARIANCES[1]
    return network


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of torch.hub with both files, under the names that the installed version asks for."""
    folder = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    networks = {sfd_api.models_urls["s3fd"]: seeded_s3fd(), fan_api.models_urls["2DFAN-4"]: FAN(4)}
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    for address, network in networks.items():
        torch.save(network.state_dict(), folder / "hub" / "checkpoints" / address.rsplit("/", 1)[1])
    return folder


@pytest.fixture(autouse=True)
def _weights_on_disk(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(hub))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing answers there


class StandIn:
    """What trained networks would answer, found by the built-in ones in what they are given."""

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self.analyzer, self.pictures, self.crops = analyzer, 0, 0
        self.seen = np.zeros((0, 0, 3), np.uint8)

    def boxes(self, picture: Tensor) -> list[Tensor]:
        """Answer as S3FD: for each of six scales scores (1, 2, h, w) and offsets (1, 4, h, w) of anchors."""
        self.pictures += 1
        self.seen = as_frame((picture[0] + BLUE_GREEN_RED).flip(0))
        answer = []
        for level in range(6):
            size = [max(1, side // 2 ** (level + 2)) for side in picture.shape[2:]]
            answer += [torch.tensor([9.0, -9.0])[None, :, None, None].repeat(1, 1, *size), torch.zeros(1, 4, *size)]
        stride = 32
        for box in self.analyzer.detector.detect(self.seen, thorough=True):
            column, row = (int(middle // stride) for middle in box.center_px)
            answer[6][0, :, row, column] = torch.tensor([-3.0, 3.0])
            width, height = box.right_px - box.left_px, box.bottom_px - box.top_px
            anchor = np.array([column + 0.5, row + 0.5]) * stride
            away = (np.array(box.center_px) - 0.5 - anchor) / (4 * stride) / VARIANCES[0]
            sizes = np.log(np.array([width, height]) / (4 * stride)) / VARIANCES[1]
            answer[7][0, :, row, column] = torch.from_numpy(np.concatenate([away, sizes])).float()
        return answer

    def heat_maps(self, crops: Tensor) -> Tensor:
        """Answer as FAN: a Gaussian for each of 68 points, (B, 68, 64, 64) for crops (B, 3, 256, 256) in [0, 1]."""
        self.crops += len(crops)
        assert crops.shape[1:] == (3, 256, 256) and crops.min() >= 0 and 0.5 < crops.max() <= 1
        return torch.stack([self._maps(as_frame(crop * 255)) for crop in crops])

    def _maps(self, crop: np.ndarray) -> Tensor:
        face = max(self.analyzer.faces(crop, thorough=True), key=lambda found: found.size_px)
        x, y = torch.from_numpy(face.landmarks_px[list(OF_68), :2] / 4).T[:, :, None]
        cells = torch.arange(64) + 0.5
        return torch.exp(-((cells[None] - y) ** 2))[:, :, None] * torch.exp(-((cells[None] - x) ** 2))[:, None]


def as_frame(colours: Tensor) -> np.ndarray:
    """Turn (3, H, W) in [0, 255] into a frame."""
    return np.ascontiguousarray(colours.round().clamp(0, 255).byte().permute(1, 2, 0).numpy())


@pytest.fixture
def stand_in(face_analyzer: FaceAnalyzer, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    sees = StandIn(face_analyzer)
    answers: tuple[tuple[type[nn.Module], Callable[[Tensor], object]], ...] = (
        (s3fd, sees.boxes),
        (FAN, sees.heat_maps),
    )
    for kind, answer in answers:
        monkeypatch.setattr(kind, "forward", lambda self, x, answer=answer: answer(x))
    return sees


def test_seeded_networks_are_read_from_the_disk_and_run(capfd: pytest.CaptureFixture[str]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    (box,) = load_alignment("cpu").detect(frame)  # the others overlap it too much
    # Anchors stand at 64 and 192 px, counted from the middle of the first pixel.
    assert {round(middle, 1) for middle in box.center_px} <= {64.5, 192.5}
    assert (box.right_px - box.left_px, box.bottom_px - box.top_px) == pytest.approx((440, 440), abs=0.1)
    assert box.score == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-3)
    crop_px = 200 * (440 + 440) / 195  # so much does face-alignment look at, a little above the middle of the box
    assert np.abs(box.keypoints_px - box.center_px).max() < crop_px / 2 + 440 * 0.12 + 2
    assert len({tuple(point) for point in box.keypoints_px.tolist()}) > 1
    assert capfd.readouterr() == ("", "")


def test_without_its_weights_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # where no weights lie
    with pytest.raises(WeightsError, match="--detector face-alignment: its weights cannot be fetched"):
        load_alignment("cpu")


def test_no_face_is_no_box(stand_in: StandIn) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_alignment("cpu").detect(np.full((128, 160, 3), 90, np.uint8)) == []
    assert (stand_in.pictures, stand_in.crops) == (1, 0)


def test_points_come_through_in_order_and_place(stand_in: StandIn, face_analyzer: FaceAnalyzer) -> None:
    portrait = read_image(PORTRAIT)
    frame = np.zeros((600, 700, 3), np.uint8)  # neither square nor centred
    frame[40 : 40 + 512, 150 : 150 + 512] = portrait
    (built_in,) = face_analyzer.detector.detect(frame, thorough=True)
    (mesh,) = face_analyzer.faces(frame, thorough=True)
    (box,) = load_alignment("cpu").detect(frame)
    assert np.array_equal(stand_in.seen, frame)
    assert np.abs(np.subtract(box.center_px, built_in.center_px)).max() < 0.2
    assert box.size_px == pytest.approx(built_in.size_px, abs=0.2)
    cell_px = 200 * 2 * built_in.size_px / 195 / 64  # of a heat map, in the frame
    expected = np.stack([mesh.landmarks_px[list(points), :2].mean(0) for points in MARKED])
    assert np.abs(box.keypoints_px - expected).max() < cell_px
    assert np.abs((box.keypoints_px - expected).mean(0)).max() < cell_px / 2
    assert box.keypoints_px[0, 0] < box.keypoints_px[1, 0], "the person's right eye is left for the viewer"
    assert (stand_in.pictures, stand_in.crops) == (1, 1)


def test_all_68_points_reach_the_judge(stand_in: StandIn, face_analyzer: FaceAnalyzer) -> None:
    portrait = read_image(PORTRAIT)
    (mesh,) = face_analyzer.faces(portrait, thorough=True)
    points = FanLandmarks("cpu")(portrait)
    assert points is not None and points.shape == (68, 2)
    assert np.abs(points - mesh.landmarks_px[list(OF_68), :2]).mean() < mesh.size_px / 64
    assert stand_in.crops == 1


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_the_mesh_is_that_of_the_built_in_detector(
    is_mirrored: bool, stand_in: StandIn, face_analyzer: FaceAnalyzer
) -> None:
    portrait = np.ascontiguousarray(read_image(PORTRAIT)[:, :: -1 if is_mirrored else 1])
    (built_in,) = face_analyzer.faces(portrait, thorough=True)
    other = FaceAnalyzer(load_alignment("cpu"), face_analyzer.mesh_net)
    (found,) = other.faces(portrait)
    assert np.abs(found.landmarks_px - built_in.landmarks_px)[:, :2].mean() < 2


def test_a_clip_is_rendered_as_with_the_built_in_detector(stand_in: StandIn, tmp_path: Path) -> None:
    frames = {}
    for detector in ("built-in", "face-alignment"):
        options = ReenactOptions(detector=detector, end="0.2", force=True, dtype="float32")
        result = reenact(PORTRAIT, DRIVING, tmp_path / f"{detector}.mp4", options)
        assert result.warnings == ()
        frames[detector] = np.stack([frame.astype(np.int16) for frame in read_video(tmp_path / f"{detector}.mp4")])
    assert stand_in.pictures >= 2 and stand_in.crops >= 2, "source and driving were not looked at"
    one, other = frames.values()
    assert one.shape == other.shape and np.abs(one - other).mean() < 1.5
    assert np.abs(one - one[:1]).max() > 20, "nothing moves"
