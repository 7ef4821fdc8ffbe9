"""Record a small picture that compact makes, for tests/test_compact_render.py to compare with.

    python tests/golden/make_compact_render.py

To be run after rendering has changed, once the picture has been looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.motion import PoseOverride

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("compact_render.png")
SIDE = 200


@torch.inference_mode()
def render_golden(state: Mapping[str, Tensor]) -> Frame:
    """Turn the head of the example portrait, in a small picture: (about 200, 200, 3)."""
    portrait = read_image(ROOT / "examples" / "portrait.jpg")
    height, width = portrait.shape[:2]
    frame = resize_frame(portrait, (SIDE, round(width * SIDE / height)))
    model, analyzer = CompactModel(state), FaceAnalyzer.from_state(state)
    face = max(analyzer.faces(frame), key=lambda f: f.size_px)
    crop = crop_around(face, model.source_crop, Room.of_frame(frame.shape))
    image = torch.from_numpy(crop_frame(frame, crop).copy()).permute(2, 0, 1)[None].float() / 255
    source = model.appearance(image, torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None])
    pose = PoseOverride(*(torch.tensor([np.deg2rad(angle)], dtype=torch.float32) for angle in (15.0, -5.0, 5.0)))
    rendered = model.render(source, model.drive(source, source.motion, source.motion, pose))
    picture: Frame = (rendered[0].permute(1, 2, 0) * 255).round().byte().numpy()
    return picture


if __name__ == "__main__":
    Image.fromarray(render_golden(load_file(ROOT / "weights" / "compact.safetensors"))).save(GOLDEN)
