"""SOCKS 4, 4a and 5: one row of socks.log, then whatever is spoken through the proxy. RFC 1928; RFC 1929; SOCKS 4 and 4A notes.

EVE has no event of it. Passwords are never shown.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Addr, Conversation, Match, Port, ProtocolSpec, Row, Side
from nsm.wire.dns_message import ipv4_text, ipv6_text

VERSION_4: Final = 4
VERSION_5: Final = 5
CONNECT: Final = 1  # RFC 1928, section 4
COMMANDS: Final = (1, 2, 3)
NO_AUTHENTICATION: Final = 0  # RFC 1928, section 3
USER_AND_PASSWORD: Final = 2
ADDRESS_4, ADDRESS_NAME, ADDRESS_6 = 1, 3, 4  # RFC 1928, section 5
STATUS_5: Final = (
    "succeeded", "general SOCKS server failure", "connection not allowed by ruleset", "Network unreachable",
    "Host unreachable", "Connection refused", "TTL expired", "Command not supported", "Address type not supported",
)  # fmt: skip # RFC 1928, section 6
STATUS_4: Final = {
    0x5A: "succeeded", 0x5B: "general SOCKS server failure",
    0x5C: "request failed because client is not running identd",
    0x5D: "request failed because client's identd could not confirm the user ID string in the request",
}  # fmt: skip # SOCKS 4, in Zeek's words
EARLY_BYTES_MAX: Final = 16_384  # ours: what a side may send before it is its turn
FIELD_BYTES_MAX: Final = 512  # ours: of a user or host name of SOCKS 4


class SocksRow(Row):
    """A line of socks.log."""

    version: int
    user: str | None
    password: str | None
    status: str | None
    request__host: Addr | None
    request__name: str | None
    request_p: Port | None
    bound__host: Addr | None
    bound__name: str | None
    bound_p: Port | None


Place = tuple[str | None, str | None, int]  # address, name, port


def place_at(data: bytes, at: int) -> tuple[Place, int] | None:
    """(address or name, port; offset behind them) of version 5, None while it is not all there."""
    if at + 2 > len(data):
        return None
    kind = data[at]
    at += 1
    size = {ADDRESS_4: 4, ADDRESS_6: 16}.get(kind, 0)
    if kind == ADDRESS_NAME:
        size = data[at]
        at += 1
    elif not size:
        raise MalformedError("socks.address_type")
    end = at + size
    if end + 2 > len(data):
        return None
    raw = data[at:end]
    port = data[end] << 8 | data[end + 1]
    if kind == ADDRESS_NAME:
        return (None, raw.decode("utf-8", "surrogateescape"), port), end + 2
    return (ipv4_text(raw) if kind == ADDRESS_4 else ipv6_text(raw), None, port), end + 2


def _early(data: bytes) -> int:
    """Leave it for later, when it is not too much."""
    if len(data) > EARLY_BYTES_MAX:
        raise MalformedError("socks.out_of_turn")
    return 0


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A greeting of version 5 that fills the bytes, or a request of version 4."""
    if not data or data[0] not in (VERSION_4, VERSION_5) or side is Side.SERVER:
        return Match.NO
    if data[0] == VERSION_5:
        if len(data) < 3:
            return Match.MORE
        if len(data) == 2 + data[1] and data[1] and (port or data[1] < 10):
            known = all(method < 10 or method >= 0x80 for method in data[2:])
            return Match.YES if known else Match.NO
        return Match.MORE if port and len(data) < 2 + data[1] else Match.NO
    if len(data) < 9:
        return Match.MORE if len(data) < 2 or data[1] in COMMANDS else Match.NO
    return Match.YES if data[1] in (1, 2) and data[-1] == 0 and (port or data[2:4] != b"\0\0") else Match.NO


class SocksParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._version = 0
        self._stage = 0  # of version 5: 0 greeting, 1 choice, 2 log-in, 3 its answer, 4 request, 5 reply
        self._user: str | None = None
        self._asked: Place | None = None
        self._begun = 0
        self._said = False

    def feed(self, side: Side, data: bytes) -> int:
        """Read one step of the handshake."""
        if not self._version:
            if side is Side.SERVER:
                return _early(data)
            if data[0] not in (VERSION_4, VERSION_5):
                raise MalformedError("socks.version")
            self._version = data[0]
            self._begun = self._conv.ts_us
        if self._version == VERSION_4:
            return self._feed4(side, data)
        turn = Side.SERVER if self._stage in (1, 3, 5) else Side.CLIENT
        if side is not turn:
            return _early(data)
        return (self._greeting, self._choice, self._login, self._login_answer, self._request, self._reply)[self._stage](
            data
        )

    def gap(self, side: Side, size: int) -> bool:
        """The handshake cannot be followed without all of it."""
        return False

    def finish(self) -> None:
        """A request without a reply."""
        if self._asked is not None and not self._said:
            self._row(None, None)

    def _greeting(self, data: bytes) -> int:
        if len(data) < 2 or len(data) < 2 + data[1]:
            return 0
        self._stage = 1
        return 2 + data[1]

    def _choice(self, data: bytes) -> int:
        if len(data) < 2:
            return 0
        if data[1] not in (NO_AUTHENTICATION, USER_AND_PASSWORD):
            self._conv.done()
        self._stage = 2 if data[1] == USER_AND_PASSWORD else 4
        return 2

    def _login(self, data: bytes) -> int:
        if len(data) < 2 or len(data) < 3 + data[1]:
            return 0
        size = data[1]
        end = 3 + size + data[2 + size]
        if len(data) < end:
            return 0
        self._user = data[2 : 2 + size].decode("utf-8", "surrogateescape")
        self._stage = 3
        return end

    def _login_answer(self, data: bytes) -> int:
        if len(data) < 2:
            return 0
        self._stage = 4
        return 2

    def _request(self, data: bytes) -> int:
        if len(data) < 4:
            return 0
        found = place_at(data, 3)
        if found is None:
            return 0
        self._asked, end = found
        if self._asked[1]:
            self._conv.named(self._asked[1])
        self._stage = 5
        return end

    def _reply(self, data: bytes) -> int:
        if len(data) < 4:
            return 0
        found = place_at(data, 3)
        if found is None:
            return 0
        place, end = found
        code = data[1]
        self._row(STATUS_5[code] if code < len(STATUS_5) else f"unknown-{code}", place)
        self._through(code == 0)
        return end

    def _feed4(self, side: Side, data: bytes) -> int:
        if side is Side.CLIENT:
            if self._asked is not None:
                return _early(data)
            user = data.find(b"\0", 8)
            if len(data) < 9 or user < 0:
                if len(data) > FIELD_BYTES_MAX:
                    raise MalformedError("socks.user_too_long")
                return 0
            end = user + 1
            name: str | None = None
            if data[4:7] == b"\0\0\0" and data[7]:  # SOCKS 4A: the name follows
                last = data.find(b"\0", end)
                if last < 0:
                    if len(data) > 2 * FIELD_BYTES_MAX:
                        raise MalformedError("socks.name_too_long")
                    return 0
                name, end = data[end:last].decode("utf-8", "surrogateescape"), last + 1
                self._conv.named(name)
            self._user = data[8:user].decode("utf-8", "surrogateescape") or None
            self._asked = (None if name else ipv4_text(data[4:8]), name, data[2] << 8 | data[3])
            return end
        if len(data) < 8 or self._asked is None:
            return _early(data)
        self._row(STATUS_4.get(data[1], f"unknown-{data[1]}"), (ipv4_text(data[4:8]), None, data[2] << 8 | data[3]))
        self._through(data[1] == 0x5A)
        return 8

    def _through(self, granted: bool) -> None:
        """From here on it is what the client speaks to the one it asked for."""
        if granted:
            self._conv.switch("")
        else:
            self._conv.done()

    def _row(self, status: str | None, bound: Place | None) -> None:
        self._said = True
        if not self._conv.rows or self._asked is None:
            return
        host, name, port = self._asked
        bound_host, bound_name, bound_port = bound or (None, None, None)
        self._conv.row(
            SocksRow(
                self._version, self._user, None, status, Addr(host) if host else None, name, Port(port),
                Addr(bound_host) if bound_host else None, bound_name, None if bound_port is None else Port(bound_port),
            ),
            self._begun,
        )  # fmt: skip


SPEC: Final = ProtocolSpec(
    name="socks",
    transports=("tcp",),
    ports=(1080,),
    probe=probe,
    parser=SocksParser,
    service="socks",
    weight=1,
    carrier=True,
)
