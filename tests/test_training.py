"""What training does to networks and back, where nothing would show a mistake but worse pictures."""

from __future__ import annotations

import copy

import torch
from torch import nn

from training.normalize import add_norms, fold_norms, normalize_as
from training.prune_channels import prune_channels
from vid2vid_cli.models.compact.learned.networks import FlowNet, LearnedParts, Painter, SourceEncoder, Widths


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


def make_hourglasses(flow: Widths, painter: Widths) -> LearnedParts:
    return LearnedParts(SourceEncoder(8), FlowNet(8, flow), Painter(8, painter)).eval()


def let_run(parts: LearnedParts) -> list[torch.Tensor]:
    inputs = torch.Generator().manual_seed(2)
    nets = parts.flow_net.net, parts.painter.net
    with torch.no_grad():
        return [net(torch.randn(2, net.enter.in_channels, 16, 16, generator=inputs)) for net in nets]


def test_narrower_networks_keep_the_channels_that_matter() -> None:
    torch.manual_seed(3)
    narrow = make_hourglasses(Widths(4, 6, 8), Widths(6, 8, 10))
    wide = make_hourglasses(Widths(7, 9, 12), Widths(9, 11, 15))
    for parameter in wide.parameters():
        nn.init.zeros_(parameter)
    slim_into(narrow, wide)
    with torch.no_grad():  # channels that nothing reads, however strong they are
        for net in (wide.flow_net.net, wide.painter.net):
            net.enter.bias[-1] = net.down1.bias[-1] = net.down2.bias[-1] = 5.0
    found = make_hourglasses(Widths(4, 6, 8), Widths(6, 8, 10))
    prune_channels(wide, found, lambda: let_run(wide))
    for seen, wanted in zip(let_run(found), let_run(narrow), strict=True):
        assert float(wanted.abs().max()) > 0.01
        assert torch.allclose(seen, wanted, atol=1e-5)


def slim_into(narrow: LearnedParts, wide: LearnedParts) -> None:
    """Put narrow networks into the first channels of wide ones that are all zero."""
    wide.encoder.load_state_dict(narrow.encoder.state_dict())
    for small, large in ((narrow.flow_net.net, wide.flow_net.net), (narrow.painter.net, wide.painter.net)):
        for name, conv in small.named_modules():
            if not isinstance(conv, nn.Conv2d):
                continue
            there = large.get_submodule(name)
            inputs = torch.arange(conv.in_channels)
            if name in ("up1", "up2"):  # what comes from below, then what is kept at this size
                below = {"up1": small.down2, "up2": small.up1}[name].out_channels
                gap = {"up1": large.down2, "up2": large.up1}[name].out_channels - below
                inputs = torch.where(inputs < below, inputs, inputs + gap)
            with torch.no_grad():
                there.weight[: conv.out_channels, inputs] = conv.weight
                there.bias[: conv.out_channels] = conv.bias
