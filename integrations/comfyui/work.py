"""What the nodes do. Images are ComfyUI's: float32 RGB (B, H, W, 3) in [0, 1]; masks are (B, H, W) in [0, 1]."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli import load_model, open_scene
from vid2vid_cli import rotate as turn
from vid2vid_cli.arrays import Frame
from vid2vid_cli.media.image import read_image, write_image
from vid2vid_cli.media.video import WriteOptions, open_writer
from vid2vid_cli.models.registry import LoadedModel, load_person_matte
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions


@dataclass(frozen=True, eq=False)
class Person:
    """Who is shown. picture: a frame."""

    picture: Frame
    model: LoadedModel


def load_person(image: Tensor, checkpoint: str) -> Person:
    """Take the first of some images (B, H, W, 3), and load a checkpoint."""
    return Person(next(frames_of(image)), load_model(checkpoint))


def reenact(person: Person, driving: Tensor, fps: float, *, region: Any, strength: float, smooth: float) -> Tensor:
    """Move a person like a clip (B, H, W, 3). Returns as many images, of the size of the person's picture."""
    options = ReenactOptions(region=region, strength=strength, smooth=smooth)
    with tempfile.TemporaryDirectory() as folder:
        clip = _write_driving(Path(folder), driving, fps)
        with open_scene(person.picture, clip, options, model=person.model) as scene:
            bar = _progress_bar(len(driving))
            moved = []
            for frame, _ in scene:
                moved.append(frame)
                bar.update(1)
    return images_of(moved)


def rotate(person: Person, yaw: float, pitch: float, roll: float, expression: str) -> Tensor:
    """Turn a person's head by degrees. Returns one image (1, H, W, 3)."""
    options = RotateOptions(
        yaw=f"{yaw:g}",
        pitch=f"{pitch:g}",
        roll=f"{roll:g}",
        expression=expression.strip() or None,
        credentials=False,  # what is written only to be read again is not signed; nor are the frames of `reenact`
        watermark=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        source, turned = Path(folder) / "person.png", Path(folder) / "turned.png"
        write_image(source, person.picture, provenance=None)
        turn(source, turned, options, model=person.model)
        return images_of([read_image(turned)])


def matte(image: Tensor) -> Tensor:
    """Return a mask (B, H, W) of some images (B, H, W, 3): 1 where a person is."""
    network = load_person_matte()
    return torch.from_numpy(np.stack([network.of_frame(frame) for frame in frames_of(image)]))


def frames_of(images: Tensor) -> Iterator[Frame]:
    """Yield images (B, H, W, 3 or 4) as frames, without their alpha."""
    for image in images:
        yield (image[..., :3].clamp(0, 1) * 255).round().byte().cpu().contiguous().numpy()


def images_of(frames: list[Frame]) -> Tensor:
    """Return frames of one size as images (B, H, W, 3)."""
    return torch.from_numpy(np.stack(frames)).float().div_(255)


def _write_driving(folder: Path, images: Tensor, fps: float) -> Path:
    """Write images as vid2vid reads them, without loss: one as a picture, several as a clip."""
    frames = frames_of(images)
    if len(images) == 1:
        write_image(folder / "driving.png", next(frames), provenance=None)
        return folder / "driving.png"
    writing = WriteOptions(fps=Fraction(fps).limit_denominator(1001), codec="ffv1", provenance=None)
    with open_writer(folder / "driving.mkv", (images.shape[1], images.shape[2]), writing) as writer:
        for frame in frames:
            writer.write(frame)
    return folder / "driving.mkv"


class _NoBar:
    """Stands for ComfyUI's progress bar where there is no ComfyUI."""

    def update(self, count: int) -> None:
        """Show nothing."""


def _progress_bar(total: int) -> Any:
    comfy = sys.modules.get("comfy.utils")
    return _NoBar() if comfy is None else comfy.ProgressBar(total)
