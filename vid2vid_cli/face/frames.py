"""The one place where frames become images for a network, and images become frames.

A frame is uint8 RGB (H, W, 3) in numpy. An image is float RGB (B, 3, H, W) in [0, 1] in torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Frame


def image_of(frame: Frame, device: torch.device | str = "cpu") -> Tensor:
    """Return a frame (H, W, 3) as an image (1, 3, H, W) on a device."""
    # The copy makes read-only frames, such as Pillow's, writable: torch warns about others.
    pixels = torch.from_numpy(np.array(frame)).to(device)
    # The batch axis comes last on purpose. In front of the permutation it would make torch take the image for
    # channels last, and choose convolutions whose last bits differ.
    return pixels.permute(2, 0, 1)[None].float() / 255


def images_of(crops: Sequence[Frame], device: torch.device) -> Tensor:
    """Stack crops of one size to an image (B, 3, H, W) on a device, channels last in memory."""
    stacked = torch.from_numpy(np.stack(crops)).to(device)
    return stacked.permute(0, 3, 1, 2).float().div_(255)


def frame_of(image: Tensor) -> Frame:
    """Return an image (1, 3, H, W), clipped to [0, 1], as a frame (H, W, 3)."""
    return to_frame(image[0].permute(1, 2, 0).cpu().numpy())


def to_frame(image: NDArray[np.float32]) -> Frame:
    """Round an array (H, W, 3), clipped to [0, 1], to a frame that is contiguous whatever the array's strides."""
    # OpenCV rounds a plane in a tenth of numpy's time. It takes absolute values, so clip below 0 first.
    planes = np.moveaxis(np.clip(image, 0, 1, dtype=np.float32), -1, 0)
    return np.asarray(cv2.merge([cv2.convertScaleAbs(plane, alpha=255) for plane in planes]), np.uint8)
