"""A seal: content credentials, inside the file where its format can hold them, else in a file beside it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vid2vid_cli.errors import CredentialsError, NoPlaceForKeyError, one_line
from vid2vid_cli.media.credentials.keys import SigningKey, load_or_make
from vid2vid_cli.media.credentials.statement import manifest
from vid2vid_cli.media.credentials.store import file_type
from vid2vid_cli.media.provenance import Provenance

if TYPE_CHECKING:
    import c2pa

SIDECAR = ".c2pa"
INSIDE = {
    **{".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".gif": "image/gif"},
    **{".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"},
    **{".avif": "image/avif", ".tif": "image/tiff", ".tiff": "image/tiff"},
}
BESIDE = {".webm": "video/webm", ".mkv": "video/x-matroska"}
LARGEST_BYTES = 512 << 20
"""Above this the library would take too long to write the file anew, and the credentials go beside it."""
# Nothing is ever fetched, and nothing put in that was not asked for. More than a few megabytes go through a file.
OFFLINE: dict[str, Any] = {
    "core": {"allowed_network_hosts": [], "backing_store_memory_threshold_in_mb": 16},
    "verify": {"ocsp_fetch": False, "remote_manifest_fetch": False, "verify_after_sign": False},
}
_SIGNING: dict[str, Any] = {
    **OFFLINE,
    "builder": {
        "thumbnail": {"enabled": False},
        "auto_timestamp_assertion": {"enabled": False},
        "actions": {
            "auto_created_action": {"enabled": False},
            "auto_opened_action": {"enabled": False},
            "auto_placed_action": {"enabled": False},
        },
    },
}


def sidecar_of(path: Path) -> Path:
    """Return where the credentials of a file are that holds none: beside it, under its whole name."""
    return path.with_name(path.name + SIDECAR)


def needs_sidecar(file: Path) -> bool:
    """Say whether the credentials of a file go beside it."""
    suffix = file.suffix.lower()
    return suffix in BESIDE or (suffix in INSIDE and file.stat().st_size > LARGEST_BYTES)


def is_ready(provenance: Provenance) -> bool:
    """Say whether outputs can be signed, and make a key if there is none; call it before the work.

    CredentialsError for a key that is there and cannot be used. Without a place for one, the listener gets a warning.
    """
    if not provenance.wants_credentials:
        return False
    try:
        _signer_context(_signing_key())
    except NoPlaceForKeyError as error:
        provenance.log.warn(f"the output is not signed: {error}; see docs/provenance.md")
        return False
    return True


class ContentCredentials:
    """A seal that signs pictures and films. Motion files, calls and weights show nothing and are left as they are."""

    def metadata(self, provenance: Provenance) -> Mapping[str, str]:
        """Return no tags."""
        return {}

    def seal(self, file: Path, provenance: Provenance) -> None:
        """Sign a file in place, or write its sidecar. What cannot be signed is published all the same, with a word."""
        suffix = file.suffix.lower()
        if suffix not in INSIDE and suffix not in BESIDE:
            return
        try:
            if is_ready(provenance):
                _sign(file, provenance)
        except CredentialsError as error:
            provenance.log.lose(f"the output is not signed: {error}")
        except OSError as error:
            provenance.log.lose(f"the output is not signed: {error.strerror or error}; free some space")


def _sign(file: Path, provenance: Provenance) -> None:
    import c2pa

    mime = {**INSIDE, **BESIDE}[file.suffix.lower()]
    is_beside = needs_sidecar(file)
    if is_beside and file.suffix.lower() in INSIDE:
        provenance.log.warn(
            f"the output is larger than {LARGEST_BYTES >> 20} MB: its credentials are in a file beside it, *{SIDECAR}"
        )
    builder = c2pa.Builder(manifest(provenance, mime, file_type(file)), context=_signer_context(_signing_key()))
    if is_beside:
        builder.set_no_embed()
    signed = file.with_name(f"signed-{file.name}")
    try:
        with file.open("rb") as source, _Nowhere() if is_beside else signed.open("w+b") as target:
            store = builder.sign(mime, source, target)
        if is_beside:
            sidecar_of(file).write_bytes(store)
        else:
            signed.replace(file)
    except c2pa.C2paError as error:
        raise CredentialsError(one_line(str(error))) from error
    finally:
        builder.close()
        signed.unlink(missing_ok=True)


_loaded: dict[str, SigningKey] = {}


def _signing_key() -> SigningKey:
    """Return the key, which is read once in a process: a folder of frames has thousands of files to sign."""
    from vid2vid_cli.media.credentials.keys import folder

    place = str(folder())
    if place not in _loaded:
        _loaded[place] = load_or_make()
    return _loaded[place]


@cache
def _signer_context(signing: SigningKey) -> c2pa.Context:
    import c2pa

    try:
        info = c2pa.C2paSignerInfo(signing.algorithm, signing.chain, signing.key, None)  # None: no time stamp server
        return c2pa.Context.from_dict(_SIGNING, signer=c2pa.Signer.from_info(info))
    except c2pa.C2paError as error:
        raise CredentialsError(f"{signing.path}: cannot sign: {one_line(str(error))}") from error


class _Nowhere(io.RawIOBase):
    """Takes what the library writes beside the credentials themselves: a copy of a film that is there already."""

    def __init__(self) -> None:
        self._place = self._end = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._place += len(data)
        self._end = max(self._end, self._place)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._end)[whence]
        return self._place

    def tell(self) -> int:
        return self._place
