"""Large convolutions of volumes, computed as convolutions of maps."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.models.layers.blocks import Convolution


class SpectralConv(nn.Module):
    """A convolution of volumes, by spectra along depth and by taps in height and width.

    Each frequency is convolved alone (convolution theorem): for 16 slices and 7 taps there are 10 complex frequencies,
    of four real products each, instead of 100 pairs of slice and tap. A transform this short is a matrix, and a
    well-conditioned one. The way back is computed in float32, which is also the dtype of the result.
    """

    def __init__(self, conv: Convolution, depth: int) -> None:
        """depth: of the volumes that it will get."""
        super().__init__()
        taps = conv.kernel_size[0]
        self.depth, self.padding, self.bias = depth, conv.padding[1:], conv.bias
        self.length = depth + taps // 2  # padded, so that what wraps around meets zeros
        self.count = self.length // 2 + 1
        cosine, sine = self._waves(torch.arange(taps, dtype=torch.float64) - taps // 2)
        kernel = conv.weight.double()
        parts = [torch.einsum("ft,octhw->fochw", wave, kernel) for wave in (cosine, sine)]
        self.weight = nn.Parameter(torch.cat(parts, 1).to(conv.weight.dtype), requires_grad=False)

    def forward(self, volume: Tensor) -> Tensor:
        """Map volumes (B, C, D, H, W) to (B, C', D, H, W), float32."""
        made = [
            functional.conv2d(maps, weight, padding=self.padding)
            for maps, weight in zip(self._spectra(volume), self.weight, strict=True)
        ]
        products = widened(torch.stack(made))
        return self._back(products.reshape(self.count, len(volume), 2, 2, -1, *volume.shape[3:]))

    def _spectra(self, volume: Tensor) -> list[Tensor]:
        """Return for each frequency the maps (2 B, C, H, W) of its real and imaginary parts."""
        cosine, sine = self._waves(torch.arange(self.depth, device=volume.device))
        matrix = torch.stack([cosine, -sine], 1).flatten(0, 1).to(volume.dtype)
        slices = volume.permute(0, 2, 3, 4, 1)
        spectra = (matrix @ slices.flatten(2)).reshape(len(volume), self.count, 2, *slices.shape[2:])
        return [one.flatten(0, 1).permute(0, 3, 1, 2) for one in spectra.unbind(1)]

    def _back(self, made: Tensor) -> Tensor:
        """Return volumes from products (F, B, 2, 2, C', H, W) of parts of the spectrum and parts of the kernel."""
        cosine, sine = self._waves(torch.arange(self.depth, device=made.device))
        matrix = torch.stack([cosine, -sine, -sine, -cosine], -1).reshape(*cosine.shape, 2, 2) / self.length
        is_own_mirror = 2 * torch.arange(self.count, device=made.device) % self.length == 0
        matrix = matrix * torch.where(is_own_mirror, 1, 2)[:, None, None, None]  # for the frequencies left out
        volume = torch.einsum("fdpq,fbpqohw->bodhw", matrix.to(made.dtype), made)
        return volume if self.bias is None else volume + self.bias.to(volume.dtype)[:, None, None, None]

    def _waves(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine (F, N) of each frequency at places (N,) along depth, in float64."""
        frequencies = torch.arange(self.count, device=places.device)
        angles = 2 * math.pi / self.length * frequencies[:, None].double() * places
        return angles.cos(), angles.sin()


class TapConv(nn.Module):
    """A convolution of volumes, flattened to maps, to ONE channel: a product for each tap, then a sum of shifted maps.

    With one output channel a convolution leaves the arithmetic units idle; with its taps as channels it does not.
    """

    def __init__(self, conv: nn.Conv2d, depth: int) -> None:
        """conv: takes volumes flattened to channel * depth + slice."""
        super().__init__()
        self.side, self.bias = conv.kernel_size[0], conv.bias
        taps = conv.weight[0].flatten(1).flip(1).T  # flipped: what a pixel adds to its neighbours
        self.weight = nn.Parameter(taps.reshape(len(taps), -1, depth, 1, 1), requires_grad=False)

    def forward(self, volume: Tensor) -> Tensor:
        """Map volumes (B, C, D, H, W) to maps (B, 1, H, W), float32."""
        products = widened(functional.conv3d(volume, self.weight)).flatten(2)
        summed = functional.fold(products, volume.shape[3:], self.side, padding=self.side // 2)
        return summed if self.bias is None else summed + self.bias.to(summed.dtype)


def widened(x: Tensor) -> Tensor:
    """Return half-precision numbers in float32, others as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
