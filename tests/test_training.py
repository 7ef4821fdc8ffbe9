"""What training does to networks and back, where nothing would show a mistake but worse pictures."""

from __future__ import annotations

import copy

import torch
from torch import nn

from training.normalize import add_norms, fold_norms, normalize_as


def test_networks_of_a_checkpoint_go_on_with_normalisations_as_they_were() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2)).eval()
    normed = add_norms(copy.deepcopy(plain))
    for parameter in normed.parameters():
        nn.init.normal_(parameter, std=0.1)  # what it was before must not count
    images = torch.randn(16, 3, 12, 12) * 2 + 1
    with torch.no_grad():
        normalize_as(normed, plain, lambda: plain(images))
        for once_more in (normed.eval(), fold_norms(normed), normed.train()):  # trained on the same images, too
            assert torch.allclose(once_more(images), plain(images), atol=2e-3), type(once_more)
