"""Download through huggingface_hub, into the cache that it shares with other programs. Imported only when used."""

from __future__ import annotations

import inspect
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vid2vid_cli.checkpoints.cache import home
from vid2vid_cli.checkpoints.catalogue import HubAddress
from vid2vid_cli.checkpoints.download import Progress, require_network
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.version import __version__

ENDPOINT = "https://huggingface.co"


def is_installed() -> bool:
    """Say whether the extra is installed, without importing it."""
    return find_spec("huggingface_hub") is not None


def endpoint() -> str:
    """Return the address of the hub: HF_ENDPOINT if set, for mirrors."""
    return (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def plain_url(address: HubAddress) -> str:
    """Return the address at which the hub serves a file to anybody."""
    return f"{endpoint()}/{address.repository}/resolve/{address.revision}/{address.path}"


def cached(address: HubAddress) -> Path | None:
    """Return the file if it is in the hub's cache already. The network is not used."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(
        address.repository, address.path, cache_dir=_cache_folder(), revision=address.revision
    )
    # Else None, or a marker of a file that is known not to exist.
    return Path(found) if isinstance(found, str) else None


def fetch(address: HubAddress, progress: Progress, *, force: bool) -> Path:
    """Download a file into the hub's cache and return its path. It is not checked yet."""
    import huggingface_hub

    require_network(endpoint())  # the client would try for many seconds
    huggingface_hub.utils.logging.set_verbosity_error()
    # Older releases take no progress bar of ours.
    accepts = inspect.signature(huggingface_hub.hf_hub_download).parameters
    bar: dict[str, Any] = {"tqdm_class": _bar(progress)} if "tqdm_class" in accepts else {}
    try:
        return Path(
            huggingface_hub.hf_hub_download(
                address.repository,
                address.path,
                revision=address.revision,
                cache_dir=_cache_folder(),
                endpoint=endpoint(),
                library_name="vid2vid",
                library_version=__version__,
                force_download=force,
                **bar,
            )
        )
    except Exception as error:  # the client and its HTTP library raise many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")
        raise WeightsError(f"{plain_url(address)}: {reason}; --via url fetches it without huggingface_hub") from error


def _cache_folder() -> Path | None:
    """Return the hub's cache: None for its default, or a folder in VID2VID_HOME if that is set."""
    return home() / "hub" if os.environ.get("VID2VID_HOME") else None


def _bar(progress: Progress) -> type[Any]:
    """Return a class of progress bars that draw nothing and report to `progress`."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.done, self.size = int(options.get("initial") or 0), options.get("total")
            super().__init__(*arguments, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            self.done += int(n or 0)
            progress(self.done, self.size)
            return None

    return Bar
