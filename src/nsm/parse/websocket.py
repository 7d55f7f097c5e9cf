"""WebSocket: one websocket event a frame. RFC 6455, section 5; comes by an upgrade of HTTP, never by its bytes alone.

Payloads are passed over unless the settings ask for them. Compressed messages stay as they are (RFC 7692).
"""

from __future__ import annotations

from base64 import b64encode
from typing import Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Side

PAYLOAD_BYTES_MAX: Final = 16_384  # ours: of a payload that is logged; Suricata keeps 64 KiB of a message
OPCODES: Final = {
    0: "continuation", 1: "text", 2: "binary", 8: "connection_close", 9: "ping", 10: "pong",
}  # fmt: skip # RFC 6455 section 11.8
FIN_TEXT: Final = 0x81  # a text message of one frame
PROBED_MIN: Final = 10  # ours: shorter may be chance
PROBED_MAX: Final = 131  # a longer frame has its length in more bytes
PAYLOAD_MAX: Final = 1 << 48  # ours: longer is no frame
PRINTED: Final = bytes(code if 32 <= code < 127 or code in b"\r\n\t" else 46 for code in range(256))


class WebsocketRecord(Record):
    """The websocket object of EVE."""

    fin: bool
    opcode: str
    mask: int | None = None
    payload_base64: str | None = None
    payload_printable: str | None = None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """An upgrade leads here; in the middle of a conversation one whole frame of readable text does."""
    if len(data) < PROBED_MIN or data[0] != FIN_TEXT:
        return Match.NO
    head = 6 if data[1] & 0x80 else 2  # RFC 6455 section 5.1: clients mask, servers do not
    if (data[1] & 0x7F) != len(data) - head or len(data) > PROBED_MAX:
        return Match.NO
    payload = unmasked(data[6:], data[2:6]) if head > 2 else data[2:]
    return Match.YES if payload.isascii() and payload.decode("ascii").isprintable() else Match.NO


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """A payload without its mask. RFC 6455 section 5.3."""
    size = len(payload)
    whole = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")


class WebsocketParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._base64 = bool(conv.option("payload_base64", False))
        self._printable = bool(conv.option("payload_printable", False))
        self._wants = conv.wants("websocket")

    def feed(self, side: Side, data: bytes) -> int:
        """Frames, one after the other."""
        at = 0
        while len(data) - at >= 2:
            used = self._frame(side, data, at)
            if not used:
                break
            at += used
            if at > len(data):
                self._conv.skip(side, at - len(data))
                return len(data)
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Where the next frame begins is not to be found."""
        return False

    def finish(self) -> None:
        """Frames are complete when they are written."""

    def _frame(self, side: Side, data: bytes, at: int) -> int:
        """Bytes of the frame at ``at``, which may lie beyond what is there; 0: too few to tell."""
        first, second = data[at], data[at + 1]
        size = second & 0x7F
        head = 2
        if size >= 126:
            head = 4 if size == 126 else 10
            if len(data) - at < head:
                return 0
            size = int.from_bytes(data[at + 2 : at + head], "big")
        mask = b""
        if second & 0x80:
            mask = data[at + head : at + head + 4]
            head += 4
            if len(mask) < 4:
                return 0
        if size > PAYLOAD_MAX or first & 0x0F not in OPCODES:
            self._conv.ignore(side)
            return len(data) - at
        shown = min(size, PAYLOAD_BYTES_MAX) if self._base64 or self._printable else 0
        if len(data) - at < head + shown:
            return 0
        if self._wants:
            self._write(side, first, mask, data[at + head : at + head + shown])
        return head + size

    def _write(self, side: Side, first: int, mask: bytes, payload: bytes) -> None:
        if mask and payload:
            payload = unmasked(payload, mask)
        record = WebsocketRecord(
            fin=bool(first & 0x80), opcode=OPCODES[first & 0x0F], mask=int.from_bytes(mask, "big") if mask else None,
            payload_base64=b64encode(payload).decode() if payload and self._base64 else None,
            payload_printable=payload.translate(PRINTED).decode("ascii") if payload and self._printable else None,
        )  # fmt: skip
        self._conv.emit("websocket", {"websocket": record}, sender=side)


SPEC: Final = ProtocolSpec(
    name="websocket", transports=("tcp",), ports=(), probe=probe, parser=WebsocketParser, service="websocket",
    kinds=("websocket",), weight=-5,
)  # fmt: skip
