"""DNP3: one ``dnp3`` event a request or response, one row of dnp3.log a response. IEEE 1815-2012, sections 4, 8 and 9.

A link frame is ten bytes of header and blocks of sixteen bytes, each with a checksum; segments of the transport function make
an application message. It is read over TCP and UDP.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Row, Side
from nsm.wire.dnp3_objects import OBJECTS_MAX, objects_of

START: Final = b"\x05\x64"  # IEEE 1815, section 9.2.4.1
HEADER_BYTES: Final = 10
LENGTH_MIN: Final = 5
BLOCK_BYTES: Final = 16
MESSAGE_BYTES_MAX: Final = 16_384  # ours: of one application message; the standard's fragments have 2,048
BAD_FRAMES_MAX: Final = 100  # ours: a flow with so many is something else
UNANSWERED_MAX: Final = 500  # Suricata: more requests without an answer are a flood
RESPONSE_MIN: Final = 129  # IEEE 1815, table 4-3
USER_DATA: Final = (3, 4)  # IEEE 1815, table 9-1: confirmed and unconfirmed user data
INDICATORS: Final = (
    "device_restart", "device_trouble", "local_control", "need_time", "class_3_events", "class_2_events", "class_1_events",
    "all_stations", "reserved_1", "reserved_2", "config_corrupt", "already_executing", "event_buffer_overflow",
    "parameter_error", "object_unknown", "no_func_code_support",
)  # fmt: skip # IEEE 1815, section 4.2.2.6, highest bit first
FUNCTIONS: Final = (
    "CONFIRM", "READ", "WRITE", "SELECT", "OPERATE", "DIRECT_OPERATE", "DIRECT_OPERATE_NR", "IMMED_FREEZE",
    "IMMED_FREEZE_NR", "FREEZE_CLEAR", "FREEZE_CLEAR_NR", "FREEZE_AT_TIME", "FREEZE_AT_TIME_NR", "COLD_RESTART",
    "WARM_RESTART", "INITIALIZE_DATA", "INITIALIZE_APPL", "START_APPL", "STOP_APPL", "SAVE_CONFIG", "ENABLE_UNSOLICITED",
    "DISABLE_UNSOLICITED", "ASSIGN_CLASS", "DELAY_MEASURE", "RECORD_CURRENT_TIME", "OPEN_FILE", "CLOSE_FILE", "DELETE_FILE",
    "GET_FILE_INFO", "AUTHENTICATE_FILE", "ABORT_FILE", "ACTIVATE_CONFIG", "AUTHENTICATE_REQ", "AUTHENTICATE_ERR",
)  # fmt: skip # IEEE 1815, table 4-2, in Zeek's words
ANSWERS: Final = {129: "RESPONSE", 130: "UNSOLICITED_RESPONSE", 131: "AUTHENTICATE_RESP"}


def _checksums() -> tuple[int, ...]:
    """Table of the checksum, IEEE 1815, section 9.2.4.3: polynomial 0x3D65, lowest bit first."""
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0xA6BC if value & 1 else 0)
        table.append(value)
    return tuple(table)


CHECKSUMS: Final = _checksums()


class Control(Record):
    """Control byte of the link."""

    dir: bool
    pri: bool
    fcb: bool
    fcv: bool
    function_code: int


class ApplicationControl(Record):
    """Control byte of the application."""

    fir: bool
    fin: bool
    con: bool
    uns: bool
    sequence: int


class Application(Record):
    """An application message."""

    control: ApplicationControl
    function_code: int
    complete: bool
    objects: list[dict[str, Any]] | None = None


class Dnp3(Record):
    """A request or response."""

    type: str
    control: Control
    src: int
    dst: int
    application: Application
    iin: dict[str, list[str]] | None = None


class Dnp3Row(Row):
    """A line of dnp3.log."""

    fc_request: str | None
    fc_reply: str | None
    iin: int | None


def checksum(data: bytes) -> int:
    """The checksum of these bytes."""
    value = 0
    for byte in data:
        value = value >> 8 ^ CHECKSUMS[(value ^ byte) & 0xFF]
    return value ^ 0xFFFF


def _sound(data: bytes, at: int, end: int) -> bool:
    """Does the checksum behind ``[at:end]`` fit?"""
    return checksum(data[at:end]) == data[end] | data[end + 1] << 8


def frame_bytes(length: int) -> int:
    """Size of a frame on the wire by its length field."""
    user = length - LENGTH_MIN
    return HEADER_BYTES + user + 2 * ((user + BLOCK_BYTES - 1) // BLOCK_BYTES)


def probe(data: bytes, side: Side, port: bool) -> Match:
    """Start bytes and the header's checksum."""
    if len(data) < HEADER_BYTES:
        return Match.MORE if data and START.startswith(data[:2]) and (port or len(data) > 1) else Match.NO
    if data[:2] != START or data[2] < LENGTH_MIN:
        return Match.NO
    return Match.YES if _sound(data, 0, 8) or port else Match.NO


class Dnp3Parser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("dnp3")
        self._objects_max = int(conv.option("max_objects", OBJECTS_MAX))
        self._parts: list[bytes] = [b"", b""]
        self._request: str | None = None
        self._asked_us = 0
        self._unanswered = 0
        self._bad = 0
        self._count = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Read frames."""
        at = 0
        size = len(data)
        while size - at >= HEADER_BYTES:
            if data[at : at + 2] != START:
                found = data.find(START, at)
                at = found if found >= 0 else size - (data[-1] == START[0])
                continue
            length = data[at + 2]
            if length < LENGTH_MIN:
                self._anomaly("len_too_small", side)
                at += 2
                continue
            if not _sound(data, at, at + 8):
                self._anomaly("bad_link_crc", side)
                at += 2
                continue
            end = at + frame_bytes(length)
            if end > size:
                break
            if length > LENGTH_MIN:
                self._frame(side, data, at, end)
            at = end
        return size if self._conv.transport == "udp" else at

    def gap(self, side: Side, size: int) -> bool:
        """The next start bytes are looked for."""
        self._parts[side] = b""
        return True

    def finish(self) -> None:
        """A request without an answer has no row, as in Zeek."""

    def _anomaly(self, event: str, side: Side) -> None:
        self._bad += 1
        if self._bad > BAD_FRAMES_MAX:
            raise MalformedError(event)
        self._conv.anomaly(event, side=side, tx_id=self._count)

    def _frame(self, side: Side, data: bytes, at: int, end: int) -> None:
        blocks = []
        for start in range(at + HEADER_BYTES, end, BLOCK_BYTES + 2):
            last = min(start + BLOCK_BYTES, end - 2)
            if not _sound(data, start, last):
                self._anomaly("bad_transport_crc", side)
                return
            blocks.append(data[start:last])
        user = b"".join(blocks)
        if data[at + 3] & 15 not in USER_DATA or not user:
            return
        transport = user[0]
        held = b"" if transport & 0x40 else self._parts[side]
        if not transport & 0x40 and not held:
            return  # its beginning was not seen
        held += user[1:]
        if len(held) > MESSAGE_BYTES_MAX:
            self._anomaly("too_long_reassembly", side)
            self._parts[side] = b""
            return
        if not transport & 0x80:
            self._parts[side] = held
            return
        self._parts[side] = b""
        if len(held) >= 2:
            dst, src = struct.unpack_from("<HH", data, at + 4)
            self._message(side, data[at + 3], dst, src, held)

    def _message(self, side: Side, control: int, dst: int, src: int, data: bytes) -> None:
        function = data[1]
        answer = function >= RESPONSE_MIN
        if answer and len(data) < 4:
            return
        iin = data[2] << 8 | data[3] if answer else 0
        if not self._count:
            self._conv.service(f"dnp3_{self._conv.transport}")
        self._row(function, iin)
        self._unanswered = 0 if answer else self._unanswered + 1
        if self._unanswered > UNANSWERED_MAX:
            if self._unanswered == UNANSWERED_MAX + 1:
                self._anomaly("flooded", side)
            return
        objects, wrong = objects_of(data, 4 if answer else 2, function, self._objects_max)
        if self._events:
            first = data[0]
            application = Application(
                ApplicationControl(
                    first & 0x80 != 0, first & 0x40 != 0, first & 0x20 != 0, first & 0x10 != 0, first & 15
                ),
                function,
                wrong is None,
                objects or None,
            )
            link = Control(
                control & 0x80 != 0, control & 0x40 != 0, control & 0x20 != 0, control & 0x10 != 0, control & 15
            )
            named = [name for bit, name in enumerate(INDICATORS) if iin & 0x8000 >> bit]
            event = Dnp3(
                "response" if answer else "request",
                link,
                src,
                dst,
                application,
                {"indicators": named} if named else None,
            )
            self._conv.emit("dnp3", {"dnp3": event})
        if wrong:
            self._anomaly(wrong, side)
        self._count += 1

    def _row(self, function: int, iin: int) -> None:
        conv = self._conv
        if not conv.rows:
            return
        if function < RESPONSE_MIN:
            self._request = FUNCTIONS[function] if function < len(FUNCTIONS) else f"unknown-{function}"
            self._asked_us = conv.ts_us
            return
        begun = self._asked_us if self._request is not None else conv.ts_us
        conv.row(Dnp3Row(self._request, ANSWERS.get(function, f"unknown-{function}"), iin), begun)
        self._request = None


SPEC: Final = ProtocolSpec(
    name="dnp3", transports=("tcp", "udp"), ports=(20000,), probe=probe, parser=Dnp3Parser, kinds=("dnp3",), weight=6
)  # fmt: skip
