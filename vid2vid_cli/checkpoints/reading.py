"""Find files of weights and read them into one flat mapping from names to tensors, whatever their layout.

Nothing in a file is ever run: it is safetensors, or a pickle from which PyTorch's own restricted reader takes tensors
and plain containers only.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from pickle import UnpicklingError  # the class of an error; nothing is unpickled with it

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vid2vid_cli.checkpoints import catalogue
from vid2vid_cli.checkpoints.cache import (
    EMBEDDED,
    EMBEDDED_SPEECH,
    EMBEDDED_SURROUNDINGS,
    SUFFIXES,
    bundled_file,
    find_pulled,
    known_sha256,
)
from vid2vid_cli.checkpoints.file_format import NotWeightsError, format_of
from vid2vid_cli.checkpoints.tensor_names import ROLES
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.hashing import hash_file
from vid2vid_cli.home import under_home
from vid2vid_cli.near_names import hint_at, nearest_file, nearest_name

__all__ = [
    "EMBEDDED",
    "EMBEDDED_SPEECH",
    "EMBEDDED_SURROUNDINGS",
    "LoadedFile",
    "bundled_file",
    "checkpoint_files",
    "embedded_checkpoint",
    "embedded_speech",
    "embedded_surroundings",
    "find_checkpoint",
    "flatten",
    "read_checkpoint",
]

# Where the five files of liveportrait may be, seen from the folder that is named.
ROLE_FOLDERS = ("", "base_models", "retargeting_models", "liveportrait/base_models", "liveportrait/retargeting_models")
# What only training needs, in the names of the public repositories.
TRAINING_ONLY = re.compile(r"(discriminator|optimizer_\w+)(\.|$)")
# Real checkpoints have some thousand tensors, three dicts deep; more is a file made to exhaust us.
MAX_TENSORS = 100_000
MAX_DEPTH = 8


@dataclass(frozen=True)
class LoadedFile:
    """Weights in memory: tensors by name, metadata, and where they come from.

    path: a file, or the folder of several. sha256: of the file, or of the names and hashes of the folder's files.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str


def find_checkpoint(name: str) -> Path:
    """Return the file or folder that a checkpoint's name or path means. Pulled files are checked first."""
    if name == catalogue.DEFAULT_CHECKPOINT:
        return bundled_file("weights", EMBEDDED)
    checkpoint = catalogue.named(name)
    if checkpoint is not None:
        return find_pulled(checkpoint)
    path = under_home(name)
    if os.path.exists(path):  # noqa: PTH110  Path.exists raises for a name that is too long
        return path
    if os.sep in name or path.suffix:
        cure = hint_at(nearest_file(path), "give its path, or leave -c out for the embedded one")
        raise WeightsError(f"{name}: no such checkpoint file; {cure}")
    known = [checkpoint.name for checkpoint in catalogue.CATALOGUE]
    cure = hint_at(nearest_name(name, known), f"known are {', '.join(known)}")
    raise WeightsError(f"{name}: not a checkpoint that vid2vid knows, and no such file; {cure}")


def read_checkpoint(path: Path) -> LoadedFile:
    """Read weights: a safetensors file, a PyTorch checkpoint (.pth, .pth.tar, .pt), or a folder of them.

    Names of nested dicts are joined by dots, a leading "module." is removed, and what only training needs
    (discriminators, optimisers, counters) is left out. Large files are memory-mapped if their format allows.
    A folder holds one file, the five files of liveportrait (each tensor under the name of its file), or SadTalker's
    file and a facevid2vid file that lends it its estimator. WeightsError says what else a file is.
    """
    return _read_folder(path) if path.is_dir() else _read_file(path)


def checkpoint_files(path: Path) -> list[Path]:
    """List the files that make up a checkpoint: the file itself, or those of a folder."""
    if not path.is_dir():
        return [path]
    try:
        roles = [file for role in ROLES if (file := _role_file(path, role)) is not None]
        found = roles or sorted(file for file in path.iterdir() if file.name.endswith(SUFFIXES) and file.is_file())
    except OSError as error:
        raise _unreadable(path, error) from error
    if not found:
        raise WeightsError(
            f"{path}: a folder without weights; name one that holds .safetensors, .pth or .pth.tar files"
        )
    return found


def _read_file(path: Path) -> LoadedFile:
    try:
        is_safetensors = format_of(path) == "safetensors"
        sha256 = known_sha256(path) or hash_file(path)
        tensors, metadata = _read_safetensors(path) if is_safetensors else (_read_torch(path), {})
        return LoadedFile(path, flatten(tensors), metadata, sha256)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (SafetensorError, NotWeightsError) as error:
        problem = error if isinstance(error, NotWeightsError) else NotWeightsError(f"damaged or truncated ({error})")
        raise WeightsError(f"{path}: not a readable checkpoint: {problem}; {problem.cure}") from error


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_torch(path: Path) -> object:
    """Read a file with PyTorch's restricted unpickler, which builds tensors and plain containers only."""
    is_zip = format_of(path) == "torch zip"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old files, such as that TypedStorage is deprecated
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except UnpicklingError as error:
        raise NotWeightsError(_refused(str(error)), "get it elsewhere, ideally as safetensors") from error
    except Exception as error:  # a damaged pickle may raise anything, even OSError; the file itself was readable before
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise NotWeightsError(f"a damaged or truncated PyTorch file ({reason})") from error


def _refused(reason: str) -> str:
    """Say why the restricted unpickler stopped: because of what the pickle would call, or because it is damaged."""
    wanted = re.search(r"(?:global:|unsupported) GLOBAL ([\w.]+)", reason, re.IGNORECASE)
    if wanted is not None:
        return f"a pickle that would run foreign code ({wanted[1]}), which vid2vid does not open for safety"
    if "nsupported" in reason:  # an opcode or a protocol
        return "a pickle that PyTorch did not write, which vid2vid does not open for safety"
    return "a damaged pickle"


def flatten(tree: object) -> dict[str, Tensor]:
    """Return the tensors of nested dicts by their dotted paths, as `read_checkpoint` describes."""
    flat: dict[str, Tensor] = {}
    for name, tensor in _leaves(tree, "", 0):
        if TRAINING_ONLY.match(name):
            continue
        flat[name] = _plain(name, tensor)
        if len(flat) > MAX_TENSORS:
            raise NotWeightsError(f"a file with more than {MAX_TENSORS} tensors, not weights")
    if not flat:
        raise NotWeightsError("a file without any tensors")
    return flat


def _leaves(node: object, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield name, node
    elif isinstance(node, Mapping):
        if depth > MAX_DEPTH:
            raise NotWeightsError("a file whose dicts are nested too deep, not weights")
        for key, value in node.items():
            if isinstance(key, str):
                # DataParallel, in which the public checkpoints were trained, wraps each network.
                short = key.removeprefix("module.")
                yield from _leaves(value, f"{name}.{short}" if name else short, depth + 1)


def _plain(name: str, tensor: Tensor) -> Tensor:
    """Check that a tensor is of the plain kind that networks take, and really holds as many numbers as it claims."""
    # A view may be larger than its storage: reading it would read other memory.
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not is_plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise NotWeightsError(f"a file whose tensor {name[:80]} is not made of plain numbers")
    return tensor.detach() if tensor.dtype != torch.float16 or _widens_half() else _widened(tensor)


@cache
def _widens_half() -> bool:
    """Say whether torch can turn float16 into float32. It cannot where /proc is missing, as in a bare chroot."""
    try:
        torch.zeros(1, dtype=torch.float16).float()
    except RuntimeError:  # it knows no processor; NNPACK cannot work then, and would say so at every convolution
        torch.backends.nnpack.set_flags(False)  # type: ignore[no-untyped-call]
        return False
    return True


def _widened(tensor: Tensor) -> Tensor:
    return torch.from_numpy(tensor.detach().numpy().astype(np.float32))


def _role_file(folder: Path, role: str) -> Path | None:
    places = (folder / inner / f"{role}{suffix}" for inner in ROLE_FOLDERS for suffix in SUFFIXES)
    return next((place for place in places if place.is_file()), None)


def _read_folder(folder: Path) -> LoadedFile:
    files = checkpoint_files(folder)
    roles = {role: file for role in ROLES if (file := _role_file(folder, role)) is not None}
    if roles:
        missing = [role for role in ROLES if role not in roles]
        if missing:
            raise WeightsError(f"{folder}: {missing[0]}.pth is missing of liveportrait's five files; put it there")
        read = {role: _read_file(file) for role, file in roles.items()}
        tensors = {f"{role}.{name}": tensor for role, file in read.items() for name, tensor in file.tensors.items()}
        return _joined(folder, list(read.values()), tensors)
    if len(files) == 1:
        return _read_file(files[0])
    return _read_with_estimator(folder, [_read_file(file) for file in files])


def _read_with_estimator(folder: Path, files: list[LoadedFile]) -> LoadedFile:
    """Give SadTalker's networks the estimator of the facevid2vid file beside them."""
    renderers = [file for file in files if "kp_extractor.kp.weight" in file.tensors]
    lenders = [file for file in files if "he_estimator.fc_yaw.weight" in file.tensors]
    if len(files) != 2 or len(renderers) != 1 or len(lenders) != 1 or renderers == lenders:
        names = ", ".join(file.path.name for file in files[:5])
        raise WeightsError(f"{folder}: which of its weights is meant ({names})? Name one file with -c")
    lent = {name: t for name, t in lenders[0].tensors.items() if name.startswith("he_estimator.")}
    return _joined(folder, files, {**renderers[0].tensors, **lent})


def _joined(folder: Path, files: list[LoadedFile], tensors: dict[str, Tensor]) -> LoadedFile:
    # As sha256sum prints them, so that a user can compute the same.
    lines = "".join(f"{file.sha256}  {file.path.name}\n" for file in files)
    return LoadedFile(folder, tensors, {}, hashlib.sha256(lines.encode()).hexdigest())


@lru_cache(maxsize=1)
def embedded_checkpoint() -> LoadedFile:
    """Return the embedded checkpoint, read once. It holds the face networks that every family needs."""
    return read_checkpoint(bundled_file("weights", EMBEDDED))


def embedded_speech() -> LoadedFile:
    """Return the checkpoint beside the embedded one that hears speech. Nothing else needs it."""
    return read_checkpoint(bundled_file("weights", EMBEDDED_SPEECH))


def embedded_surroundings() -> LoadedFile:
    """Return the basis of what moves beside a head. Only calls need it."""
    return read_checkpoint(bundled_file("weights", EMBEDDED_SURROUNDINGS))
