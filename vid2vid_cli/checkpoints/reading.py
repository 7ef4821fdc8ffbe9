"""Find weight files and read them: one flat mapping from names to tensors, whatever the file looked like.

With cache.py and foreign.py the only place of the models' floor that knows paths. Nothing of a file is ever run: it is
safetensors, or a pickle of which PyTorch's own restricted reader takes tensors and plain containers only.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError  # the class of an error; nothing is unpickled with it

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vid2vid_cli.checkpoints import catalogue
from vid2vid_cli.checkpoints.cache import EMBEDDED, SUFFIXES, bundled_file, find_pulled, known_sha256
from vid2vid_cli.checkpoints.file_format import ForeignFileError, format_of
from vid2vid_cli.checkpoints.tensor_names import ROLES
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.hashing import hash_file

__all__ = [
    "EMBEDDED",
    "LoadedFile",
    "bundled_file",
    "checkpoint_files",
    "embedded_checkpoint",
    "find_checkpoint",
    "flatten",
    "read_checkpoint",
]

ROLE_FOLDERS = ("", "base_models", "retargeting_models", "liveportrait/base_models", "liveportrait/retargeting_models")
TRAINING_ONLY = re.compile(r"(discriminator|optimizer_\w+)(\.|$)")
MOST_TENSORS = 100_000
DEEPEST = 8


@dataclass(frozen=True)
class LoadedFile:
    """Weights in memory: tensors by name, metadata, where they lie and their sha256.

    path: a file, or the folder of several; sha256: of the file, or of the names and hashes of the folder's files.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str


def find_checkpoint(name: str) -> Path:
    """Return the file or folder that a checkpoint's name or path means. Pulled files are checked before."""
    if name == catalogue.DEFAULT_CHECKPOINT:
        return bundled_file("weights", EMBEDDED)
    checkpoint = catalogue.named(name)
    if checkpoint is not None:
        return find_pulled(checkpoint)
    path = Path(name).expanduser()
    if os.path.exists(path):  # noqa: PTH110  Path.exists raises for a name that is too long
        return path
    if os.sep in name or path.suffix:
        raise WeightsError(f"{name}: no such checkpoint file; give its path, or leave -c out for the embedded one")
    known = ", ".join(checkpoint.name for checkpoint in catalogue.CATALOGUE)
    raise WeightsError(f"{name}: not a checkpoint that vid2vid knows ({known}) and no such file")


def read_checkpoint(path: Path) -> LoadedFile:
    """Read weights: a safetensors file, a checkpoint of PyTorch (.pth, .pth.tar, .pt), or a folder of such.

    Names of nested dicts are joined by dots, "module." in front of a name is cut, and what only training needs
    (discriminators, optimisers, counters) is left out. Large files are mapped into memory where their format allows.
    A folder holds one file, the five files of liveportrait (each tensor under the name of its file), or SadTalker's
    and a facevid2vid file that lends it its estimator. WeightsError says what a file is when it is something else.
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
    except (SafetensorError, ForeignFileError) as error:
        foreign = error if isinstance(error, ForeignFileError) else ForeignFileError(f"damaged or cut short ({error})")
        raise WeightsError(f"{path}: not a readable checkpoint: {foreign}; {foreign.cure}") from error


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _read_torch(path: Path) -> object:
    """Let PyTorch's restricted unpickler read a file; it builds tensors and plain containers and calls nothing else."""
    is_zip = format_of(path) == "torch zip"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old files: TypedStorage is deprecated, and the like
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except UnpicklingError as error:
        raise ForeignFileError(_refused(str(error)), "get it from another place, best as safetensors") from error
    except Exception as error:  # a damaged pickle may raise anything, also OSError: the file itself was read before
        words = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise ForeignFileError(f"a damaged or cut-short file of PyTorch ({words})") from error


def _refused(words: str) -> str:
    """Say why the restricted unpickler stopped: for what the pickle wanted to call, or because it is damaged."""
    wanted = re.search(r"(?:global:|unsupported) GLOBAL ([\w.]+)", words, re.IGNORECASE)
    if wanted is not None:
        return f"a pickle that would run foreign code ({wanted[1]}), which vid2vid does not open for safety"
    if "nsupported" in words:
        return "a pickle that PyTorch has not written, which vid2vid does not open for safety"
    return "a damaged pickle"


def flatten(tree: object) -> dict[str, Tensor]:
    """Return the tensors of nested dicts by the names of their path, as `read_checkpoint` describes."""
    flat: dict[str, Tensor] = {}
    for name, tensor in _leaves(tree, "", 0):
        if TRAINING_ONLY.match(name):
            continue
        flat[name] = _plain(name, tensor)
        if len(flat) > MOST_TENSORS:
            raise ForeignFileError(f"a file with more than {MOST_TENSORS} tensors, not weights")
    if not flat:
        raise ForeignFileError("a file without any tensors")
    return flat


def _leaves(node: object, name: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield name, node
    elif isinstance(node, Mapping):
        if depth > DEEPEST:
            raise ForeignFileError("a file whose dicts are nested too deep, not weights")
        for key, value in node.items():
            if isinstance(key, str):
                short = key.removeprefix("module.")
                yield from _leaves(value, f"{name}.{short}" if name else short, depth + 1)


def _plain(name: str, tensor: Tensor) -> Tensor:
    """Check that a tensor is what networks take, and holds as many numbers as it says."""
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not is_plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ForeignFileError(f"a file whose tensor {name[:80]} is not made of plain numbers")
    return tensor.detach()


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
    """Lend SadTalker's networks the estimator of a facevid2vid file that lies beside them."""
    renderers = [file for file in files if "kp_extractor.kp.weight" in file.tensors]
    lenders = [file for file in files if "he_estimator.fc_yaw.weight" in file.tensors]
    if len(files) != 2 or len(renderers) != 1 or len(lenders) != 1 or renderers == lenders:
        names = ", ".join(file.path.name for file in files[:5])
        raise WeightsError(f"{folder}: which of its weights is meant ({names})? Name one file with -c")
    lent = {name: t for name, t in lenders[0].tensors.items() if name.startswith("he_estimator.")}
    return _joined(folder, files, {**renderers[0].tensors, **lent})


def _joined(folder: Path, files: list[LoadedFile], tensors: dict[str, Tensor]) -> LoadedFile:
    lines = "".join(f"{file.sha256}  {file.path.name}\n" for file in files)
    return LoadedFile(folder, tensors, {}, hashlib.sha256(lines.encode()).hexdigest())


@lru_cache(maxsize=1)
def embedded_checkpoint() -> LoadedFile:
    """Return the embedded checkpoint, read once: it holds the face networks that every family needs."""
    return read_checkpoint(bundled_file("weights", EMBEDDED))
