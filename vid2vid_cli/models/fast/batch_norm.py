"""Batch norms, folded into the convolutions before them once training is over."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(network: nn.Module) -> None:
    """Fold each batch norm of a network that directly follows a convolution; the identity takes its place.

    A layer names such pairs in `NORM_AFTER`. A norm with an activation between it and the next convolution stays.
    """
    for layer in list(network.modules()):
        pairs: Mapping[str, str] = getattr(layer, "NORM_AFTER", {})
        for conv_name, norm_name in pairs.items():
            conv, norm = getattr(layer, conv_name), getattr(layer, norm_name)
            if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
                setattr(layer, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(layer, norm_name, nn.Identity())
