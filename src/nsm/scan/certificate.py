"""What a certificate says, as details of a service. RFC 5280. It is read, not trusted."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from nsm.scan.talking import clean, details

if TYPE_CHECKING:
    from cryptography import x509

NAMES_MAX: Final = 16  # ours: names of a certificate that are kept
TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"


def certificate_facts(der: bytes) -> dict[str, str]:
    """Subject, issuer, validity, names, key and SHA-256 of a certificate; the digest alone when it cannot be read."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    facts = {"cert_sha256": hashlib.sha256(der).hexdigest()}
    try:
        return facts | _facts(x509.load_der_x509_certificate(der))
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension):
        return facts | {"cert_unreadable": "yes"}


def _facts(certificate: x509.Certificate) -> dict[str, str]:
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    return details(
        cert_subject=subject,
        cert_issuer=issuer,
        cert_names=_names(certificate),
        cert_not_before=certificate.not_valid_before_utc.strftime(TIME_FORMAT),
        cert_not_after=certificate.not_valid_after_utc.strftime(TIME_FORMAT),
        cert_self_signed=certificate.subject == certificate.issuer,
        cert_key=_key(certificate),
        cert_signature=certificate.signature_hash_algorithm.name if certificate.signature_hash_algorithm else "",
    )


def _names(certificate: x509.Certificate) -> list[str]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.UnsupportedGeneralNameType):
        return []
    names = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    return [clean(name) for name in names[:NAMES_MAX]]


def _key(certificate: x509.Certificate) -> str:
    """Kind and size of the key ("RSA 2048"); empty when the library does not know it."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return ""
    kind = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    return f"{kind} {getattr(key, 'key_size', '')}".strip()


def days_left(not_after: str, now: datetime) -> float | None:
    """Days until a time as ``certificate_facts`` writes it, negative after it; None when it is no time."""
    try:
        end = datetime.strptime(not_after, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return (end - now).total_seconds() / 86_400
