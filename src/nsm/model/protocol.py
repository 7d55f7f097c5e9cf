"""What a protocol is to the engine: how it is recognised, what parses it, and what a parser may say of a conversation.

A parser does no input and output. It is given the bytes of both sides in order (of UDP the datagrams), says what it
understood, and knows neither the other parsers nor the flow table nor how events are written.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, Final, NewType, Protocol

import msgspec

BUFFER_BYTES_MAX: Final = 65_536  # of one side, that a parser may leave unread


class Side(IntEnum):
    """Who sent the bytes."""

    CLIENT = 0
    SERVER = 1

    @property
    def other(self) -> Side:
        """The one who was spoken to."""
        return Side.SERVER if self is Side.CLIENT else Side.CLIENT


class Match(IntEnum):
    """What the first bytes of one side look like to a protocol."""

    NO = 0
    MORE = 1
    """They may become it: ask again with more of them."""
    YES = 2


class Record(msgspec.Struct, omit_defaults=True, gc=False):
    """An object of an EVE event: field names are EVE's, and what has its default is left out of the event.

    Made once and never changed, though it is not frozen: mypyc drops the options of classes that it compiles.
    """


# What Zeek's columns hold beyond text, numbers and truth: the annotations of a Row say the column's type.
Time = NewType("Time", float)  # seconds since the epoch
Interval = NewType("Interval", float)  # seconds
Addr = NewType("Addr", str)
Port = NewType("Port", int)
Enum = NewType("Enum", str)


class Row(msgspec.Struct, gc=False):
    """A line of a Zeek log behind ts, uid and id.*: field names are Zeek's, ``__`` stands for the dot. None: unset.

    The log is the class's name: SmbFilesRow is a line of smb_files. (An attribute would become a field where mypyc compiles.)
    Types: str string, int count, bool, float double, Time, Interval, Addr, Port, Enum; list is a vector, frozenset a set.
    """


class RowAlone(Row, gc=False):
    """A line of a log that has neither uid nor id.*, as x509."""


@functools.cache
def log_of(row: type[Row]) -> str:
    """The log that lines of this class belong to."""
    return re.sub(r"(?<=.)(?=[A-Z])", "_", row.__name__.removesuffix("Row")).lower()


def row_classes() -> dict[str, type[Row]]:
    """Log -> its class, of all parsers that are loaded."""
    found = [*Row.__subclasses__(), *RowAlone.__subclasses__()]
    return {log_of(row): row for row in found if row is not RowAlone}


class FileSink(Protocol):
    """A file on its way through a conversation: what hashes it, names its type and writes its event."""

    def data(self, piece: bytes) -> None:
        """The next bytes, decoded."""

    def passed(self, size: int) -> None:
        """So many bytes were there and are not shown, since ``wanted`` is 0: they only count."""

    def gap(self, size: int) -> None:
        """So many bytes were not seen."""

    def close(self, truncated: bool = False) -> None:
        """No more comes; ``truncated``: although there should."""

    @property
    def wanted(self) -> int:
        """How many more bytes it wants to see; 0: from here on only sizes count."""

    @property
    def fuid(self) -> str:
        """Zeek's name of the file, "" when no rows are written."""

    @property
    def mime_type(self) -> str:
        """What the first bytes look like, "" while unknown."""

    @property
    def size(self) -> int:
        """Bytes seen so far."""


class Conversation(Protocol):
    """What a parser is given to speak through. One for each flow, living as long as the flow."""

    @property
    def transport(self) -> str:
        """The transport, tcp or udp."""

    @property
    def client(self) -> str:
        """The client's address as text."""

    @property
    def server(self) -> str:
        """The server's address as text."""

    @property
    def client_port(self) -> int:
        """The client's port."""

    @property
    def server_port(self) -> int:
        """The server's port."""

    @property
    def ts_us(self) -> int:
        """Time of the packet in hand, us UTC."""

    @property
    def rows(self) -> bool:
        """Are Zeek rows wanted? A parser that has to work for them looks here first."""

    @property
    def origin(self) -> str:
        """The protocol that the flow was before STARTTLS, CONNECT or an upgrade, "" none."""

    def wants(self, kind: str) -> bool:
        """Is that event type written at all?"""

    def option(self, name: str, default: Any) -> Any:
        """A setting of this protocol by its dotted name below ``app_layer.<protocol>`` or ``log.<kind>``."""

    def emit(
        self, kind: str, objects: Mapping[str, Any], *, sender: Side | None = None, tx_id: int | None = None,
        app_proto: str = "",
    ) -> None:  # fmt: skip
        """An event of type ``kind`` with these objects (Record, or what JSON knows) beside the envelope.

        ``sender``: whose address is the event's source; None: the client's. ``tx_id``: at the top level.
        """

    def row(self, row: Row, ts_us: int | None = None) -> None:
        """A line of a Zeek log, at that time (the packet's when None)."""

    def anomaly(self, event: str, *, side: Side | None = None, tx_id: int | None = None) -> None:
        """Something the protocol forbids, by Suricata's name; parsing goes on."""

    def skip(self, side: Side, size: int, file: FileSink | None = None) -> None:
        """What follows the bytes that ``feed`` says it used does not concern the parser, for so many bytes.

        They count, but are never shown; a gap inside them is none. Zero or less is allowed and does nothing.
        ``file``: they are of that file, which gets them as they go by: ``data`` while it wants them, ``passed``, ``gap``.
        """

    def ignore(self, side: Side) -> None:
        """All that follows of that side does not concern the parser."""

    def done(self) -> None:
        """Nothing of either side concerns the parser any more; ``finish`` is still called."""

    def switch(self, name: str, note: Any = None) -> None:
        """From the bytes on that ``feed`` says it did not use, both sides are another protocol: STARTTLS, CONNECT, Upgrade.

        "" recognises it anew by its content. The next parser reads ``note`` as ``expected``.
        """

    def expect(self, server: str, port: int, name: str, note: Any = None) -> None:
        """A flow from or to that address and port will be protocol ``name``; its parser reads ``note`` as ``expected``."""

    @property
    def expected(self) -> Any:
        """The note of the one who announced this flow, None when nobody did."""

    def named(self, host: str) -> None:
        """The name of what is spoken to (SNI, Host, question): the application's label comes of it."""

    def label(self, app: str) -> None:
        """The application behind the protocol, where the parser itself knows: nDPI's name in lower case."""

    def protocol(self, name: str) -> None:
        """Say ``name`` as app_proto of this flow from now on."""

    def service(self, name: str) -> None:
        """One more name for Zeek's ``service``; the protocol's own is there already."""

    def file(
        self, sender: Side, *, source: str, filename: str = "", tx_id: int | None = None, size: int | None = None,
        attached: Callable[[], Mapping[str, Any]] | None = None, start: int | None = None, end: int | None = None,
        fallback: str = "", limit: int = 0, depth: int = 0,
    ) -> FileSink:  # fmt: skip
        """A file begins.

        ``source`` is Zeek's ("HTTP"); ``size`` what was announced; ``attached`` gives the objects that stand beside
        ``fileinfo`` in its event, asked when the file is closed. ``start``, ``end``: of a range.
        ``fallback``: EVE's name of a file that ``filename`` does not name (the path of a URL); EVE has no event of one
        without either. ``limit``: EVE's file is truncated at that size, Zeek's goes on; 0: none.
        ``depth``: Zeek's, of parts within others.
        """


class Parser(Protocol):
    """Parses one flow. Holds no bytes: what it does not use comes again."""

    def feed(self, side: Side, data: bytes) -> int:
        """Read ``data``, which follows what was used so far; return how many bytes are used.

        The rest comes again with more behind it. Of UDP, ``data`` is one datagram, and the answer is not read.
        Raises MalformedError(slug): an anomaly of that name is written, and the flow is not parsed further.
        """

    def gap(self, side: Side, size: int) -> bool:
        """So many bytes of that side were lost, and what was left unread before them is gone with them.

        True: the parser can go on behind them; False: the flow is not parsed further.
        """

    def finish(self) -> None:
        """The flow is over, or parsing was given up: say what is still open."""


class ProtocolSpec(msgspec.Struct, frozen=True):
    """A protocol as discovery finds it. ``probe`` (data, side, port) says what the first bytes of a side look like.

    ``port`` of a probe: does one of the flow's ports belong to the protocol? Content without a magic may ask for that.
    """

    name: str
    """Suricata's app_proto where it has one, else nDPI's name in lower case."""
    transports: tuple[str, ...]
    ports: tuple[int, ...]
    probe: Callable[[bytes, Side, bool], Match]
    parser: Callable[[Conversation], Parser] | None = None
    """None: recognising is all."""
    service: str = ""
    """Zeek's name in conn.log; empty: Zeek has none."""
    both: bool = False
    """Zeek names the service only when both sides spoke it."""
    kinds: tuple[str, ...] = ()
    """Event types that it emits."""
    buffer_max: int = BUFFER_BYTES_MAX
    first: bytes = b""
    """Bytes that a side of it can begin with, where it is not asked on its own port; empty: any. Spares asking."""
    on_port: bool = False
    """Only asked where a port is its own."""
    carrier: bool = False
    """Its flow keeps this name, whatever it switches to: a proxy's protocol."""
    weight: int = 0
    """Asked before others with less; a protocol with a strong magic has more."""
