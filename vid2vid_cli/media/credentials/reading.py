"""Read content credentials, also those of other tools: who signed, whether the file has changed since, what it says."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vid2vid_cli.errors import CredentialsError, MediaError, one_line
from vid2vid_cli.media.credentials.keys import TRUSTED, certificates_in, folder, own_certificates
from vid2vid_cli.media.credentials.signing import BESIDE, INSIDE, OFFLINE, SIDECAR, sidecar_of
from vid2vid_cli.media.credentials.statement import CLAIM_NAME, FILE_TYPE, MADE
from vid2vid_cli.media.credentials.store import file_type, is_as_written
from vid2vid_cli.media.files import require_file

if TYPE_CHECKING:
    import c2pa

Standing = Literal["trusted", "self-asserted", "tampered", "none"]
# Of the codes of the C2PA specification: who signed is unknown, which says nothing against the file.
_SIGNER_UNKNOWN = "signingCredential."
_REMAINS = (b"c2pa.assertions", b"c2pa.signature", b"urn:c2pa:")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Credentials:
    """What was found.

    signer, serial: its name, and the number of its certificate. is_own: signed by this user's key. where: inside or
    beside the file. faults: what does not fit, by the specification's codes. manifest: what the signer says; empty if
    there is none.
    """

    standing: Standing
    signer: str = ""
    serial: str = ""
    is_own: bool = False
    where: str = ""
    faults: tuple[str, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def is_of_vid2vid(self) -> bool:
        """Whether they say that vid2vid made them."""
        infos = self.manifest.get("claim_generator_info") or [{}]
        return bool(infos[0].get("name") == CLAIM_NAME)

    def assertion(self, label: str) -> dict[str, Any]:
        """Return an assertion's data; empty if there is none of that label."""
        found = (each.get("data") for each in self.manifest.get("assertions", []) if each.get("label") == label)
        data = next(found, None)
        return data if isinstance(data, dict) else {}


def read_credentials(path: Path, trust: Path | None = None) -> Credentials:
    """Read the credentials of a file. trust: certificates in PEM whose issuers vouch, besides those of the user's.

    MediaError if the file itself cannot be read.
    """
    import c2pa

    require_file(path)
    try:
        store, where = _read_store(path, b"".join(_certificates(each) for each in _trust_files(trust)))
        if store is None:
            return _unsigned(path)
        found = _judged(store, where)
        if found.is_of_vid2vid and found.standing != "tampered" and (changed := _changed_beyond_hashes(found, path)):
            return replace(found, standing="tampered", faults=(changed,))
        own = own_certificates()
        # The number alone can be forged, so that the library has to find that the user's own chain has signed it.
        if found.standing == "self-asserted" and found.serial in _serials(own):
            again, _ = _read_store(path, own)
            found = replace(found, is_own=again is not None and _judged(again, where).standing == "trusted")
        return replace(found, faults=()) if found.is_own else found
    except c2pa.C2paError as error:
        if _is_unknown_format(error):
            return _unsigned(path)
        return Credentials("tampered", faults=(one_line(str(error)),))
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error


def _changed_beyond_hashes(found: Credentials, path: Path) -> str:
    """Name what has changed in an output of vid2vid that no hash of the library's covers; empty if nothing has."""
    if not is_as_written(_place_of(path, found.where)):
        return "padding that has changed"
    stated = found.assertion(MADE).get(FILE_TYPE)  # versions up to 0.2.0 did not state it
    return "" if stated is None or stated == file_type(path) else "a file type that has changed"


def _place_of(path: Path, where: str) -> Path:
    return path if where == "inside" else next(each for each in _sidecars(path) if each.is_file())


def _read_store(path: Path, anchors: bytes) -> tuple[dict[str, Any] | None, str]:
    """Return the library's report about a file, None without credentials; and whether they are inside or beside.

    anchors: certificates in PEM that vouch for others.
    """
    beside = next((each for each in _sidecars(path) if each.is_file()), None)
    mime = {**INSIDE, **BESIDE}.get(path.suffix.lower())
    with path.open("rb") as file:
        reader = _open(mime, file, beside, _context(anchors))
        if reader is None:
            return None, ""
        with reader:
            return json.loads(reader.json()), "inside" if reader.is_embedded() else "beside"


def _sidecars(path: Path) -> list[Path]:
    return [sidecar_of(path), path.with_suffix(SIDECAR)]  # the second is what other tools write


def _open(mime: str | None, file: Any, beside: Path | None, context: c2pa.Context) -> c2pa.Reader | None:
    """Open what is inside the file, or else what lies beside it."""
    import c2pa

    found = None
    if mime not in BESIDE.values():
        try:
            found = c2pa.Reader.try_create(mime, file, context=context)
        except c2pa.C2paError as error:
            if beside is None or not _is_unknown_format(error):
                raise
    if found is None and beside is not None:
        file.seek(0)
        found = c2pa.Reader(mime or "application/octet-stream", file, beside.read_bytes(), context=context)
    return found


def _is_unknown_format(error: Exception) -> bool:
    import c2pa

    return isinstance(error, c2pa.C2paError.NotSupported)


def _context(anchors: bytes) -> c2pa.Context:
    import c2pa

    trust = {"trust_anchors": anchors.decode("ascii", "replace")} if anchors else {}
    settings = {**OFFLINE, "verify": {**OFFLINE["verify"], "verify_trust": True}, "trust": trust}
    return c2pa.Context.from_dict(settings)


def _trust_files(trust: Path | None) -> list[Path]:
    found = []
    with contextlib.suppress(CredentialsError):
        found = [each for each in [folder() / TRUSTED] if each.is_file()]
    return found + ([] if trust is None else [trust])


def _certificates(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if not certificates_in(content):
            raise ValueError("no certificate in it")
    except OSError as error:
        raise CredentialsError(f"{path}: cannot be read: {error.strerror}; name a PEM file") from error
    except ValueError as error:
        raise CredentialsError(f"{path}: not a list of certificates in PEM: {error}") from error
    return content


def _judged(store: dict[str, Any], where: str) -> Credentials:
    """Judge what the library reports."""
    manifest = store.get("manifests", {}).get(store.get("active_manifest", ""), {})
    failures = [each.get("code", "?") for each in store.get("validation_status", [])]
    broken = tuple(dict.fromkeys(code for code in failures if not code.startswith(_SIGNER_UNKNOWN)))
    doubts = tuple(dict.fromkeys(code for code in failures if code.startswith(_SIGNER_UNKNOWN)))
    signature = manifest.get("signature_info", {})
    signer = " / ".join(filter(None, (signature.get("issuer"), signature.get("common_name"))))
    standing: Standing = "tampered" if broken else "self-asserted" if doubts else "trusted"
    serial = str(signature.get("cert_serial_number", ""))
    return Credentials(standing, signer, serial, where=where, faults=broken or doubts, manifest=manifest)


def _serials(chains: bytes) -> set[str]:
    return {str(each.serial_number) for each in certificates_in(chains)}


def _unsigned(path: Path) -> Credentials:
    """Tell a file without credentials from one whose credentials are so damaged that they are not found."""
    last = b""
    with path.open("rb") as file:
        while part := file.read(_CHUNK_BYTES):
            if any(each in last + part for each in _REMAINS):
                return Credentials("tampered", faults=("remains of credentials that cannot be read",))
            last = part[-32:]
    return Credentials("none")
