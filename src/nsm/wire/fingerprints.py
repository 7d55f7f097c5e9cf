"""JA3, JA3S, JA4 and HASSH: short names of how a program speaks. salesforce/ja3 and hassh, FoxIO/ja4 (all BSD-3-Clause).

Of JA4+ only JA4 itself, of the TLS client, is open; the others are not here on purpose. Programs repeat themselves, so
what was calculated is remembered by the raw bytes it came from: parts of JA4 by themselves, since browsers shuffle their
extensions, which changes JA3 every time and JA4 never.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import md5, sha256
from typing import Final

from nsm.wire.client_hello import ALPN, SERVER_NAME, ClientHello, ServerHello, is_grease, numbers

KEPT: Final = 4096  # ours: programs of a large network; a few hundred bytes each

_NOTHING: Final = "000000000000"  # FoxIO/ja4: an empty list
_VERSIONS: Final = {  # FoxIO/ja4, "TLS and DTLS version"
    0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2", 0xFEFF: "d1", 0xFEFD: "d2",
    0xFEFC: "d3",
}  # fmt: skip


def _dashed(values: tuple[int, ...]) -> str:
    return "-".join([str(value) for value in values if not is_grease(value)])


@lru_cache(KEPT)
def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


@lru_cache(KEPT)
def _ciphers_text(raw: bytes) -> str:
    return _dashed(numbers(raw))


@lru_cache(KEPT)
def _rest_text(groups: bytes, formats: bytes) -> str:
    return f"{_dashed(numbers(groups))},{'-'.join(map(str, formats))}"


@lru_cache(KEPT)
def _types_text(types: tuple[int, ...]) -> str:
    return _dashed(types)


def ja3(hello: ClientHello) -> tuple[str, str]:
    """(string, hash) of a client."""
    text = (
        f"{hello.version},{_ciphers_text(hello.ciphers)},{_types_text(tuple(hello.types))},"
        f"{_rest_text(hello.groups, hello.formats)}"
    )
    return text, _md5(text)


def ja3s(hello: ServerHello) -> tuple[str, str]:
    """(string, hash) of a server."""
    text = f"{hello.legacy_version},{hello.cipher},{'-'.join(map(str, hello.types))}"
    return text, _md5(text)


def _hash12(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12] if text else _NOTHING


@lru_cache(KEPT)
def _ja4_ciphers(raw: bytes) -> tuple[int, str]:
    """How many suites there are, and the hash of them sorted."""
    found = sorted(f"{value:04x}" for value in numbers(raw) if not is_grease(value))
    return len(found), _hash12(",".join(found))


@lru_cache(KEPT)
def _ja4_extensions(types: tuple[int, ...], signatures: bytes, joined: bool) -> tuple[int, str]:
    """How many extensions there are, and the hash of them and the signature algorithms; ``types`` are sorted."""
    real = [value for value in types if not is_grease(value)]
    text = ",".join([f"{value:04x}" for value in real if value not in (SERVER_NAME, ALPN)])
    offered = ",".join([f"{value:04x}" for value in numbers(signatures) if not is_grease(value)])
    if not real:
        return 0, _NOTHING
    return len(real), _hash12(f"{text}_{offered}" if offered or (joined and text) else text)


def _ja4_alpn(alpns: tuple[bytes, ...]) -> str:
    if not alpns or not alpns[0]:
        return "00"
    # A draft of HTTP/3 counts as HTTP/3 in published fingerprints: h3-29 is "h3".
    name = b"h3" if alpns[0].startswith(b"h3-") else alpns[0]
    first, last = name[:1], name[-1:]
    if first.isalnum() and last.isalnum():
        return (first + last).decode("ascii")
    return first.hex()[0] + last.hex()[1]


def ja4(hello: ClientHello, transport: str, joined: bool = False) -> str:
    """JA4 of a client; ``transport`` is "t" for TLS, "q" for QUIC, "d" for DTLS.

    ``joined``: the line between extensions and algorithms stands there without algorithms too, as Suricata has it
    against FoxIO's text.
    """
    ciphers, ciphers_hash = _ja4_ciphers(hello.ciphers)
    count, types_hash = _ja4_extensions(tuple(sorted(hello.types)), hello.signatures, joined)
    return (
        f"{transport}{_VERSIONS.get(hello.offered, '00')}{'d' if hello.has_sni else 'i'}{min(ciphers, 99):02}"
        f"{min(count, 99):02}{_ja4_alpn(hello.alpns)}_{ciphers_hash}_{types_hash}"
    )


@lru_cache(KEPT)
def hassh(text: str) -> str:
    """The hash of ``kex;encryption;mac;compression``."""
    return _md5(text)
