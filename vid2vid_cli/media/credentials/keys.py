"""The key that signs outputs: made at first use, kept in the user's configuration folder, or the user's own."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vid2vid_cli.errors import CredentialsError, NoPlaceForKeyError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

SIGNING, FORMER, TRUSTED = "signing.pem", "former.pem", "trusted.pem"
CURE = "vid2vid credentials new makes another one, --no-credentials works without"
_ELSEWHERE = "set VID2VID_CONFIG to a folder for the signing key"
_PRIVATE, _PRIVATE_FOLDER = 0o600, 0o700
_BEGIN = b"-----BEGIN CERTIFICATE-----"
# By curve: the algorithms that C2PA allows.
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class SigningKey:
    """A private key and its chain of certificates, both as PEM, the certificate of the key first."""

    path: Path
    key: bytes
    chain: bytes

    @cached_property
    def certificates(self) -> tuple[Certificate, ...]:
        """Parse the chain."""
        return tuple(certificates_in(self.chain))

    @property
    def leaf(self) -> Certificate:
        """The certificate of the key itself."""
        return self.certificates[0]

    @cached_property
    def algorithm(self) -> str:
        """Name the algorithm of the key as C2PA does. CredentialsError for a key that C2PA does not allow."""
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

        private = _private(self.key, self.path)
        if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
            return _CURVES[private.curve.name]
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return "ed25519"
        if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048:
            return "ps256"
        raise CredentialsError(f"{self.path}: C2PA does not allow such a key; use ECDSA (P-256), Ed25519 or RSA (2048)")

    def check(self) -> None:
        """Raise CredentialsError unless key and certificate belong together and are valid now."""
        if _private(self.key, self.path).public_key() != self.leaf.public_key():
            raise CredentialsError(f"{self.path}: key and certificate do not belong together; {CURE}")
        now = datetime.now(timezone.utc)
        if now < self.leaf.not_valid_before_utc:
            begin = self.leaf.not_valid_before_utc
            raise CredentialsError(
                f"{self.path}: its certificate is valid from {begin:%Y-%m-%d}, and this computer's clock says "
                f"{now:%Y-%m-%d}; set the clock, or add --no-credentials"
            )
        if now > self.leaf.not_valid_after_utc:
            raise CredentialsError(f"{self.path}: its certificate expired on {self.valid_until}; {CURE}")

    @property
    def valid_until(self) -> str:
        """The last day on which it signs."""
        return f"{self.leaf.not_valid_after_utc:%Y-%m-%d}"

    @property
    def fingerprint(self) -> str:
        """The sha256 of the certificate, as hex digits."""
        from cryptography.hazmat.primitives.hashes import SHA256

        return self.leaf.fingerprint(SHA256()).hex()

    @property
    def is_self_made(self) -> bool:
        """Whether vid2vid made it, so that nobody vouches for it."""
        from vid2vid_cli.media.credentials.making import ORGANIZATION

        return f"O={ORGANIZATION}" in self.leaf.issuer.rfc4514_string()


def folder() -> Path:
    """Return the configuration folder: VID2VID_CONFIG, else vid2vid in XDG_CONFIG_HOME, else ~/.config/vid2vid."""
    configured = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        if os.environ.get("VID2VID_CONFIG"):
            return Path(os.environ["VID2VID_CONFIG"]).expanduser().absolute()
        if configured.is_absolute():
            return configured / "vid2vid"
        home = Path.home()
    except RuntimeError as error:  # a container runs with the number of a user that nobody knows
        raise NoPlaceForKeyError(f"this user has no home; {_ELSEWHERE}") from error
    if not home.is_dir():  # which is not ours to make
        raise NoPlaceForKeyError(f"{home}: this user's home does not exist; {_ELSEWHERE}")
    return home / ".config" / "vid2vid"


def load_or_make() -> SigningKey:
    """Return the key that signs; make one if there is none. CredentialsError if it cannot be used."""
    path = folder() / SIGNING
    signing = load(path) if os.path.lexists(path) else make()
    signing.check()
    return signing


def load(path: Path | None = None) -> SigningKey:
    """Read a key with its chain. CredentialsError if that fails."""
    path = path or folder() / SIGNING
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CredentialsError(f"{path}: the signing key cannot be read: {error.strerror}; {CURE}") from error
    return _parsed(path, content)


def _parsed(path: Path, content: bytes) -> SigningKey:
    key, begin, chain = content.partition(_BEGIN)
    signing = SigningKey(path, key, begin + chain)
    try:
        _private(key, path)
        if not signing.certificates:
            raise ValueError("no certificate")
    except ValueError as error:
        raise CredentialsError(f"{path}: is damaged: {error}; {CURE}") from error
    return signing


def make(*, replace: bool = False) -> SigningKey:
    """Make a key and its certificates. Of two commands that do so at once, both get the key of the first.

    replace: whether to replace a key that is there; its certificate is kept, so that its outputs are still known.
    """
    from vid2vid_cli.media.credentials.making import new_signing_key

    return _install(new_signing_key(), replace=replace)


def use(certificate: Path, key: Path) -> SigningKey:
    """Take a key and a chain of certificates of the user's own, as PEM files, in the place of what was there."""
    try:
        private, chain = key.read_bytes(), certificate.read_bytes()
    except OSError as error:
        raise CredentialsError(f"{error.filename}: cannot be read: {error.strerror}; check the name") from error
    begin = chain.find(_BEGIN)
    if begin < 0:
        raise CredentialsError(
            f"{certificate}: holds no certificate; name a PEM file, the key's own first, then its issuers"
        )
    content = private.strip() + b"\n" + chain[begin:]
    signing = _parsed(key, content)
    signing.check()
    _ = signing.algorithm
    return _install(content, replace=True)


def _install(content: bytes, *, replace: bool) -> SigningKey:
    """Write a key with its chain to its place, whole or not at all."""
    place = folder()
    path, scratch = place / SIGNING, place / f".{secrets.token_hex(8)}.pem"
    try:
        place.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                _remember(place)
                scratch.replace(path)
            else:
                _take(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise NoPlaceForKeyError(f"{place}: no signing key can be kept there: {error.strerror}") from error
    return load(path)


def _take(scratch: Path, path: Path) -> None:
    """Give a file its name unless there is one already."""
    try:
        os.link(scratch, path)  # the first of several commands wins, and the others use its key
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            scratch.replace(path)


def _remember(place: Path) -> None:
    """Keep the certificates of the key that is replaced: what it has signed is still one's own."""
    with contextlib.suppress(OSError, CredentialsError):
        former = load(place / SIGNING)
        with (place / FORMER).open("ab") as file:
            file.write(former.chain)


def own_certificates() -> bytes:
    """Return the chains of this user's keys, present and former, as PEM; empty if there are none."""
    found = b""
    with contextlib.suppress(CredentialsError):
        place = folder()
        with contextlib.suppress(OSError):
            found += (place / FORMER).read_bytes()
        found += load(place / SIGNING).chain
    return found


def certificates_in(content: bytes) -> list[Certificate]:
    """Parse the certificates in a PEM. ValueError if one is damaged."""
    from cryptography.x509 import load_pem_x509_certificates

    return load_pem_x509_certificates(content) if _BEGIN in content else []


def _private(key: bytes, path: Path) -> PrivateKeyTypes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:  # TypeError: it has a password
        raise CredentialsError(f"{path}: holds no private key without a password in PEM; {CURE}") from error
