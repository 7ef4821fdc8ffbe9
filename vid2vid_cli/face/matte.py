"""Masks that tell a person from the background, of frames and images of any size."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.fast_matte import FastMatte
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.matte_network import MatteNetwork

__all__ = ["Mask", "MatteNetwork", "PersonMatte"]

Mask = NDArray[np.float32]  # (H, W) in [0, 1]: 1 where the person is

# The network is unsure at edges that are plain to see: its answers are drawn away from a half.
CONTRAST = 2.0
REACH_PX = 5  # of the network's picture: how far hair reaches from what is certain
QUICK_SIZE = 192  # px: of a smaller picture; it has no fixed size, but for a multiple of 32
SMALL_PATCH = 0.2  # of the largest patch
SMALL_HOLE = 0.003  # of the picture


class PersonMatte:
    """Make masks of frames of any size. It holds the network and no state."""

    def __init__(self, network: MatteNetwork) -> None:
        """Take the network. On the CPU, its fast twin answers in its place."""
        self.network = network
        self._fast = FastMatte(network) if next(network.parameters()).device.type == "cpu" else None

    @torch.inference_mode()
    def of_frame(self, frame: Frame, *, quickly: bool = False) -> Mask:
        """Return how much of each pixel of a frame (H, W, 3) is the person: (H, W) float32 in [0, 1].

        quickly: in half of the time, at an edge that is a little less exact.
        """
        size = QUICK_SIZE if quickly else self.network.image_size
        height, width = frame.shape[:2]
        small = _shrink(frame, min(height, width) // size) if quickly else frame
        # Averaging areas when shrinking, as the eye does; there are no areas when enlarging.
        how = cv2.INTER_AREA if min(height, width) > size and not quickly else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(small, (size, size), interpolation=how), np.uint8)
        mask = self._answer(image_of(small, next(self.network.parameters()).device))
        answer = without_specks(mask[0, 0].cpu().numpy())
        return sharpen(np.asarray(cv2.resize(answer, (width, height), interpolation=cv2.INTER_LINEAR), np.float32))

    @torch.inference_mode()
    def of_image(self, image: Tensor) -> Tensor:
        """Return how much of each pixel of an image (B, 3, H, W) is the person: (B, 1, H, W) in [0, 1]."""
        size = self.network.image_size
        height, width = image.shape[2:]
        small = functional.interpolate(image, (size, size), mode="bilinear", antialias=True, align_corners=False)
        masks = [torch.from_numpy(without_specks(mask[0].cpu().numpy())) for mask in self._answer(small)]
        mask = torch.stack(masks)[:, None].to(image.device)
        mask = functional.interpolate(mask, (height, width), mode="bilinear", align_corners=False)
        return ((mask - 0.5) * CONTRAST + 0.5).clamp_(0, 1)

    def _answer(self, image: Tensor) -> Tensor:
        """Ask the network about an image (B, 3, 256, 256): (B, 1, 256, 256) in [0, 1]."""
        answer: Tensor = self.network(image) if self._fast is None else self._fast(image)
        return answer


def _shrink(frame: Frame, times: int) -> Frame:
    """Average a frame over squares of whole pixels, which takes a tenth of the time of others."""
    if times < 2:
        return frame
    size = frame.shape[1] // times, frame.shape[0] // times
    whole = frame[: size[1] * times, : size[0] * times]
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)


def sharpen(mask: Mask) -> Mask:
    """Draw a mask away from a half: at its full size, where that makes no steps."""
    sharp = np.asarray(mask - np.float32(0.5), np.float32)
    sharp *= CONTRAST  # in place: a whole frame takes half of the time
    sharp += 0.5
    return np.asarray(np.clip(sharp, 0, 1, out=sharp), np.float32)


def without_specks(mask: Mask) -> Mask:
    """Drop what hardly belongs to the person from a network's mask (256, 256), and fill small holes in it.

    A patch apart from the person is dropped unless it is large, as a second person is, and so is a shade that reaches
    far from anything certain. What is dark in the middle of somebody is a button or an eye; a gap between arm and body
    is larger, or open.
    """
    labels, areas = _parts(mask > 0.5)
    if not areas.any():
        return mask
    is_large = areas >= SMALL_PATCH * areas.max()
    core = np.asarray(mask > 0.5, np.uint8) if is_large[1:].all() else is_large.astype(np.uint8)[labels]
    near = cv2.dilate(core * 255, np.ones((2 * REACH_PX + 1,) * 2, np.uint8))
    cleaned = np.asarray(mask * (cv2.blur(near, (REACH_PX, REACH_PX)) / np.float32(255)), np.float32)
    labels, areas = _parts(cleaned < 0.98)
    is_hole = (areas > 0) & (areas < SMALL_HOLE * mask.size)
    if is_hole.any():
        cleaned[is_hole[labels]] = 1
    return cleaned


def _parts(is_in: NDArray[np.bool_]) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Number the connected parts of what is in, and count their pixels; number 0 is what is out, its count 0."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(is_in.astype(np.uint8), ltype=cv2.CV_16U)
    areas = np.asarray(stats[:, cv2.CC_STAT_AREA], np.int32)
    areas[0] = 0
    return np.asarray(labels, np.uint16), areas
