"""Download the files of a published checkpoint, check them, and remember that they were checked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from vid2vid_cli.checkpoints import hub
from vid2vid_cli.checkpoints.cache import (
    LocalFile,
    check_file,
    keep_record,
    look_for,
    own_file,
    place_of,
    verified_record,
    weights_folder,
    why_changed,
)
from vid2vid_cli.checkpoints.catalogue import Checkpoint, CheckpointFile
from vid2vid_cli.checkpoints.download import DownloadRequest, NoNetworkError, Progress, RetryPolicy, download
from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.pipeline.progress import Hooks, WarningLog
from vid2vid_cli.pipeline.weights.inventory import checkpoint_named, weights_path
from vid2vid_cli.pipeline.weights.options import PullOptions

# Either variable forbids the network; the second is that of huggingface_hub.
OFFLINE = ("VID2VID_OFFLINE", "HF_HUB_OFFLINE")
MIRROR = "VID2VID_MIRROR"

Source = Callable[[Progress], Path]
"""One way to get a file: downloads it and returns its path, unchecked."""


@dataclass(frozen=True)
class Pulled:
    """The result of a pull. fetched: the number of files that were downloaded now. bytes: the size of all of them."""

    checkpoint: Checkpoint
    path: Path
    fetched: int
    bytes: int
    seconds: float
    warnings: tuple[str, ...]


def pull_weights(
    name: str, options: PullOptions | None = None, *, hooks: Hooks | None = None, retry: RetryPolicy | None = None
) -> Pulled:
    """Download a checkpoint of the catalogue.

    No other command downloads checkpoints; face-alignment fetches its own weights. Files that are here and right are
    not downloaded again. WeightsError says in one line what went wrong. What a broken download has left is resumed the
    next time.
    """
    began = time.perf_counter()
    options, hooks = options or PullOptions(), hooks or Hooks()
    log = WarningLog(hooks)
    checkpoint = checkpoint_named(name)
    pull = Pull(checkpoint, options, retry or RetryPolicy(), log)
    fetched = 0 if checkpoint.is_embedded else pull.fetch_missing(hooks.progress)
    path = weights_path(name)
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
    return Pulled(checkpoint, path, fetched, size, time.perf_counter() - began, tuple(log.warnings))


@dataclass(frozen=True)
class Pull:
    """The pull of one checkpoint."""

    checkpoint: Checkpoint
    options: PullOptions
    retry: RetryPolicy
    log: WarningLog

    def fetch_missing(self, progress: Progress) -> int:
        """Download the files that are missing or wrong. Return how many those were."""
        own = own_file(self.checkpoint.name)
        if own is not None:
            self.log.warn(f"{own}: this file of your own takes precedence over pulled ones")
        found = [self._read(each) for each in look_for(self.checkpoint)]
        missing = [each.file for each in found if self.options.force or each.state != "verified"]
        if not missing:
            return 0
        self._check_terms()
        # The total is known only if the size of every file is.
        done, total = 0, self.checkpoint.bytes and sum(file.bytes or 0 for file in missing)
        for file in missing:
            self._fetch(file, partial(_report, progress, done, total))
            done += file.bytes or 0
        return len(missing)

    def _read(self, found: LocalFile) -> LocalFile:
        """Read a local file that is unverified (put there by hand, or touched): that may spare a download."""
        if found.path is None or found.state == "verified":
            return found
        return check_file(self.checkpoint, found.file, found.path)

    def _check_terms(self) -> None:
        """Refuse a checkpoint to whose terms the user must agree first. Log what was agreed to."""
        name, licence = self.checkpoint.name, self.checkpoint.licence
        if licence.must_be_accepted and not self.options.accept_licence:
            raise WeightsError(f"{name}: licence: {licence.name}; add --accept-licence if you accept it")
        if not self.checkpoint.is_pinned and not self.options.trust_unverified:
            raise WeightsError(
                f"{name}: no sha256 of its file is known, so it cannot be checked; add --trust-unverified to take it"
                f" all the same, or put the file at {weights_folder() / name}.pth.tar yourself"
            )
        if licence.must_be_accepted:
            self.log.warn(f"{name}: licence: {licence.name}")
        if not self.checkpoint.is_pinned:
            self.log.warn(f"{name}: this file cannot be checked; you trust whoever sends it")

    def _fetch(self, file: CheckpointFile, progress: Progress) -> None:
        """Try one source after another until a file is the published one."""
        failures = []
        for source in self._sources(file):
            try:
                return self._accept(file, source(progress))
            except NoNetworkError:
                raise
            except WeightsError as error:
                failures.append(str(error))
        raise WeightsError("; and ".join(failures))

    def _accept(self, file: CheckpointFile, path: Path) -> None:
        """Record a downloaded file as verified, or refuse it."""
        # Without a published sha256, that of the first download counts from now on.
        if file.sha256 is None:
            keep_record(self.checkpoint, file, verified_record(path))
            return
        found = check_file(self.checkpoint, file, path)
        if found.state != "verified":
            raise WeightsError(f"{path}: {why_changed(found)}; it is not used")

    def _sources(self, file: CheckpointFile) -> list[Source]:
        """List the ways to get a file, best first."""
        mirror, uses_hub = self._mirror(), self._uses_hub()
        # Another program may have put it into the hub's cache; a mirror is asked for on purpose.
        in_cache = hub.cached(file.hub) if file.hub and uses_hub and not mirror else None
        if in_cache is not None and not self.options.force and self._is_right(file, in_cache):
            return [lambda _: in_cache]
        _refuse_offline(self.checkpoint.name)
        if mirror:
            return [self._plain(file, f"{mirror}/{self.checkpoint.name}/{quote(file.path)}")]
        sources: list[Source] = []
        if file.hub is not None and uses_hub:
            # What is in the cache was just found to be wrong.
            force = self.options.force or in_cache is not None
            sources.append(partial(hub.fetch, file.hub, force=force))
        elif file.hub is not None:
            sources.append(self._plain(file, hub.plain_url(file.hub)))
        if file.url is not None:
            sources.append(self._plain(file, file.url))
        if not sources:
            raise WeightsError(
                f"{self.checkpoint.name}: no address for programs is known; get it from its authors "
                f"and put it at {weights_folder() / self.checkpoint.name}.pth.tar, or name a mirror that has it"
            )
        return sources

    def _plain(self, file: CheckpointFile, url: str) -> Source:
        """Return a source that downloads from an address into vid2vid's own cache."""

        def fetch(progress: Progress) -> Path:
            target = place_of(self.checkpoint, file)
            download(DownloadRequest(url, target, file.bytes, file.sha256), progress, self.retry)
            return target

        return fetch

    def _is_right(self, file: CheckpointFile, path: Path) -> bool:
        return check_file(self.checkpoint, file, path).state == "verified"

    def _uses_hub(self) -> bool:
        if self.options.via == "hub" and not hub.is_installed():
            raise UsageError("--via hub needs huggingface_hub: pip install 'vid2vid[hub]', or leave out --via")
        return self.options.via != "url" and hub.is_installed()

    def _mirror(self) -> str:
        """Return the address of the mirror to use, or an empty string."""
        mirror = (self.options.mirror or os.environ.get(MIRROR) or "").rstrip("/")
        if mirror and (urlsplit(mirror).scheme not in ("http", "https") or not urlsplit(mirror).netloc):
            raise UsageError(f"{mirror}: not the address of a mirror (--mirror or {MIRROR}); write https://host/folder")
        return mirror


def _refuse_offline(name: str) -> None:
    for variable in OFFLINE:
        if os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE"):
            raise WeightsError(f"{name}: {variable} is set, so nothing is fetched; unset it, or copy the files here")


def _report(progress: Progress, before: int, total: int | None, done: int, size: int | None) -> None:
    """Report the progress of one file as that of all files; if their sizes are unknown, file by file."""
    progress(before + done, total or size)
