"""A flow that parsers read: what is unread of each side, what the parser asked for, and what it says.

Implements ``nsm.model.protocol.Conversation``. What is said goes to a ``Listener`` with the time of the packet in hand.

Long because it is both sides of one contract: what parsers say to a flow, and what the engine brings to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from nsm.errors import MalformedError
from nsm.iana import PROTO_TCP
from nsm.model.address import text
from nsm.model.protocol import FileSink, Match, Parser, ProtocolSpec, Row, Side

SWITCHES_MAX: Final = 4  # of protocol in one flow: STARTTLS, CONNECT and Upgrade in each other; more is no conversation
DERIVED: Final = frozenset(("doh2", "failed"))  # names of protocols that none of ours is recognised as
WAITING_PIECES_MAX: Final = 32  # before the protocol is known


Ends = tuple[int, ...]
"""src_hi, src_lo, dst_hi, dst_lo, src_port, dst_port, proto, vlan, vlan_inner, depth, ip_v, iface, flow_id: what every record of
a flow has in common; the client is the source, or where it is turned round the server."""


def turned(ends: Ends) -> Ends:
    """The server as source."""
    return (ends[2], ends[3], ends[0], ends[1], ends[5], ends[4], *ends[6:])


class Listener(Protocol):
    """Who takes what conversations say: the streams of one worker."""

    rows: bool
    compares: bool
    """Is it said when the two sides of a flow look like different protocols?"""

    def wants(self, kind: str) -> bool:
        """Is that event type written?"""

    def option(self, protocol: str, name: str, default: Any) -> Any:
        """A setting of a protocol."""

    def record(self, talk: Talk, kind: str, objects: Mapping[str, Any], from_server: bool, tx_id: int | None) -> None:
        """An event."""

    def row(self, talk: Talk, row: Row, ts_us: int) -> None:
        """A line of a Zeek log."""

    def wished(self, talk: Talk) -> None:
        """It wants bytes skipped, or to see no more."""

    def expect(self, server: str, port: int, name: str, note: Any) -> None:
        """A flow that is announced."""

    def describe(self, talk: Talk) -> None:
        """Its protocol, application or services changed."""

    def label_of(self, host: str) -> str:
        """The application that a host name belongs to, "" none."""

    def recognise(self, talk: Talk, data: bytes, side: Side) -> tuple[ProtocolSpec | None, bool]:
        """(the protocol of the first bytes of a side, may more of them decide?)."""

    def kept(self, size: int) -> None:
        """So many bytes more are kept unread, or fewer."""

    def unknown(self, talk: Talk) -> None:
        """Nobody knows its protocol."""

    def spec(self, name: str) -> ProtocolSpec | None:
        """The protocol of that name."""

    def file(self, talk: Talk, sender: Side, about: Mapping[str, Any]) -> FileSink:
        """A file of this flow begins."""


class Talk:
    """One flow. ``over``: nothing of it is to be handed in any more."""

    __slots__ = (
        "_carrier", "_files", "_ignored", "_lent", "_listener", "_note", "_parser", "_pending", "_spec", "_switch",
        "_switches", "_unread", "_waiting", "_wished",
        "app", "app_orig", "ends", "expected", "file_count", "heard", "label_name", "macs", "number", "odd_side", "over",
        "packet", "record_count", "record_place", "sent_by", "services", "transport", "ts_us",
    )  # fmt: skip

    def __init__(self, listener: Listener, ends: Ends, number: int, record_place: int) -> None:
        self._listener, self.ends, self.number, self.record_place = listener, ends, number, record_place
        self.transport = "tcp" if ends[6] == PROTO_TCP else "udp"
        self._wished = False
        self._parser: Parser | None = None
        self._spec: ProtocolSpec | None = None
        self._unread = [b"", b""]
        self._pending = [0, 0]  # bytes to skip that are still to be skipped here
        self._lent = [0, 0]  # bytes to skip that the kernel was told of
        self._files: list[FileSink | None] = [None, None]  # of which those bytes are
        self._ignored = 0
        self._note: Any = None
        self._waiting: list[tuple[Side, bytes]] = []
        self._switch: str | None = None
        self._switches = 0
        self._carrier = ""
        self.app = self.app_orig = self.odd_side = self.label_name = ""
        self.services: list[str] = []
        self.heard = 0
        self.sent_by = -1  # who sent the packet in hand, where that is not who sent the bytes; -1: it is
        self.macs: tuple[str, ...] = ()
        self.expected: Any = None
        self.over = False
        self.ts_us = self.packet = self.record_count = self.file_count = 0

    # What parsers read

    @property
    def client(self) -> str:
        """The client's address."""
        return text(self.ends[0], self.ends[1])

    @property
    def server(self) -> str:
        """The server's address."""
        return text(self.ends[2], self.ends[3])

    @property
    def client_port(self) -> int:
        """The client's port."""
        return self.ends[4]

    @property
    def server_port(self) -> int:
        """The server's port."""
        return self.ends[5]

    @property
    def rows(self) -> bool:
        """Are Zeek rows wanted?"""
        return self._listener.rows

    @property
    def origin(self) -> str:
        """The protocol before the last switch."""
        return self.app_orig

    def wants(self, kind: str) -> bool:
        """Is that event type written?"""
        return self._listener.wants(kind)

    def option(self, name: str, default: Any) -> Any:
        """A setting of this protocol."""
        return self._listener.option(self._spec.name if self._spec is not None else self.app, name, default)

    # What parsers say

    def emit(
        self, kind: str, objects: Mapping[str, Any], *, sender: Side | None = None, tx_id: int | None = None,
        app_proto: str = "",
    ) -> None:  # fmt: skip
        """An event."""
        if app_proto and app_proto != self.app:
            self.protocol(app_proto)
        self._listener.record(self, kind, objects, sender == Side.SERVER, tx_id)

    def row(self, row: Row, ts_us: int | None = None) -> None:
        """A line of a Zeek log."""
        self._listener.row(self, row, self.ts_us if ts_us is None else ts_us)

    def anomaly(self, event: str, *, side: Side | None = None, tx_id: int | None = None) -> None:
        """Something the protocol forbids."""
        about = {"app_proto": self.app, "event": event, "layer": "proto_parser", "type": "applayer"}
        self._listener.record(self, "anomaly", {"anomaly": about}, side == Side.SERVER, tx_id)

    def skip(self, side: Side, size: int, file: FileSink | None = None) -> None:
        """Bytes that do not concern the parser."""
        if size > 0:
            self._pending[side] += size
            self._files[side] = file
            self._wish()

    def _wish(self) -> None:
        if not self._wished:
            self._wished = True
            self._listener.wished(self)

    def ignore(self, side: Side) -> None:
        """A direction that does not concern the parser."""
        self._ignored |= 1 << side
        self._wish()

    def done(self) -> None:
        """Nothing more concerns the parser."""
        self._ignored = 3
        self.over = True
        self._wish()

    def switch(self, name: str, note: Any = None) -> None:
        """Another protocol from here on."""
        self._switch, self._note = name, note

    def expect(self, server: str, port: int, name: str, note: Any = None) -> None:
        """Announce a flow."""
        self._listener.expect(server, port, name, note)

    def named(self, host: str) -> None:
        """The name of what is spoken to."""
        if host and not self.label_name:
            found = self._listener.label_of(host)
            if found:
                self.label(found)

    def label(self, app: str) -> None:
        """The application behind the protocol."""
        if app != self.label_name:
            self.label_name = app
            self._listener.describe(self)

    def protocol(self, name: str) -> None:
        """What app_proto says from now on."""
        if name != self.app:
            if self._listener.compares:
                if name not in DERIVED and self._listener.spec(name) is None:
                    return  # it is not looked for
                self.app_orig = self.app_orig or self.app
            self.app = name
            self._listener.describe(self)

    def service(self, name: str) -> None:
        """A name for Zeek's service."""
        if name and name not in self.services:
            self.services.append(name)
            self._listener.describe(self)

    def file(
        self, sender: Side, *, source: str, filename: str = "", tx_id: int | None = None, size: int | None = None,
        attached: Callable[[], Mapping[str, Any]] | None = None, start: int | None = None, end: int | None = None,
        fallback: str = "", limit: int = 0, depth: int = 0,
    ) -> FileSink:  # fmt: skip
        """A file begins."""
        about = {
            "source": source, "filename": filename, "tx_id": tx_id, "size": size, "attached": attached, "start": start,
            "end": end, "fallback": fallback, "limit": limit, "depth": depth,
        }  # fmt: skip
        return self._listener.file(self, sender, about)

    # What the engine brings

    def heard_out(self) -> None:
        """The engine has taken all wishes over."""
        self._wished = False

    def wishes(self, side: int) -> tuple[int, bool]:
        """(bytes of that side to skip, is it ignored); the engine takes them over, and the skip is forgotten here."""
        file = self._files[side]
        if file is not None and self._pending[side] and file.wanted:
            return 0, bool(self._ignored >> side & 1)
        skip, self._pending[side] = self._pending[side], 0
        self._lent[side] += skip
        return skip, bool(self._ignored >> side & 1)

    def keep(self, side: int, skip: int) -> None:
        """The kernel cannot skip so many bytes now: it is done here."""
        self._pending[side] += skip
        self._lent[side] -= skip

    def give_back(self, side: int, left: int) -> None:
        """Of the bytes that the kernel was told to skip, ``left`` were not seen."""
        lent, self._lent[side] = self._lent[side], 0
        file = self._files[side]
        if file is not None and lent > left:
            file.passed(lent - left)

    def _drop(self) -> None:
        """Keep nothing unread."""
        size = len(self._unread[0]) + len(self._unread[1]) + sum([len(data) for _, data in self._waiting])
        if size:
            self._unread, self._waiting = [b"", b""], []
            self._listener.kept(-size)

    def begin(self, spec: ProtocolSpec) -> None:
        """The protocol is known."""
        self._spec = spec
        self._parser = spec.parser(self) if spec.parser is not None else None
        name = self._carrier or spec.name
        if self.app and self.app != name and not self.app_orig:
            self.app_orig = self.app
        self.app = name
        if spec.carrier:
            self._carrier = name
        if spec.service and not spec.both:
            self.services.append(spec.service)
        self._listener.describe(self)
        if self._parser is None:
            self.done()

    def data(self, side: Side, data: bytes) -> None:
        """The next bytes of a side, or a datagram."""
        if self._ignored >> side & 1:
            return
        if self._lent[side]:
            self.give_back(side, 0)
        if self._parser is None:
            self._first(side, data)
            return
        if not self.heard >> side & 1:
            self.heard |= 1 << side
            if self._listener.compares:
                self._compare(side, data)
            if self.heard == 3 and self._spec is not None and self._spec.both:
                self.service(self._spec.service)
        if self.transport == "udp":
            self._feed(self._parser, side, data)
            if self._switch is not None:
                self._leave_unread(side, data)  # the datagram in hand is the first of the next protocol
                self._change()
        else:
            self._read(side, data)

    def _compare(self, side: Side, data: bytes) -> None:
        """Does this side speak what the other does? The first to be recognised wins."""
        spec = self._spec
        if spec is None or self.heard != 3 or self._switches:
            return
        port = self.server_port in spec.ports or self.client_port in spec.ports
        if spec.probe(data, side, port) is not Match.NO:
            return
        found, _ = self._listener.recognise(self, data, side)
        if found is None or found.name == spec.name:
            return
        self.odd_side = f"{'tc' if side is Side.SERVER else 'ts'}:{found.name}"
        self._listener.describe(self)
        self._detected("APPLAYER_MISMATCH_PROTOCOL_BOTH_DIRECTIONS", side)

    def _detected(self, event: str, side: Side) -> None:
        """Something odd about which protocol it is."""
        about = {"app_proto": self.app, "event": event, "layer": "proto_detect", "type": "applayer"}
        self._listener.record(self, "anomaly", {"anomaly": about}, side == Side.SERVER, None)

    @property
    def others(self) -> list[str]:
        """What app_proto is beside its present value: the one before, and with tc: or ts: that of one side alone."""
        return [name for name in (self.app_orig, self.odd_side) if name]

    def _read(self, side: Side, data: bytes) -> None:  # noqa: C901 - one loop over what comes: calls would cost more
        if self._pending[side]:
            passed = self._pass(side, data)
            if passed == len(data):
                return
            data = data[passed:]
        if self._unread[side]:
            self._listener.kept(-len(self._unread[side]))
            data = self._unread[side] + data
            self._unread[side] = b""
        while data and not self._ignored >> side & 1:
            parser = self._parser
            if parser is None:
                self._first(side, data)
                return
            used = self._feed(parser, side, data)
            if self._switch is not None:
                self._leave_unread(side, data[used:])
                self._change()
                return
            if used:
                data = data[used:]
            passed = self._pass(side, data) if self._pending[side] else 0
            if used + passed == 0:
                break
            if passed:
                data = data[passed:]
        if self._ignored >> side & 1:
            data = b""
        elif self._spec is not None and len(data) > self._spec.buffer_max:
            self._fail(f"{self._spec.name}.too_much_unread")
            data = b""
        self._leave_unread(side, data)

    def _leave_unread(self, side: Side, data: bytes) -> None:
        if data:
            self._unread[side] = data
            self._listener.kept(len(data))

    def _pass(self, side: Side, data: bytes) -> int:
        """Skip as many of these bytes as the parser asked for, perhaps to a file; how many were."""
        passed = min(self._pending[side], len(data))
        self._pending[side] -= passed
        file = self._files[side]
        if passed and file is not None:
            if file.wanted:
                file.data(data if passed == len(data) else data[:passed])
            else:
                file.passed(passed)
        return passed

    def _feed(self, parser: Parser, side: Side, data: bytes) -> int:
        try:
            return parser.feed(side, data)
        except MalformedError as error:
            self._fail(str(error), side)
            return len(data)

    def _fail(self, event: str, side: Side | None = None) -> None:
        self.anomaly(event.partition(".")[2] or event, side=side)
        self.done()

    def _change(self) -> None:
        """Go on with another protocol; both sides' unread bytes are its first."""
        name, self._switch = self._switch or "", None
        if self._parser is not None:
            self._parser.finish()
        self._parser = None
        unread = self._unread
        self._drop()
        self._pending, self._lent, self._files, self._ignored, self.heard = [0, 0], [0, 0], [None, None], 0, 0
        self.over = False
        self._switches += 1
        if self._switches > SWITCHES_MAX:
            self.done()
            return
        self.expected, self._note = self._note, None
        spec = self._listener.spec(name) if name else None
        if spec is not None:
            self.begin(spec)
        for side in (Side.CLIENT, Side.SERVER):
            if unread[side]:
                self.data(side, unread[side])

    def _first(self, side: Side, data: bytes) -> None:
        """Bytes of a flow whose protocol is not known yet."""
        first = data
        if self._waiting and self.transport == "tcp":
            first = b"".join([piece for sender, piece in self._waiting if sender == side]) + data
        spec, more = self._listener.recognise(self, first, side)
        if spec is not None and not self._waiting:  # as it nearly always is
            self.begin(spec)
            self.data(side, data)
            return
        self._waiting.append((side, data))
        self._listener.kept(len(data))
        if spec is None:
            if len(self._waiting) >= WAITING_PIECES_MAX or (not more and not self._other_may(side)):
                self._drop()
                self._listener.unknown(self)
                self.done()
            return
        waiting = self._waiting
        self._drop()
        self.begin(spec)
        for sender, piece in waiting:
            self.data(sender, piece)

    def _other_may(self, side: Side) -> bool:
        """May the other side still tell? It is asked once it spoke, and a few pieces are waited for."""
        tried = {sender for sender, _ in self._waiting}
        return len(tried) < 2 and len(self._waiting) < 4

    def lost(self, side: Side, size: int) -> None:
        """Bytes of a side that were not seen."""
        passed = min(self._pending[side], size)
        self._pending[side] -= passed
        file = self._files[side]
        if passed and file is not None:
            file.gap(passed)
        size -= passed
        if size <= 0 or self._ignored >> side & 1:
            return
        if self._parser is None:
            self._drop()
            return
        self._listener.kept(-len(self._unread[side]))
        self._unread[side] = b""
        if not self._parser.gap(side, size):
            self.done()

    def finish(self) -> None:
        """The flow is over."""
        self.over = True
        parser, self._parser = self._parser, None
        if self._waiting:
            self._listener.unknown(self)
        self._drop()
        if parser is not None:
            parser.finish()
        self._files = [None, None]
