"""Make a key and a chain of two certificates for it: a root that signs this one key and is then forgotten."""

from __future__ import annotations

from datetime import datetime, timezone

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ORGANIZATION = "vid2vid (self-asserted)"
# Fixed, not counted from today: a clock that is wrong when the key is made would spoil it for later.
NOT_BEFORE = datetime(2025, 1, 1, tzinfo=timezone.utc)
NOT_AFTER = datetime(2075, 1, 1, tzinfo=timezone.utc)


def new_signing_key(not_before: datetime = NOT_BEFORE, not_after: datetime = NOT_AFTER) -> bytes:
    """Return a new key (ES256), its certificate and the root's, as one PEM; C2PA wants a root."""
    root, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # The names say nothing of the user or the computer: they stand in every output.
    names = [_name(f"{what} {serial % 16**8:08x}") for what in ("local root", "local key")]
    span = not_before, not_after
    top = _begin(names[0], names[0], root, span).serial_number(x509.random_serial_number())
    top = top.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    top = top.add_extension(_usage(signs_certificates=True), critical=True)
    own = _begin(names[1], names[0], key, span).serial_number(serial)
    own = own.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    own = own.add_extension(_usage(signs_certificates=False), critical=True)
    own = own.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
    own = own.add_extension(issuer, critical=False)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + b"".join(each.sign(root, SHA256()).public_bytes(Encoding.PEM) for each in (own, top))


def _name(common: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, ORGANIZATION), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, span: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.not_valid_before(span[0]).not_valid_after(span[1])
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
