"""What every pipeline starts with: the model, the face networks, the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.face.alignment import load_alignment
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.models.device import choose_device, choose_dtype, set_threads
from vid2vid_cli.models.registry import LoadedModel, load_face_analyzer, load_model
from vid2vid_cli.pipeline.family_request import apply_request
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import EngineOptions


@dataclass(frozen=True)
class Engine:
    """A loaded model and the face networks, on their device. memory: results of earlier jobs."""

    loaded: LoadedModel
    analyzer: FaceAnalyzer
    device: torch.device
    memory: Memory | None = None


def start_engine(options: EngineOptions, model: LoadedModel | None, memory: Memory | None = None) -> Engine:
    """Load what the options name, or take a model that the caller has loaded."""
    set_threads(options.threads)
    device = choose_device(options.device)
    loaded = model or load_model(options.checkpoint)
    loaded = apply_request(loaded, options)
    dtype = choose_dtype(options.dtype)
    loaded.model.to(device, dtype)
    if memory is not None:  # what is remembered holds for this checkpoint, device and precision only
        computed = f"{str(dtype).removeprefix('torch.')} {options.detector}"
        memory = memory.for_engine(loaded.sha256, embedded_checkpoint().sha256, str(device), computed)
    return Engine(loaded, _face_analyzer(options), device, memory)


def _face_analyzer(options: EngineOptions) -> FaceAnalyzer:
    analyzer = load_face_analyzer()
    if options.detector == "built-in":
        return analyzer
    # Its points only say where to lay the mesh, so that everything after it is the same.
    return FaceAnalyzer(load_alignment("cpu"), analyzer.mesh_net)
