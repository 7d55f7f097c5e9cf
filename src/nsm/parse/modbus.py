"""Modbus over TCP: one ``modbus`` event a request with its response, one row of modbus.log a message.

Modbus Application Protocol 1.1b3; Modbus Messaging on TCP/IP 1.0b, section 3.1.3 (the seven bytes in front).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Row, Side

UMAS: Final = 90  # Schneider's own function: programming and control
HEAD: Final = Struct("!HHHBB")  # transaction, protocol, length, unit, function
HEAD_BYTES: Final = 8
LENGTH_MAX: Final = 254  # Messaging on TCP/IP, section 4.1: 260 bytes with the six before
OPEN_MAX: Final = 500  # Suricata: more requests without an answer are a flood
BAD_MAX: Final = 10  # ours: a flow with so many wrong heads is no Modbus

# Application Protocol, section 5.1: Suricata's name, Zeek's name, access.
FUNCTIONS: Final = {
    1: ("RdCoils", "READ_COILS", "READ | COILS"),
    2: ("RdDiscreteInputs", "READ_DISCRETE_INPUTS", "READ | DISCRETES"),
    3: ("RdHoldRegs", "READ_HOLDING_REGISTERS", "READ | HOLDING"),
    4: ("RdInputRegs", "READ_INPUT_REGISTERS", "READ | INPUT"),
    5: ("WrSingleCoil", "WRITE_SINGLE_COIL", "WRITE | COILS | SINGLE"),
    6: ("WrSingleReg", "WRITE_SINGLE_REGISTER", "WRITE | HOLDING | SINGLE"),
    7: ("RdExcStatus", "READ_EXCEPTION_STATUS", ""),
    8: ("Diagnostic", "DIAGNOSTICS", ""),
    9: ("Program484", "PROGRAM_484", ""),
    10: ("Poll484", "POLL_484", ""),
    11: ("GetCommEventCtr", "GET_COMM_EVENT_COUNTER", ""),
    12: ("GetCommEventLog", "GET_COMM_EVENT_LOG", ""),
    13: ("ProgramController", "PROGRAM_584_984", ""),
    14: ("PollController", "POLL_584_984", ""),
    15: ("WrMultCoils", "WRITE_MULTIPLE_COILS", "WRITE | COILS | MULTIPLE"),
    16: ("WrMultRegs", "WRITE_MULTIPLE_REGISTERS", "WRITE | HOLDING | MULTIPLE"),
    17: ("ReportServerID", "REPORT_SLAVE_ID", ""),
    18: ("Program884", "PROGRAM_884_U84", ""),
    19: ("ResetCommLink", "RESET_COMM_LINK_884_U84", ""),
    20: ("RdFileRec", "READ_FILE_RECORD", "READ"),
    21: ("WrFileRec", "WRITE_FILE_RECORD", "WRITE"),
    22: ("MaskWrReg", "MASK_WRITE_REGISTER", "WRITE | HOLDING"),
    23: ("RdWrMultRegs", "READ_WRITE_MULTIPLE_REGISTERS", "READ | WRITE | HOLDING | MULTIPLE"),
    24: ("RdFIFOQueue", "READ_FIFO_QUEUE", "READ"),
    43: ("MEI", "ENCAP_INTERFACE_TRANSPORT", ""),
}
EXCEPTIONS: Final = {
    1: ("IllegalFunction", "ILLEGAL_FUNCTION"), 2: ("IllegalDataAddr", "ILLEGAL_DATA_ADDRESS"),
    3: ("IllegalDataValue", "ILLEGAL_DATA_VALUE"), 4: ("ServerDeviceFail", "SLAVE_DEVICE_FAILURE"),
    5: ("Ack", "ACKNOWLEDGE"), 6: ("ServerDeviceBusy", "SLAVE_DEVICE_BUSY"), 7: ("NegAck", "unknown-7"),
    8: ("MemParityErr", "MEMORY_PARITY_ERROR"), 10: ("GatewayPathUnavailable", "GATEWAY_PATH_UNAVAILABLE"),
    11: ("GatewayTargetFailToResp", "GATEWAY_TARGET_DEVICE_FAILED_TO_RESPOND"),
}  # fmt: skip # Application Protocol, section 7
DIAGNOSTICS: Final = {
    0: "RetQueryData", 1: "RestartCommOpt", 2: "RetDiagReg", 3: "ChangeInputDelimiter", 4: "ForceListenOnlyMode",
    10: "ClearCtrDiagReg", 11: "RetBusMsgCount", 12: "RetBusCommErrCount", 13: "RetBusExcErrCount", 14: "RetServerMsgCount",
    15: "RetServerNoRespCount", 16: "RetServerNAKCount", 17: "RetServerBusyCount", 18: "RetBusCharOverrunCount",
    20: "ClearOverrunCounterFlag",
}  # fmt: skip # Application Protocol, section 6.8.1
MEI_TYPES: Final = {13: "CANGenRefReqResp", 14: "RdDevId"}  # Application Protocol, section 6.19
READS: Final = frozenset((1, 2, 3, 4, 23))
WRITES: Final = frozenset((5, 6))
QUANTITY_MAX: Final = {
    1: 2000,
    2: 2000,
    3: 125,
    4: 125,
    15: 1968,
    16: 123,
}  # Application Protocol, sections 6.1 to 6.12


class Code(Record):
    """A number with a name."""

    raw: int
    code: str
    data: str | None = None


class Read(Record):
    """What is read: where and how much in a request, the data in a response."""

    address: int | None = None
    quantity: int | None = None
    data: str | None = None


class Write(Record):
    """A value that is written."""

    address: int
    data: int


class Message(Record):
    """A request or response."""

    transaction_id: int
    protocol_id: int
    unit_id: int
    function_raw: int
    function_code: str
    category: str
    error_flags: str
    access_type: str | None = None
    read: Read | None = None
    write: Write | None = None
    diagnostic: Code | None = None
    mei: Code | None = None
    exception: Code | None = None
    data: str | None = None


class Modbus(Record):
    """A request and its response."""

    id: int
    request: Message | None = None
    response: Message | None = None


class ModbusRow(Row):
    """A line of modbus.log."""

    tid: int
    unit: int
    func: str
    pdu_type: str
    exception: str | None


def category_of(function: int) -> str:
    """Application Protocol, section 5.1 and figure 7."""
    if function in FUNCTIONS and function not in (9, 10, 13, 14, 18, 19):
        return "PUBLIC_ASSIGNED"
    if function in (8, 9, 10, 13, 14, 18, 19, 40, 41, 42, 90, 91, 125, 126, 127):
        return "RESERVED"
    return "USER_DEFINED" if 65 <= function <= 72 or 100 <= function <= 110 else "PUBLIC_UNASSIGNED"


def errors_of(function: int, body: bytes, response: bool) -> str:
    """What is wrong with a message, "NONE" when nothing is."""
    if not function & 0x7F:
        return "FUNC_CODE"
    if function & 0x80:
        if len(body) != 1:
            return "DATA_LENGTH"
        return "NONE" if body[0] in EXCEPTIONS else "EXC_CODE"
    if response:
        if function in (1, 2, 3, 4) and (not body or body[0] != len(body) - 1):
            return "DATA_LENGTH" if not body else "DATA_VALUE"
        return "NONE"
    if function in (1, 2, 3, 4, 5, 6):
        if len(body) != 4:
            return "DATA_LENGTH"
        amount = body[2] << 8 | body[3]
        if function == 5:
            return "NONE" if amount in (0, 0xFF00) else "DATA_VALUE"
        return "DATA_VALUE" if function != 6 and not 0 < amount <= QUANTITY_MAX[function] else "NONE"
    if function in (15, 16):
        if len(body) < 5:
            return "DATA_LENGTH"
        amount = body[2] << 8 | body[3]
        wanted = (amount + 7) // 8 if function == 15 else amount * 2
        return "NONE" if 0 < amount <= QUANTITY_MAX[function] and body[4] == wanted == len(body) - 5 else "DATA_VALUE"
    return "NONE"


def probe(data: bytes, side: Side, port: bool) -> Match:
    """Protocol 0 and a length that fits; without the port the message has to fill the bytes."""
    if len(data) < HEAD_BYTES:
        return Match.MORE if port and (len(data) < 3 or not any(data[2:4])) else Match.NO
    _, protocol, length, _, function = HEAD.unpack_from(data)
    if protocol or not 2 <= length <= LENGTH_MAX or not function & 0x7F:
        return Match.NO
    if port:
        return Match.YES
    return Match.NO


class ModbusParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("modbus")
        self._open: dict[int, tuple[int, Message]] = {}
        self._count = 0
        self._bad = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Read messages."""
        at = 0
        size = len(data)
        while size - at >= HEAD_BYTES:
            transaction, protocol, length, unit, function = HEAD.unpack_from(data, at)
            if length < 2 or length > LENGTH_MAX:
                self._conv.anomaly("invalid_length", side=side, tx_id=self._count)
                raise MalformedError("invalid_length")
            end = at + 6 + length
            if end > size:
                break
            if protocol:
                self._conv.anomaly("invalid_protocol_id", side=side, tx_id=self._count)
                self._bad += 1
                if self._bad > BAD_MAX:
                    self._conv.done()
                    return size
            else:
                self._message(side, transaction, unit, function, data[at + HEAD_BYTES : end])
            at = end
        return at

    def gap(self, side: Side, size: int) -> bool:
        """A segment holds whole messages: the next begins with one, or reading ends at its length."""
        return True

    def finish(self) -> None:
        """Write the requests that were not answered."""
        for ident, request in self._open.values():
            self._emit(Modbus(ident, request))
        self._open.clear()

    def _emit(self, event: Modbus) -> None:
        if self._events:
            self._conv.emit("modbus", {"modbus": event})

    def _message(self, side: Side, transaction: int, unit: int, function: int, body: bytes) -> None:
        conv = self._conv
        response = side is Side.SERVER
        if conv.rows:
            self._row(transaction, unit, function, body, response)
        if function & 0x7F == UMAS:
            self._conv.label("umas")
        errors = errors_of(function, body, response)
        for flag, event in (
            ("FUNC_CODE", "invalid_function_code"),
            ("EXC_CODE", "invalid_exception_code"),
            ("DATA_VALUE", "invalid_value"),
            ("DATA_LENGTH", "invalid_length"),
        ):
            if errors == flag:
                conv.anomaly(event, side=side, tx_id=self._count)
        message = _record(transaction, unit, function, body, response, errors)
        if not response:
            self._count += 1
            if transaction in self._open:
                ident, request = self._open.pop(transaction)
                self._emit(Modbus(ident, request))
            if len(self._open) >= OPEN_MAX:
                conv.anomaly("flooded", side=side, tx_id=self._count)
                ident, request = self._open.pop(next(iter(self._open)))
                self._emit(Modbus(ident, request))
            self._open[transaction] = (self._count, message)
            return
        asked = self._open.pop(transaction, None)
        if asked is None:
            self._count += 1
            conv.anomaly("unsolicited_response", side=side, tx_id=self._count)
            self._emit(Modbus(self._count, None, message))
            return
        ident, request = asked
        if request.function_raw != function & 0x7F:
            conv.anomaly("value_mismatch", side=side, tx_id=ident)
        self._emit(Modbus(ident, request, message))

    def _row(self, transaction: int, unit: int, function: int, body: bytes, response: bool) -> None:
        names = FUNCTIONS.get(function & 0x7F)
        failed = function & 0x80 != 0
        name = names[1] + ("_EXCEPTION" if failed else "") if names else f"unknown-{function}"
        exception = None
        if failed and response and body:
            exception = EXCEPTIONS[body[0]][1] if body[0] in EXCEPTIONS else f"unknown-{body[0]}"
        self._conv.row(ModbusRow(transaction, unit, name, "RESP" if response else "REQ", exception))


def _record(transaction: int, unit: int, function: int, body: bytes, response: bool, errors: str) -> Message:
    raw = function & 0x7F
    name, _, access = FUNCTIONS.get(raw, ("Unknown", "", ""))
    read: Read | None = None
    write: Write | None = None
    diagnostic: Code | None = None
    mei: Code | None = None
    exception: Code | None = None
    rest: str | None = None
    if function & 0x80:
        if body and response:
            exception = Code(body[0], EXCEPTIONS[body[0]][0] if body[0] in EXCEPTIONS else "Unknown")
    elif raw in READS and errors == "NONE":
        if response:
            read = Read(data=body[1:].hex())
        elif len(body) >= 4:
            read = Read(body[0] << 8 | body[1], body[2] << 8 | body[3])
    elif raw in WRITES and len(body) >= 4:
        write = Write(body[0] << 8 | body[1], body[2] << 8 | body[3])
    elif raw == 8 and len(body) >= 2:
        code = body[0] << 8 | body[1]
        diagnostic = Code(code, DIAGNOSTICS.get(code, "Reserved"), body[2:].hex())
    elif raw == 43 and body and not response:
        mei = Code(body[0], MEI_TYPES.get(body[0], "Unknown"), body[1:].hex())
    elif body:
        rest = body.hex()
    return Message(
        transaction,
        0,
        unit,
        raw,
        name,
        category_of(raw),
        errors,
        access or None,
        read,
        write,
        diagnostic,
        mei,
        exception,
        rest,
    )


SPEC: Final = ProtocolSpec(
    name="modbus",
    transports=("tcp",),
    ports=(502,),
    probe=probe,
    parser=ModbusParser,
    service="modbus",
    kinds=("modbus",),
)
