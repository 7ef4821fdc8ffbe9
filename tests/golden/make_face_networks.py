"""Record what the tflite runtime answers, for tests/test_face_networks.py to compare our detectors with.

    python tests/golden/make_face_networks.py FOLDER_WITH_TFLITE

Needs the extra "dev". training/convert_mediapipe.py says where the tflite files come from. The attention mesh needs
another runtime: training/attention_vectors.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

FILES = {
    "short": "face_detection_short_range.tflite",
    "full": "face_detection_full_range.tflite",
}
SIZES = {"short": 128, "full": 192}
Array = npt.NDArray[np.float32]


def pattern(name: str) -> Array:
    """Draw a picture (1, H, W, 3) in [0, 1] that needs no file: soft blobs where a face has its features."""
    size = SIZES[name]
    y, x = np.mgrid[:size, :size].astype(np.float64) / size
    picture = np.stack([0.35 + 0.2 * x, 0.3 + 0.2 * y, 0.4 - 0.1 * x * y], axis=-1)
    blobs = [(0.5, 0.5, 0.3, 0.45), (0.38, 0.42, 0.05, -0.4), (0.62, 0.42, 0.05, -0.4), (0.5, 0.68, 0.07, -0.3)]
    for blob_x, blob_y, width, height in blobs:
        distance = ((x - blob_x) ** 2 + (y - blob_y) ** 2) / width**2
        picture += height * np.exp(-distance)[..., None] * (1.0, 0.8, 0.7)
    return np.clip(np.rint(picture * 255), 0, 255).astype(np.float32)[None] / np.float32(255)


def run_tflite(folder: Path, name: str, image: Array) -> list[Array]:
    """Give the raw outputs of one network for an image (1, H, W, 3) in [0, 1], as the file orders them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / FILES[name]))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image * 2 - 1)  # what they were trained on
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def main() -> None:
    """Write the record beside this file."""
    folder = Path(sys.argv[1])
    answers = {name: run_tflite(folder, name, pattern(name)) for name in FILES}
    np.savez_compressed(
        Path(__file__).with_name("face_networks.npz"),
        **{f"{name}_{i}": value for name, values in answers.items() for i, value in enumerate(values)},
    )


if __name__ == "__main__":
    main()
