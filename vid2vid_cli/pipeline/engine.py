"""What every pipeline needs to begin: the model, the face networks, the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.models.checkpoint import embedded_checkpoint
from vid2vid_cli.models.device import choose_device, set_threads
from vid2vid_cli.models.registry import LoadedModel, load_face_analyzer, load_model
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import EngineOptions


@dataclass(frozen=True)
class Engine:
    """A loaded model and the face networks, on their device, and what is remembered of earlier jobs."""

    loaded: LoadedModel
    analyzer: FaceAnalyzer
    device: torch.device
    memory: Memory | None = None


def start_engine(options: EngineOptions, model: LoadedModel | None, memory: Memory | None = None) -> Engine:
    """Load what the options name, or take the model that the caller has loaded already."""
    set_threads(options.threads)
    device = choose_device(options.device)
    loaded = model or load_model(options.checkpoint)
    loaded.model.to(device, getattr(torch, options.dtype))
    if memory is not None:
        memory = memory.for_engine(loaded.sha256, embedded_checkpoint().sha256, str(device), options.dtype)
    return Engine(loaded, load_face_analyzer(), device, memory)
