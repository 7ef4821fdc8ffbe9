"""The encoder of Whisper tiny.en: 30 s of sound to features at 50 Hz (Radford et al., 2022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.speech.log_mel import BANDS, SAMPLE_RATE, LogMel

CHANNELS, HEADS, LAYERS, WIDER = 384, 6, 4, 4
WINDOW_S, FEATURES_HZ = 30, 50
WINDOW = WINDOW_S * SAMPLE_RATE  # samples
POSITIONS = WINDOW_S * FEATURES_HZ


class Block(nn.Module):
    """Attention and two pointwise layers, each on normalised features and added to them."""

    def __init__(self, channels: int = CHANNELS, heads: int = HEADS) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(channels)
        self.attention_in = nn.Linear(channels, 3 * channels)  # queries, keys, values
        self.attention_out = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, WIDER * channels)
        self.narrow = nn.Linear(WIDER * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, T, C) to (B, T, C)."""
        queries, keys, values = self.attention_in(self.attention_norm(x)).chunk(3, -1)
        heads = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (queries, keys, values))
        attended = functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        x = x + self.attention_out(attended)
        y: Tensor = x + self.narrow(functional.gelu(self.wide(self.norm(x))))
        return y


class SpeechEncoder(nn.Module):
    """Hears 30 s of sound."""

    positions: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, CHANNELS, 3, padding=1)
        self.conv2 = nn.Conv1d(CHANNELS, CHANNELS, 3, stride=2, padding=1)
        self.register_buffer("positions", torch.zeros(POSITIONS, CHANNELS))
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(CHANNELS)
        self.log_mel = LogMel()

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map log-mel (B, 80, 2 T), scaled as LogMel does, to features (B, T, 384) at 50 Hz; T is at most 1500."""
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(log_mel)))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        y: Tensor = self.norm(x)
        return y

    @torch.inference_mode()
    def encode(self, sound: Tensor) -> Tensor:
        """Return the features (1500, 384) of sound (N,) at 16 kHz in [-1, 1], at most 30 s: silence follows it."""
        padded = functional.pad(sound, (0, WINDOW - len(sound)))
        features: Tensor = self(self.log_mel.scaled(padded)[None])[0]
        return features
