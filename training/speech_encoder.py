"""Put the encoder of Whisper tiny.en into the speech checkpoint.

    python -m training.speech_encoder encoder.safetensors -o weights/speech.safetensors

encoder.safetensors holds the encoder under the names of CTranslate2 (conv1/weight, layer_0/self_attention/linear_0/bias
and so on) in float16. The numbers stay what they are; names and nothing else change.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from training.checkpoint_file import renew_sum, update_checkpoint
from vid2vid_cli.speech.encoder import LAYERS

LAYER_NAMES = {
    "self_attention/layer_norm": "attention_norm",
    "self_attention/linear_0": "attention_in",
    "self_attention/linear_1": "attention_out",
    "ffn/layer_norm": "norm",
    "ffn/linear_0": "wide",
    "ffn/linear_1": "narrow",
}
NUMBER_NAMES = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}
PREFIX = "encoder."


def renamed(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the published tensors under the names of `SpeechEncoder`, as they are stored."""
    layers = {"conv1": "conv1", "conv2": "conv2", "layer_norm": "norm"}
    for number in range(LAYERS):
        layers |= {f"layer_{number}/{old}": f"blocks.{number}.{new}" for old, new in LAYER_NAMES.items()}
    tensors = {f"{PREFIX}positions": published["position_encodings/encodings"]}
    for name, tensor in published.items():
        layer, _, kind = name.rpartition("/")
        if layer in layers:
            tensors[f"{PREFIX}{layers[layer]}.{NUMBER_NAMES[kind]}"] = tensor
    return tensors


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path, help="encoder.safetensors")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint that gets encoder.*")
    options = parser.parse_args(arguments)
    made_from = {"encoder": "Whisper tiny.en (OpenAI, MIT), the encoder alone"}
    update_checkpoint(options.output, renamed(load_file(options.encoder)), made_from, replaces=(PREFIX,))
    renew_sum(options.output)


if __name__ == "__main__":
    main()
