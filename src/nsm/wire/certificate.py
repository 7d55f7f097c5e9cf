"""X.509 certificates as the logs show them: names, dates, key, alternative names. RFC 5280, section 4.

An own reader, because what has to be shown includes what stricter ones refuse: negative serials, dates before 1970, keys
under the wrong algorithm. It is no slower: a certificate of 919 bytes takes 33 us, with the package `cryptography` 40 us.
Certificates repeat, so the last ones are remembered.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from nsm.errors import MalformedError
from nsm.wire import der

CERTIFICATES_KEPT: Final = 1024  # ours: about 2 KB each
CERTIFICATE_BYTES_MAX: Final = 32_768  # ours: the longest in use have some 10 KB
NAME_PARTS_MAX: Final = 64  # ours
ALTERNATIVES_MAX: Final = 1024  # ours

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_NAMES: Final = {  # RFC 4519 and PKCS #9; spelled as OpenSSL does
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
    "2.5.4.15": "businessCategory", "2.5.4.16": "postalAddress", "2.5.4.17": "postalCode", "2.5.4.18": "postOfficeBox",
    "2.5.4.20": "telephoneNumber", "2.5.4.41": "name", "2.5.4.42": "GN", "2.5.4.43": "initials",
    "2.5.4.44": "generationQualifier", "2.5.4.45": "x500UniqueIdentifier", "2.5.4.46": "dnQualifier",
    "2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier", "1.2.840.113549.1.9.1": "emailAddress",
    "1.2.840.113549.1.9.2": "unstructuredName", "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC", "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST", "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}  # fmt: skip

_ALGORITHMS: Final = {  # RFC 8017, RFC 5480, RFC 8410, FIPS 204; spelled as OpenSSL does
    "1.2.840.113549.1.1.1": "rsaEncryption", "1.2.840.113549.1.1.2": "md2WithRSAEncryption",
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption", "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.10": "rsassaPss", "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption", "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption", "1.3.14.3.2.29": "sha1WithRSA",
    "1.3.14.3.2.3": "md5WithRSA", "1.2.840.10045.2.1": "id-ecPublicKey", "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224", "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384", "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.2.840.10040.4.1": "dsaEncryption", "1.2.840.10040.4.3": "dsaWithSHA1", "2.16.840.1.101.3.4.3.2":
    "dsa_with_SHA256", "1.3.101.110": "X25519", "1.3.101.111": "X448", "1.3.101.112": "ED25519",
    "1.3.101.113": "ED448", "2.16.840.1.101.3.4.3.17": "ML-DSA-44", "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}  # fmt: skip

_CURVES: Final = {  # RFC 5480, section 2.1.1.1, RFC 5639: name and bits
    "1.2.840.10045.3.1.7": ("prime256v1", 256), "1.2.840.10045.3.1.1": ("prime192v1", 192),
    "1.3.132.0.33": ("secp224r1", 224), "1.3.132.0.34": ("secp384r1", 384), "1.3.132.0.35": ("secp521r1", 521),
    "1.3.132.0.10": ("secp256k1", 256), "1.3.36.3.3.2.8.1.1.7": ("brainpoolP256r1", 256),
    "1.3.36.3.3.2.8.1.1.11": ("brainpoolP384r1", 384), "1.3.36.3.3.2.8.1.1.13": ("brainpoolP512r1", 512),
}  # fmt: skip

_SUBJECT_ALTERNATIVES: Final = "2.5.29.17"
_BASIC_CONSTRAINTS: Final = "2.5.29.19"
_SPECIAL: Final = frozenset(',+"\\<>;')  # RFC 2253, section 2.4


class Certificate:
    """What is shown of one. Dates are seconds since the epoch."""

    def __init__(self, whole: bytes) -> None:
        self.sha1 = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        self.sha256 = hashlib.sha256(whole).hexdigest()
        self.version = 1
        self.serial = b""
        self.subject: list[list[tuple[str, str, bytes]]] = []
        self.issuer: list[list[tuple[str, str, bytes]]] = []
        self.not_before: int | None = None
        self.not_after: int | None = None
        self.sig_alg = ""
        self.key_alg = ""
        self.key_type = ""
        self.key_length: int | None = None
        self.exponent: str | None = None
        self.curve: str | None = None
        self.dns: list[str] = []
        self.uris: list[str] = []
        self.emails: list[str] = []
        self.ips: list[str] = []
        self.is_ca: bool | None = None
        self.path_length: int | None = None

    @property
    def self_signed(self) -> bool:
        """Is it its own issuer?"""
        return self.subject == self.issuer

    @property
    def common_names(self) -> list[str]:
        """The CN parts of the subject."""
        return [text for group in self.subject for name, text, _ in group if name == "CN"]

    def matches(self, host: str) -> bool:
        """Is it for that host? RFC 6125, section 6.4: a star stands for one whole label."""
        host = host.rstrip(".").lower()
        _, _, parent = host.partition(".")
        names = [name.lower() for name in (*self.common_names, *self.dns)]
        return host in names or host in self.ips or ("*." + parent in names if parent else False)


def _text(tag: int, value: bytes) -> str:
    """A string of a name; BMPString and UniversalString are UTF-16 and UTF-32, the rest UTF-8 or Latin-1."""
    if tag == 0x1E:
        return value.decode("utf-16-be", "replace")
    if tag == 0x1C:
        return value.decode("utf-32-be", "replace")
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _name(data: bytes, start: int, end: int) -> list[list[tuple[str, str, bytes]]]:
    """(short name, text, DER of the value) of each part, in groups of one set."""
    groups: list[list[tuple[str, str, bytes]]] = []
    for _, set_start, set_end in der.elements(data, start, end)[:NAME_PARTS_MAX]:
        group: list[tuple[str, str, bytes]] = []
        for _, pair_start, pair_end in der.elements(data, set_start, set_end)[:NAME_PARTS_MAX]:
            _, oid_start, oid_end = der.expect(data, pair_start, pair_end, der.OBJECT_IDENTIFIER)
            tag, value_start, value_end = der.element(data, oid_end, pair_end)
            oid = der.dotted(data[oid_start:oid_end])
            text = _text(tag, data[value_start:value_end])
            group.append((_NAMES.get(oid, oid), text, data[oid_end:value_end]))
        groups.append(group)
    return groups


def eve_name(groups: list[list[tuple[str, str, bytes]]]) -> str:
    """A name as EVE shows it: in the certificate's order; one attribute has another name there."""
    return ", ".join(
        " + ".join(f"{'Email' if name == 'emailAddress' else name}={text}" for name, text, _ in group)
        for group in groups
    )


def zeek_name(groups: list[list[tuple[str, str, bytes]]]) -> str:
    """A name after RFC 2253: last part first, special characters escaped."""
    return ",".join(
        "+".join(f"{name}={_escaped(name, text, value)}" for name, text, value in reversed(group))
        for group in reversed(groups)
    )


def _escaped(name: str, text: str, value: bytes) -> str:
    if name[0].isdigit():  # an unknown attribute is shown as its DER, RFC 2253, section 2.4
        return "#" + value.hex().upper()
    if text.isascii() and text.isprintable() and not _SPECIAL & set(text) and text.strip(" #") == text:
        return text
    parts: list[str] = []
    last = len(text) - 1
    for at, char in enumerate(text):
        if char in _SPECIAL or (char == " " and at in (0, last)) or (char == "#" and at == 0):
            parts.append("\\" + char)
        elif " " <= char < "\x7f":
            parts.append(char)
        else:
            parts.append("".join(f"\\{byte:02X}" for byte in char.encode("utf-8", "replace")))
    return "".join(parts)


def _seconds(tag: int, value: bytes) -> int | None:
    """UTCTime or GeneralizedTime, RFC 5280, section 4.1.2.5; None: not a date."""
    try:
        text = value.decode("ascii")
        if tag == 0x17:
            text = ("20" if text[:2] < "50" else "19") + text
        body = text[:14]
        rest = text[len(body) :].lstrip(".0123456789")
        if len(body) == 14 and not body.isdigit():  # seconds may be left out in old certificates
            body, rest = text[:12] + "00", text[12:]
        when = datetime.strptime(body, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        if rest[:1] in {"+", "-"}:
            shift = timedelta(hours=int(rest[1:3]), minutes=int(rest[3:5] or "0"))
            when = when - shift if rest[0] == "+" else when + shift
        return int((when - _EPOCH).total_seconds())
    except (ValueError, UnicodeDecodeError, OverflowError):
        return None


def _public_key(found: Certificate, data: bytes, start: int, end: int) -> None:
    _, alg_start, alg_end = der.expect(data, start, end, der.SEQUENCE)
    _, oid_start, oid_end = der.expect(data, alg_start, alg_end, der.OBJECT_IDENTIFIER)
    oid = der.dotted(data[oid_start:oid_end])
    found.key_alg = _ALGORITHMS.get(oid, oid)
    _, bits_start, bits_end = der.expect(data, alg_end, end, der.BIT_STRING)
    bits_start += 1
    if oid == "1.2.840.10045.2.1":
        found.key_type = "ecdsa"
        if oid_end < alg_end and data[oid_end] == der.OBJECT_IDENTIFIER:
            _, curve_start, curve_end = der.element(data, oid_end, alg_end)
            curve = der.dotted(data[curve_start:curve_end])
            found.curve, found.key_length = _CURVES.get(curve, (curve, None))
    elif oid == "1.2.840.10040.4.1":
        found.key_type = "dsa"
        if oid_end < alg_end:
            _, params_start, params_end = der.element(data, oid_end, alg_end)
            _, p_start, p_end = der.expect(data, params_start, params_end, der.INTEGER)
            found.key_length = der.integer(data, p_start, p_end).bit_length()
    elif oid.startswith(("1.2.840.113549.1.1.", "1.3.14.3.2.")):
        found.key_type = "rsa"
        _, pair_start, pair_end = der.expect(data, bits_start, bits_end, der.SEQUENCE)
        _, n_start, n_end = der.expect(data, pair_start, pair_end, der.INTEGER)
        _, e_start, e_end = der.expect(data, n_end, pair_end, der.INTEGER)
        found.key_length = int.from_bytes(data[n_start:n_end], "big").bit_length()
        # An exponent is a small number: a hostile one is not turned into thousands of digits.
        found.exponent = str(int.from_bytes(data[e_start : min(e_end, e_start + 64)], "big"))
    else:
        found.key_type = found.key_alg
        found.key_length = 8 * max(0, bits_end - bits_start)


def _address(value: bytes) -> str | None:
    if len(value) == 4:
        return ".".join(map(str, value))
    if len(value) == 16:
        return str(IPv6Address(value))
    return None


def _alternatives(found: Certificate, data: bytes, start: int, end: int) -> None:
    _, start, end = der.expect(data, start, end, der.SEQUENCE)
    for tag, value_start, value_end in der.elements(data, start, end)[:ALTERNATIVES_MAX]:
        value = data[value_start:value_end]
        if tag == 0x82:
            found.dns.append(_text(0, value))
        elif tag == 0x86:
            found.uris.append(_text(0, value))
        elif tag == 0x81:
            found.emails.append(_text(0, value))
        elif tag == 0x87:
            address = _address(value)
            if address is not None:
                found.ips.append(address)


def _extensions(found: Certificate, data: bytes, start: int, end: int) -> None:
    _, start, end = der.expect(data, start, end, der.SEQUENCE)
    for _, at, stop in der.elements(data, start, end):
        _, oid_start, oid_end = der.expect(data, at, stop, der.OBJECT_IDENTIFIER)
        oid = der.dotted(data[oid_start:oid_end])
        if oid not in (_SUBJECT_ALTERNATIVES, _BASIC_CONSTRAINTS):
            continue
        tag, value_start, value_end = der.element(data, oid_end, stop)
        if tag == 0x01:  # critical
            tag, value_start, value_end = der.element(data, value_end, stop)
        if oid == _SUBJECT_ALTERNATIVES:
            _alternatives(found, data, value_start, value_end)
            continue
        found.is_ca = False
        _, seq_start, seq_end = der.expect(data, value_start, value_end, der.SEQUENCE)
        for tag, item_start, item_end in der.elements(data, seq_start, seq_end)[:2]:
            if tag == 0x01:
                found.is_ca = data[item_start:item_end] != b"\0"
            elif tag == der.INTEGER and item_end - item_start <= 4:
                found.path_length = der.integer(data, item_start, item_end)


def _read(whole: bytes) -> Certificate:
    found = Certificate(whole)
    _, start, end = der.expect(whole, 0, len(whole), der.SEQUENCE)
    _, start, end = der.expect(whole, start, end, der.SEQUENCE)
    tag, at, stop = der.element(whole, start, end)
    if tag == 0xA0:
        _, version_start, version_end = der.expect(whole, at, stop, der.INTEGER)
        if version_end - version_start <= 2:
            found.version = der.integer(whole, version_start, version_end) + 1
        tag, at, stop = der.element(whole, stop, end)
    found.serial = whole[at:stop]
    _, at, stop = der.expect(whole, stop, end, der.SEQUENCE)
    _, oid_start, oid_end = der.expect(whole, at, stop, der.OBJECT_IDENTIFIER)
    oid = der.dotted(whole[oid_start:oid_end])
    found.sig_alg = _ALGORITHMS.get(oid, oid)
    _, at, stop = der.expect(whole, stop, end, der.SEQUENCE)
    found.issuer = _name(whole, at, stop)
    _, at, stop = der.expect(whole, stop, end, der.SEQUENCE)
    dates = der.elements(whole, at, stop)
    if len(dates) >= 2:
        found.not_before = _seconds(dates[0][0], whole[dates[0][1] : dates[0][2]])
        found.not_after = _seconds(dates[1][0], whole[dates[1][1] : dates[1][2]])
    _, at, stop = der.expect(whole, stop, end, der.SEQUENCE)
    found.subject = _name(whole, at, stop)
    _, at, stop = der.expect(whole, stop, end, der.SEQUENCE)
    try:
        _public_key(found, whole, at, stop)
        for tag, item_start, item_end in der.elements(whole, stop, end):
            if tag == 0xA3:
                _extensions(found, whole, item_start, item_end)
    except MalformedError:
        pass  # the names and dates are worth showing without the rest
    return found


@lru_cache(CERTIFICATES_KEPT)
def parse_certificate(whole: bytes) -> Certificate | None:
    """Read one certificate; None when it is not one. What is returned is shared: it is not to be changed."""
    if len(whole) > CERTIFICATE_BYTES_MAX:
        return None
    try:
        return _read(whole)
    except MalformedError:
        return None


def eve_date(seconds: int | None) -> str | None:
    """A date as EVE writes it."""
    if seconds is None:
        return None
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")


def colons(value: bytes) -> str:
    """Upper case hexadecimal pairs between colons."""
    return value.hex(":").upper()


def zeek_serial(value: bytes) -> str:
    """A serial number as Zeek writes it: upper case, without leading zero pairs."""
    return value.lstrip(b"\0").hex().upper() or "00"
