"""Initial packets of QUIC, which anyone may read: their keys come from the connection id. RFC 9001, section 5; RFC 9369.

Also the header of a long packet and the frames that an Initial may hold.
"""

from __future__ import annotations

import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nsm.errors import MalformedError

V1: Final = 1
V2: Final = 0x6B3343CF  # RFC 9369, section 3.1

INITIAL: Final = 0  # RFC 9000, section 17.2: packet types of version 1
ZERO_RTT: Final = 1
HANDSHAKE: Final = 2
RETRY: Final = 3

CONNECTION_ID_BYTES_MAX: Final = 20  # RFC 9000, section 17.2
FRAMES_MAX: Final = 512  # ours: in one packet; hostile ones have a frame every two bytes

_SALT_DRAFT_22: Final = bytes.fromhex("7fbcdb0e7c66bbe9193a96cd21519ebd7a02644a")  # draft-ietf-quic-tls-22, section 5.2
_SALT_DRAFT_23: Final = bytes.fromhex("c3eef712c72ebb5a11a7d2432bb46365bef9f502")  # -23 to -28
_SALT_DRAFT_29: Final = bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899")  # -29 to -32
_SALT_V1: Final = bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")  # RFC 9001, section 5.2
_SALT_V2: Final = bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9")  # RFC 9369, section 3.3.1
_SALTS: Final = {
    V1: _SALT_V1,
    V2: _SALT_V2,
    0x51303530: bytes.fromhex("504574efd066fe2f9d945cfcdbd3a7f0d3b56b45"),  # Q050, as Chromium has it
    0x54303530: bytes.fromhex("7ff579e5acd072915580304c43a2367c60488310"),  # T050
    0x54303531: bytes.fromhex("7a4edef4e7ccee5fa4506c19124fc8ccda6e033d"),  # T051
    0xFACEB001: _SALT_DRAFT_22,  # mvfst
    0xFACEB002: _SALT_DRAFT_23,
    0xFACEB00E: _SALT_DRAFT_23,
}


def salt_of(version: int) -> bytes | None:
    """What the keys of a version start from, None when it is not known."""
    known = _SALTS.get(version)
    if known is not None:
        return known
    draft = version - 0xFF000000
    if 22 <= draft <= 34:
        if draft >= 33:
            return _SALT_V1
        return _SALT_DRAFT_22 if draft == 22 else _SALT_DRAFT_23 if draft < 29 else _SALT_DRAFT_29
    return None


class LongHeader:
    """What every version says at the start of a long packet (RFC 8999, section 5.1), and where the packet lies."""

    __slots__ = ("dcid", "end", "kind", "scid", "start", "token_at", "version")

    def __init__(self, version: int, dcid: bytes, scid: bytes, at: int) -> None:
        self.version = version
        self.dcid = dcid
        self.scid = scid
        self.kind = INITIAL
        self.token_at = at
        self.start = at
        """Of the protected packet number."""
        self.end = at


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, where it ends). RFC 9000, section 16."""
    if at >= end:
        raise MalformedError("quic.truncated")
    size = 1 << (data[at] >> 6)
    if at + size > end:
        raise MalformedError("quic.truncated")
    return int.from_bytes(data[at : at + size], "big") & (1 << (8 * size - 2)) - 1, at + size


def long_header(data: bytes, at: int, end: int) -> LongHeader:
    """Read the header of a long packet of a known version up to its end."""
    first = data[at]
    if at + 7 > end:
        raise MalformedError("quic.truncated")
    version = int.from_bytes(data[at + 1 : at + 5], "big")
    size = data[at + 5]
    here = at + 6 + size
    if size > CONNECTION_ID_BYTES_MAX or here >= end or data[here] > CONNECTION_ID_BYTES_MAX:
        raise MalformedError("quic.connection_id")
    dcid = data[at + 6 : here]
    scid = data[here + 1 : here + 1 + data[here]]
    here += 1 + data[here]
    header = LongHeader(version, dcid, scid, here)
    if version == 0:
        header.end = end
        return header
    kind = first >> 4 & 3
    header.kind = (kind - 1) & 3 if version == V2 else kind
    if header.kind == RETRY or salt_of(version) is None:
        header.end = end
        return header
    if header.kind == INITIAL:
        size, here = varint(data, here, end)
        here += size
    size, here = varint(data, here, end)
    if here + size > end:
        raise MalformedError("quic.truncated")
    header.start = here
    header.end = here + size
    return header


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label of SHA-256 for at most 32 bytes. RFC 8446, section 7.1; RFC 5869."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0\1"
    return hmac.digest(secret, info, "sha256")[:size]


class InitialKeys:
    """The keys of one side."""

    def __init__(self, secret: bytes, version: int) -> None:
        prefix = b"quicv2 " if version == V2 else b"quic "
        self._seal = AESGCM(_expand(secret, prefix + b"key", 16))
        self._iv = int.from_bytes(_expand(secret, prefix + b"iv", 12), "big")
        # RFC 9001, section 5.4.3: header protection is one block of AES in ECB, which is no use of ECB for text.
        self._mask = Cipher(algorithms.AES(_expand(secret, prefix + b"hp", 16)), modes.ECB()).encryptor()  # noqa: S305

    def open(self, data: bytes, at: int, header: LongHeader) -> bytes | None:
        """The frames of the Initial packet that begins at ``at``; None when it cannot be opened."""
        start = header.start
        if header.end - start < 20:
            return None
        mask = self._mask.update(data[start + 4 : start + 20])
        first = data[at] ^ mask[0] & 0x0F
        size = (first & 3) + 1
        number = int.from_bytes(data[start : start + size], "big") ^ int.from_bytes(mask[1 : 1 + size], "big")
        head = bytes([first]) + data[at + 1 : start] + number.to_bytes(size, "big")
        # Packet numbers of Initials are small: what was cut off at their top is always zero.
        nonce = (self._iv ^ number).to_bytes(12, "big")
        try:
            return self._seal.decrypt(nonce, data[start + size : header.end], head)
        except InvalidTag:
            return None


def keys_of(version: int, dcid: bytes) -> tuple[InitialKeys, InitialKeys] | None:
    """(client's, server's) keys for the connection id that the client chose first."""
    salt = salt_of(version)
    if salt is None:
        return None
    secret = hmac.digest(salt, dcid, "sha256")
    return (
        InitialKeys(_expand(secret, b"client in", 32), version),
        InitialKeys(_expand(secret, b"server in", 32), version),
    )


def crypto_frames(payload: bytes) -> tuple[list[tuple[int, bytes]], bool]:
    """((offset, piece) of the CRYPTO frames, whether the connection is closed). RFC 9000, section 12.4 and 19."""
    found: list[tuple[int, bytes]] = []
    at, end = 0, len(payload)
    for _ in range(FRAMES_MAX):
        if at >= end:
            break
        kind = payload[at]
        at += 1
        if kind == 0x00:
            at = end - len(payload[at:].lstrip(b"\0"))
        elif kind in {0x06, 0x08}:  # 8 is Google's number for it; a stream is not allowed in an Initial
            offset, at = varint(payload, at, end)
            size, at = varint(payload, at, end)
            if at + size > end:
                raise MalformedError("quic.truncated")
            found.append((offset, payload[at : at + size]))
            at += size
        elif kind in {0x02, 0x03}:
            at = _after_ack(payload, at, end, kind == 0x03)
        elif kind == 0x1C:
            return found, True
        elif kind != 0x01:
            break  # nothing else is allowed here; what came before it is worth having
    return found, False


def _after_ack(payload: bytes, at: int, end: int, counts: bool) -> int:
    """Where an ACK frame ends. RFC 9000, section 19.3."""
    _, at = varint(payload, at, end)
    _, at = varint(payload, at, end)
    ranges, at = varint(payload, at, end)
    _, at = varint(payload, at, end)
    for _ in range(2 * ranges + (3 if counts else 0)):  # each takes a byte, so the packet bounds it
        _, at = varint(payload, at, end)
    return at
