"""Put tensors into a checkpoint and keep what else it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vid2vid_cli.hashing import hash_file


def read_existing(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a safetensors file, nothing when there is none yet."""
    if not path.exists():
        return {}, {}
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def update_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], replaces: tuple[str, ...] = ()
) -> None:
    """Write tensors and metadata into a checkpoint; what is there already stays, but for the prefixes in `replaces`."""
    old, old_metadata = read_existing(path)
    old = {name: tensor for name, tensor in old.items() if not (replaces and name.startswith(replaces))}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({**old, **{name: t.contiguous() for name, t in tensors.items()}}, partial, {**old_metadata, **metadata})
    _order_header(partial)
    partial.chmod(0o644)  # the writer makes it readable to its owner only
    partial.replace(path)  # whole or not at all


def _order_header(path: Path) -> None:
    """Sort the metadata of a safetensors file, which its writer leaves in any order: equal contents, equal bytes."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(dict(sorted(header.items())), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of eight
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def renew_sum(path: Path) -> None:
    """Write the checkpoint's hash to SHA256SUMS beside it; the hashes of other files there stay."""
    sums = path.with_name("SHA256SUMS")
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.exists() else []
    kept = [line for line in lines if line.split()[-1:] != [path.name]]
    lines = sorted([*kept, f"{hash_file(path)}  {path.name}"], key=lambda line: line.split()[-1])
    sums.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
