"""BitTorrent's distributed hash table: one ``bittorrent_dht`` event a message. BEP 5; IPv6 nodes: BEP 32.

Zeek writes nothing of it.
"""

from __future__ import annotations

from typing import Any, Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Side
from nsm.wire.bencode import BencodeError, decode
from nsm.wire.dns_message import ipv4_text, ipv6_full, text

STARTS: Final = (b"d1:ad", b"d1:rd", b"d1:el", b"d2:ip", b"d1:el")  # BEP 5: keys are sorted
NODE_BYTES: Final = 26  # BEP 5, "contact encoding": 20 of the id, 6 of address and port
NODE6_BYTES: Final = 38  # BEP 32
NODES_MAX: Final = 64  # ours: of a message that are shown
VALUES_MAX: Final = 128  # ours
BAD_MESSAGES_MAX: Final = 20  # ours


class Peer(Record):
    """Address and port."""

    ip: str
    port: int


class Node(Record):
    """A node."""

    id: str
    ip: str
    port: int


class Error(Record):
    """Why it was refused."""

    num: int | None = None
    msg: str | None = None


class Request(Record):
    """Arguments of a query."""

    id: str
    target: str | None = None
    info_hash: str | None = None
    token: str | None = None
    port: int | None = None
    implied_port: int | None = None


class Response(Record):
    """Values of a response."""

    id: str
    nodes: list[Node] | None = None
    nodes6: list[Node] | None = None
    token: str | None = None
    values: list[Peer] | None = None


class Dht(Record):
    """A message."""

    transaction_id: str
    client_version: str | None = None
    request_type: str | None = None
    request: Request | None = None
    response: Response | None = None
    error: Error | None = None


def _hex(found: dict[bytes, Any], key: bytes) -> str | None:
    value = found.get(key)
    return value.hex() if isinstance(value, bytes) else None


def _number(found: dict[bytes, Any], key: bytes) -> int | None:
    value = found.get(key)
    return value if isinstance(value, int) else None


def _nodes(raw: Any, width: int) -> list[Node] | None:
    if not isinstance(raw, bytes) or not raw or len(raw) % width:
        return None
    nodes = []
    for at in range(0, min(len(raw), width * NODES_MAX), width):
        address = raw[at + 20 : at + width - 2]
        shown = ipv4_text(address) if len(address) == 4 else ipv6_full(address)
        nodes.append(Node(raw[at : at + 20].hex(), shown, int.from_bytes(raw[at + width - 2 : at + width], "big")))
    return nodes


def _peers(values: Any) -> list[Peer] | None:
    if not isinstance(values, list):
        return None
    peers = []
    for raw in values[:VALUES_MAX]:
        if isinstance(raw, bytes) and len(raw) in (6, 18):
            address = ipv4_text(raw[:4]) if len(raw) == 6 else ipv6_full(raw[:16])
            peers.append(Peer(address, int.from_bytes(raw[-2:], "big")))
    return peers or None


def message_of(found: dict[bytes, Any]) -> Dht | None:
    """The event of a message, None when it is none."""
    kind = found.get(b"y")
    asked, told, failed = found.get(b"a"), found.get(b"r"), found.get(b"e")
    common = (_hex(found, b"t") or "", _hex(found, b"v"))
    if kind == b"q" and isinstance(asked, dict) and isinstance(found.get(b"q"), bytes):
        request = Request(
            _hex(asked, b"id") or "", _hex(asked, b"target"), _hex(asked, b"info_hash"), _hex(asked, b"token"),
            _number(asked, b"port"), _number(asked, b"implied_port"),
        )  # fmt: skip
        return Dht(*common, text(found[b"q"]), request)
    if kind == b"r" and isinstance(told, dict):
        nodes, nodes6 = _nodes(told.get(b"nodes"), NODE_BYTES), _nodes(told.get(b"nodes6"), NODE6_BYTES)
        response = Response(_hex(told, b"id") or "", nodes, nodes6, _hex(told, b"token"), _peers(told.get(b"values")))
        return Dht(*common, response=response)
    if kind == b"e" and isinstance(failed, list):
        number = failed[0] if failed and isinstance(failed[0], int) else None
        words = text(failed[1]) if len(failed) > 1 and isinstance(failed[1], bytes) else None
        return Dht(*common, error=Error(number, words))
    return None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A dictionary that begins as messages do and says its kind."""
    return Match.YES if data.startswith(STARTS) and (b"1:y1:" in data or len(data) > 1000) else Match.NO


class DhtParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("bittorrent_dht")
        self._count = 0
        self._bad = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Read one message."""
        event: Dht | None = None
        whole = False
        try:
            found = decode(data)
            event = message_of(found)
            whole = isinstance(found.get(b"t"), bytes)
        except BencodeError:
            pass
        if event is not None and self._events:
            self._conv.emit("bittorrent_dht", {"bittorrent_dht": event}, sender=side)
        if event is None or not whole:
            self._bad += 1
            self._conv.anomaly("malformed_packet", side=side, tx_id=self._count)
            if self._bad > BAD_MESSAGES_MAX:
                raise MalformedError("malformed_packet")
        self._count += 1
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have none."""
        return False

    def finish(self) -> None:
        """Nothing is open."""


SPEC: Final = ProtocolSpec(
    name="bittorrent-dht", transports=("udp",), ports=(6881,), probe=probe,
    first=b"d", parser=DhtParser, kinds=("bittorrent_dht",),
    weight=8,
)  # fmt: skip
