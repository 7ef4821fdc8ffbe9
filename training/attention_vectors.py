"""Record what MediaPipe's own runtime answers to the attention mesh, for tests to compare our port with.

    python -m training.attention_vectors cut MEDIA -o crops.npz
    python3.11 -m venv judge-env && judge-env/bin/pip install mediapipe==0.10.21
    judge-env/bin/python training/attention_vectors.py answer crops.npz -o tests/golden/attention_mesh.npz

The network has operations that only this runtime knows. It wants an environment of its own, so there are two steps. The
first cuts faces out of the clips and pictures of MEDIA (drivings/*, sources/*), and adds a drawn picture. The second
runs the network alone, without detector and tracking: both sides see the same crop. The result holds no pictures, only
where they were cut.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIZE = 192  # px: side of the crops
# Files of MEDIA and frames of them: open, shut and winking eyes, wide and closed mouths, turned heads, a painting.
CASES = (
    ("drivings/d02_man_wide_turns.mp4", 60),
    ("drivings/d03_woman_expressions_audio.mp4", 10),
    ("drivings/d03_woman_expressions_audio.mp4", 59),
    ("drivings/d06_man_mouth_wide_audio.mp4", 139),
    ("drivings/d08_man_dreadlocks_12fps.mp4", 27),
    ("drivings/d12_woman_hand_over_face_audio.mp4", 90),
    ("sources/s01*", 0),
    ("sources/s16*", 0),
)
# In the order of the file's outputs. The file calls left what the viewer sees on the left.
OUTPUTS = ("mesh", "lips", "right_eye", "left_eye", "right_iris", "left_iris", "presence")
GRAPH = """
input_stream: "image"
node {
  calculator: "FaceLandmarksModelLoader"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_side_packet: "MODEL:model"
}
node {
  calculator: "TfLiteCustomOpResolverCalculator"
  output_side_packet: "OP_RESOLVER:op_resolver"
}
node {
  calculator: "ImageToTensorCalculator"
  input_stream: "IMAGE:image"
  output_stream: "TENSORS:input"
  options: {
    [mediapipe.ImageToTensorCalculatorOptions.ext] {
      output_tensor_width: 192
      output_tensor_height: 192
      output_tensor_float_range { min: 0.0 max: 1.0 }
    }
  }
}
node {
  calculator: "InferenceCalculator"
  input_stream: "TENSORS:input"
  input_side_packet: "MODEL:model"
  input_side_packet: "OP_RESOLVER:op_resolver"
  output_stream: "TENSORS:output"
  options: { [mediapipe.InferenceCalculatorOptions.ext] { delegate { xnnpack {} } } }
}
node {
  calculator: "SplitTensorVectorCalculator"
  input_stream: "output"
"""
Array = npt.NDArray[Any]


def draw() -> npt.NDArray[np.uint8]:
    """Draw a picture (192, 192, 3) that needs no file: a bright oval with darker eyes and mouth."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    light = 0.3 + 0.2 * x
    for middle_x, middle_y, size, change in ((0.5, 0.5, 0.3, 0.4), (0.38, 0.42, 0.05, -0.4), (0.62, 0.42, 0.05, -0.4)):
        light += change * np.exp(-((x - middle_x) ** 2 + (y - middle_y) ** 2) / size**2)
    light -= 0.3 * np.exp(-(((x - 0.5) / 0.09) ** 2) - ((y - 0.68) / 0.03) ** 2)
    return np.asarray(np.clip(np.rint(light[..., None] * (255, 200, 170)), 0, 255), np.uint8)


def find(media: Path, wanted: str) -> Path:
    """Return the file of a case."""
    return sorted(media.glob(wanted))[0]


def cut_crops(media: Path) -> dict[str, Any]:
    """Cut the faces of all cases out as the mesh network wants them: files, frames, squares (N, 4) and crops."""
    from itertools import islice

    from vid2vid_cli.face.mesh import roi_from_landmarks
    from vid2vid_cli.face.square import Square, crop_square
    from vid2vid_cli.media.image import read_image
    from vid2vid_cli.media.video import read_video
    from vid2vid_cli.models.registry import load_face_analyzer

    squares, crops = [], []
    for wanted, number in CASES:
        path = find(media, wanted)
        frame = next(islice(read_video(path), number, None)) if path.suffix == ".mp4" else read_image(path)
        face = max(load_face_analyzer().faces(frame, thorough=True), key=lambda face: face.size_px)
        roi = roi_from_landmarks(face.landmarks_px)
        square = [round(value, 4) for value in (roi.x_px, roi.y_px, roi.size_px, roi.angle_rad)]
        squares.append(square)
        crops.append(crop_square(frame, Square(*square), SIZE))
    files = [find(media, wanted).relative_to(media).as_posix() for wanted, _ in CASES]
    numbers = [number for _, number in CASES]
    # And a drawn picture, for which a test needs no files.
    return {
        "files": np.array([*files, "drawn"]),
        "frames": np.array([*numbers, 0]),
        "squares": np.array([*squares, [0.0] * 4]),
        "crops": np.stack([*crops, draw()]),
    }


def graph_text() -> str:
    """Return MediaPipe's graph that runs the network and gives each of its outputs as numbers."""
    split = "".join(f'  output_stream: "tensor_{name}"\n' for name in OUTPUTS)
    ranges = " ".join(f"ranges: {{ begin: {i} end: {i + 1} }}" for i in range(len(OUTPUTS)))
    floats = "".join(
        f'node {{ calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:tensor_{name}" '
        f'output_stream: "FLOATS:{name}" }}\n'
        for name in OUTPUTS
    )
    return f"{GRAPH}{split}  options: {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{ {ranges} }} }}\n}}\n{floats}"


def answer(crops: Array) -> Iterator[dict[str, Array]]:
    """Yield the network's raw outputs for crops (N, 192, 192, 3) of uint8, in the order of OUTPUTS."""
    import mediapipe
    from mediapipe.python import packet_creator, packet_getter
    from mediapipe.python._framework_bindings import calculator_graph, image_frame, resource_util

    resource_util.set_resource_dir(str(Path(mediapipe.__file__).parents[1]))
    graph = calculator_graph.CalculatorGraph(graph_config=graph_text())
    found: dict[str, Array] = {}
    for name in OUTPUTS:
        graph.observe_output_stream(
            name, lambda stream, packet: found.update({stream: np.array(packet_getter.get_float_list(packet))})
        )
    graph.start_run({"with_attention": packet_creator.create_bool(True)})
    for time, crop in enumerate(crops):
        frame = packet_creator.create_image_frame(
            data=np.ascontiguousarray(crop), image_format=image_frame.ImageFormat.SRGB
        )
        graph.add_packet_to_input_stream("image", frame.at(time))
        graph.wait_until_idle()
        yield {name: found[name].astype(np.float32) for name in OUTPUTS}
    graph.close_all_packet_sources()
    graph.wait_until_done()


def main() -> None:
    """Run one of the two steps from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("cut", "answer"))
    parser.add_argument("input", type=Path, help="MEDIA, or the crops of the first step")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if options.step == "cut":
        np.savez_compressed(options.output, **cut_crops(options.input))
        return
    with np.load(options.input) as cut:
        answers = list(answer(cut["crops"]))
        outputs: dict[str, Any] = {name: np.stack([one[name] for one in answers]) for name in OUTPUTS}
        kept: dict[str, Any] = {name: cut[name] for name in ("files", "frames", "squares")}
    np.savez_compressed(options.output, **kept, **outputs)


if __name__ == "__main__":
    main()
