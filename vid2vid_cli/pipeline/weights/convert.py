"""Inspect a file of weights, and rewrite it without what only training needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from vid2vid_cli.checkpoints.reading import (
    LoadedFile,
    checkpoint_files,
    embedded_checkpoint,
    find_checkpoint,
    read_checkpoint,
)
from vid2vid_cli.checkpoints.tensor_names import recognise, recognise_role, why_no_family
from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.provenance import Ingredient, Provenance
from vid2vid_cli.media.publishing import published
from vid2vid_cli.models.registry import FAMILIES
from vid2vid_cli.pipeline.weights.options import ConvertOptions

COUNTER = "num_batches_tracked"  # training steps of a batch norm: rendering does not need it
SMALL = 4096
"""Smaller tensors, and those of one dimension, keep float32: norms, biases and fixed filters cost little."""


@dataclass(frozen=True)
class WeightsInfo:
    """What a file of weights holds.

    bytes: on disk. family, variant: None if unknown. parameters: numbers in all tensors. dtypes: tensors of each.
    missing, unexpected: names, compared with the variant as it was published.
    problem: why no model can be made from it, as far as the names tell.
    """

    path: Path
    bytes: int
    sha256: str
    family: str | None
    variant: str | None
    tensors: int
    parameters: int
    dtypes: dict[str, int]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    problem: str


@dataclass(frozen=True)
class Converted:
    """The result of a conversion. bytes: (before, after). left_out: networks that the family does not use."""

    output: Path
    info: WeightsInfo
    bytes: tuple[int, int]
    left_out: tuple[str, ...]


def inspect_weights(name: str) -> WeightsInfo:
    """Describe a file or folder of weights, or a checkpoint of the catalogue."""
    return _describe(read_checkpoint(find_checkpoint(name)))


def convert_weights(name: str, output: str | Path, options: ConvertOptions | None = None) -> Converted:
    """Write weights of any layout as one flat safetensors file, without optimisers, discriminators and unused networks.

    The file appears when it is whole. UsageError, WeightsError, MediaError or OutputExistsError says why not.
    """
    options, target = options or ConvertOptions(), Path(output)
    if target.suffix.lower() != ".safetensors":
        raise UsageError(f"{target}: weights are written as .safetensors; use that suffix")
    path = find_checkpoint(name)
    files = checkpoint_files(path)
    # Before the file is read, which takes seconds: a typing error should not have to wait.
    check_output(target, force=options.force, inputs=files, is_file=True)
    loaded = read_checkpoint(path)
    info = _describe(loaded)
    if info.problem:
        raise WeightsError(f"{path}: {info.problem}")
    # A root is what stands before the first dot: one network, which is kept or left out whole.
    layout, roots = recognise(loaded.tensors), {name.split(".")[0] for name in loaded.tensors}
    used = roots & layout.roots if layout else roots
    kept = {name: tensor for name, tensor in loaded.tensors.items() if name.split(".")[0] in used}
    try:
        stored = {name: _stored(name, tensor, options.dtype) for name, tensor in kept.items()}
    except OverflowError as error:
        raise WeightsError(f"{path}: {error}") from error
    inputs = tuple(Ingredient("weights", file) for file in files)
    provenance = Provenance(inputs=inputs, settings=vars(options))
    with published(target, provenance, force=options.force) as whole:
        _write(target, whole, stored, _metadata(loaded, info))
        made = replace(_describe(read_checkpoint(whole)), path=target)  # it can be read back: only now it gets its name
    sizes = (info.bytes, target.stat().st_size)
    return Converted(target, made, sizes, tuple(sorted(roots - used)))


def _describe(loaded: LoadedFile) -> WeightsInfo:
    names = loaded.tensors.keys()
    layout = recognise(names)
    family, expected = (layout.family, layout.names) if layout else (_family_of(loaded), frozenset[str]())
    if any(known.is_embedded for known in FAMILIES if known.name == family):
        expected = frozenset(embedded_checkpoint().tensors)
    return WeightsInfo(
        loaded.path,
        sum(file.stat().st_size for file in checkpoint_files(loaded.path)),
        loaded.sha256,
        family or ("liveportrait" if recognise_role(names) else None),
        layout.variant if layout else recognise_role(names),
        len(names),
        sum(tensor.numel() for tensor in loaded.tensors.values()),
        dict(Counter(str(tensor.dtype).removeprefix("torch.") for tensor in loaded.tensors.values()).most_common()),
        tuple(sorted(name for name in expected - names if not name.endswith(COUNTER))),
        tuple(sorted(names - expected)) if expected else (),
        "" if family and not (layout and layout.refused) else why_no_family(names, _known_families()),
    )


def _family_of(loaded: LoadedFile) -> str | None:
    return next((family.name for family in FAMILIES if family.detect(loaded.tensors)), None)


def _known_families() -> list[str]:
    return list(dict.fromkeys([*(family.name for family in FAMILIES), "facevid2vid", "liveportrait", "fomm"]))


def _stored(name: str, tensor: Tensor, dtype: str) -> Tensor:
    """Return a tensor as it is stored: large weights in the requested type, other floats in float32."""
    if not tensor.is_floating_point():
        return tensor.contiguous()
    is_large = tensor.dim() > 1 and tensor.numel() >= SMALL
    stored = tensor.to(torch.float16 if is_large and dtype == "float16" else torch.float32).contiguous()
    # float16 ends at 65504. What was infinite before is no fault of the conversion.
    if not torch.isfinite(stored).all() and torch.isfinite(tensor).all():
        raise OverflowError(f"{name} has numbers that float16 cannot hold; convert with --dtype float32")
    return stored


def _metadata(loaded: LoadedFile, info: WeightsInfo) -> dict[str, str]:
    """Return metadata that says what the file was converted from."""
    origin = {"converted_from": loaded.path.name, "converted_sha256": loaded.sha256}
    return {**loaded.metadata, **origin, "family": info.family or "", "variant": info.variant or ""}


def _write(target: Path, whole: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file under its temporary name. target: its final name, for messages."""
    # safetensors refuses tensors that share memory: each name gets its own copy.
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if tensor.data_ptr() in seen:
            tensors[name] = tensor.clone()
        seen.add(tensor.data_ptr())
    try:
        save_file(tensors, whole, metadata)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"{target}: cannot be written: {reason}; choose another folder") from error
