"""DCE/RPC, connection-oriented: calls of one association, over TCP or a named pipe of SMB. C706, chapter 12; [MS-RPCE].

Calls are paired by their id. Stub data are counted, not read: their meaning is in hundreds of interface definitions.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Interval, Record, Row, Side
from nsm.wire.dcerpc_names import INTERFACES
from nsm.wire.ntlm import Ntlm

HEAD_BYTES: Final = 16  # C706, section 12.6.3.1
CALLS_MAX: Final = 256  # ours: open calls of an association; clients have few at once
CONTEXTS_MAX: Final = 256  # ours: presentation contexts of an association
CONTEXT_ITEMS_MAX: Final = 64  # ours: in one bind

REQUEST: Final = 0
RESPONSE: Final = 2
FAULT: Final = 3
BIND: Final = 11
BINDACK: Final = 12
BINDNAK: Final = 13
ALTER: Final = 14
ALTER_RESPONSE: Final = 15
AUTH3: Final = 16

TYPES: Final = {
    0: "REQUEST", 1: "PING", 2: "RESPONSE", 3: "FAULT", 4: "WORKING", 5: "NOCALL", 6: "REJECT", 7: "ACK", 8: "CL_CANCEL",
    9: "FACK", 10: "CANCEL_ACK", 11: "BIND", 12: "BINDACK", 13: "BINDNAK", 14: "ALTER_CONTEXT", 15: "ALTER_CONTEXT_RESP",
    16: "AUTH3", 17: "SHUTDOWN", 18: "CO_CANCEL", 19: "ORPHANED", 20: "RTS",
}  # fmt: skip

_ANSWERS: Final = frozenset((RESPONSE, FAULT, BINDACK, BINDNAK, ALTER_RESPONSE))
_DULL: Final = {  # Zeek leaves these out of dce_rpc.log: they say nothing
    "winreg": frozenset(("BaseRegCloseKey", "BaseRegGetVersion", "BaseRegOpenKey", "BaseRegQueryValue",
                         "BaseRegDeleteKeyEx", "OpenLocalMachine", "BaseRegEnumKey", "OpenClassesRoot")),
    "spoolss": frozenset(("RpcSplOpenPrinter", "RpcClosePrinter")),
    "wkssvc": frozenset(("NetrWkstaGetInfo",)),
}  # fmt: skip


class Fragments(Record):
    """How the stub data of one direction came."""

    frag_cnt: int
    stub_data_size: int
    opnum: int | None = None


class Interface(Record):
    """An interface that was offered, or that a call is for."""

    uuid: str
    version: str
    ack_result: int | None = None
    ack_reason: int | None = None
    service: str | None = None
    procedure: str | None = None


class Dcerpc(Record):
    """A call and its answer."""

    request: str | None = None
    response: str | None = None
    call_id: int | None = None
    rpc_version: str | None = None
    req: Fragments | None = None
    res: Fragments | None = None
    interfaces: list[Interface] | None = None
    activityuuid: str | None = None
    seqnum: int | None = None
    opnum: int | None = None


class DceRpcRow(Row):
    """A call in Zeek's dce_rpc.log."""

    rtt: Interval | None
    named_pipe: str | None
    endpoint: str | None
    operation: str | None


def uuid_text(raw: bytes, big: bool = False) -> str:
    """A UUID as text; its first three parts are in the sender's byte order."""
    if not big:
        raw = raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:16]
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def names_of(uuid: str, opnum: int) -> tuple[str | None, str | None]:
    """(service, procedure) where they are known."""
    known = INTERFACES.get(uuid)
    return (known[0], known[1].get(opnum)) if known is not None else (None, None)


class Call:
    """One call that waits for its answer."""

    __slots__ = ("context", "frags", "kind", "opnum", "size", "ts_us")

    def __init__(self, kind: int, context: int, opnum: int, ts_us: int) -> None:
        self.kind = kind
        self.context = context
        self.opnum = opnum
        self.ts_us = ts_us
        self.frags = 0
        self.size = 0


class Association:
    """Calls of one connection or pipe. ``pdu`` gives a Dcerpc for each call that got its answer."""

    def __init__(self, conv: Conversation, pipe: str = "", over_smb: bool = False) -> None:
        self._conv = conv
        self._pipe = pipe
        self._over_smb = over_smb
        self._calls: dict[int, Call] = {}
        self._answers: dict[int, Call] = {}
        self._offered: list[Interface] = []
        self._contexts: dict[int, tuple[str, str]] = {}
        self._bound: list[int] = []
        self.ntlm = Ntlm()

    @staticmethod
    def size_of(data: bytes, at: int) -> int:
        """Bytes of the PDU whose head is at ``at``."""
        order = "little" if data[at + 4] & 0x10 else "big"
        size = int.from_bytes(data[at + 8 : at + 10], "little" if order == "little" else "big")
        if data[at] != 5 or data[at + 1] > 1 or data[at + 2] not in TYPES or size < HEAD_BYTES:
            raise MalformedError("malformed_data")
        return size

    def pdu(self, side: Side, data: bytes) -> Dcerpc | None:
        """Read one whole PDU; what it ends, if anything."""
        kind, flags, little = data[2], data[3], bool(data[4] & 0x10)
        call_id = self._u32(data, 12, little)
        auth = self._u16(data, 10, little)
        if auth and self._conv.rows:
            self.ntlm.read(data[-auth - 8 :])
            if self.ntlm.user is not None:
                self.ntlm.row(self._conv)
        version = f"{data[0]}.{data[1]}"
        if kind in (BIND, ALTER):
            return self._bind(kind, data, little, call_id)
        if kind in (BINDACK, ALTER_RESPONSE, BINDNAK):
            return self._bound_answer(kind, data, little, call_id, version)
        if kind == REQUEST and side is Side.CLIENT and len(data) >= 24:
            return self._request(data, flags, little, call_id, auth)
        if kind in (RESPONSE, FAULT) and len(data) >= 24:
            return self._response(kind, data, flags, call_id, auth, version)
        return None

    @staticmethod
    def _u16(data: bytes, at: int, little: bool) -> int:
        return int.from_bytes(data[at : at + 2], "little" if little else "big")

    @staticmethod
    def _u32(data: bytes, at: int, little: bool) -> int:
        return int.from_bytes(data[at : at + 4], "little" if little else "big")

    def _open(self, call_id: int, call: Call) -> None:
        if len(self._calls) >= CALLS_MAX:
            del self._calls[next(iter(self._calls))]  # the oldest: its answer will not come any more
        self._calls[call_id] = call

    def _bind(self, kind: int, data: bytes, little: bool, call_id: int) -> Dcerpc | None:
        self._open(call_id, Call(kind, 0, 0, self._conv.ts_us))
        self._offered = []
        self._bound = []
        at = 28
        for _ in range(min(data[24] if len(data) > 24 else 0, CONTEXT_ITEMS_MAX)):
            if at + 24 > len(data):
                break
            context = self._u16(data, at, little)
            uuid = uuid_text(data[at + 4 : at + 20], not little)
            version = f"{self._u16(data, at + 20, little)}.{self._u16(data, at + 22, little)}"
            self._offered.append(Interface(uuid=uuid, version=version))
            self._bound.append(context)
            if len(self._contexts) < CONTEXTS_MAX or context in self._contexts:
                self._contexts[context] = (uuid, version)
            at += 24 + 20 * data[at + 2]
        return None

    def _bound_answer(self, kind: int, data: bytes, little: bool, call_id: int, version: str) -> Dcerpc | None:
        call = self._calls.pop(call_id, None)
        interfaces = self._offered
        if kind != BINDNAK and len(data) >= 26:
            size = self._u16(data, 24, little)
            if kind == BINDACK and size > 1 and not self._over_smb:
                self._pipe = data[26 : 26 + size].rstrip(b"\0").decode("latin-1")
            at = 26 + size + (-(26 + size) % 4)
            count = data[at] if at < len(data) else 0
            acked: list[Interface] = []
            for item in range(min(count, len(interfaces))):
                here = at + 4 + 24 * item
                result, one = self._u16(data, here, little), interfaces[item]
                smb = 0 if self._over_smb else None  # Suricata never fills it
                acked.append(Interface(uuid=one.uuid, version=one.version, ack_result=result, ack_reason=smb))
            interfaces = acked or interfaces
        return Dcerpc(
            request=TYPES[call.kind] if call is not None else None, response=TYPES[kind], call_id=call_id,
            rpc_version=version, interfaces=interfaces or None,
        )  # fmt: skip

    def _request(self, data: bytes, flags: int, little: bool, call_id: int, auth: int) -> Dcerpc | None:
        call = self._calls.get(call_id)
        if call is None or flags & 1:
            call = Call(REQUEST, self._u16(data, 20, little), self._u16(data, 22, little), self._conv.ts_us)
            self._open(call_id, call)
        call.frags += 1
        call.size += self._stub(data, 40 if flags & 0x80 else 24, 24, auth)
        return None

    def _stub(self, data: bytes, head: int, less: int, auth: int) -> int:
        """Bytes of stub data as EVE counts them: over TCP with an object id, and with the head of an answer."""
        return max(0, len(data) - head - auth) if self._over_smb else max(0, len(data) - less)

    def _response(self, kind: int, data: bytes, flags: int, call_id: int, auth: int, version: str) -> Dcerpc | None:
        answer = self._answers.get(call_id)
        if answer is None:
            if len(self._answers) >= CALLS_MAX:
                self._answers.clear()
            answer = self._answers[call_id] = Call(kind, 0, 0, self._conv.ts_us)
        answer.frags += 1
        answer.size += self._stub(data, 24, 16, auth)
        if not flags & 2:
            return None
        del self._answers[call_id]
        call = self._calls.pop(call_id, None)
        if call is None or call.kind != REQUEST:
            res = Fragments(frag_cnt=answer.frags, stub_data_size=answer.size)
            return Dcerpc(request="REQUEST_LOST", response=TYPES[kind], call_id=call_id, rpc_version=version, res=res)
        listed = self._interface(call)
        if self._conv.rows and listed is not None:
            self._row(call, listed[0])
        return Dcerpc(
            request="REQUEST", response=TYPES[kind], call_id=call_id, rpc_version=version,
            req=Fragments(frag_cnt=call.frags, stub_data_size=call.size, opnum=call.opnum),
            res=Fragments(frag_cnt=answer.frags, stub_data_size=answer.size), interfaces=listed,
        )  # fmt: skip

    def _interface(self, call: Call) -> list[Interface] | None:
        """What a request is for, where its binding was seen."""
        uuid, version = self._contexts.get(call.context, ("", ""))
        if not uuid or call.kind != REQUEST:
            return None
        service, procedure = names_of(uuid, call.opnum)
        return [Interface(uuid=uuid, version=version, service=service, procedure=procedure)]

    def _row(self, call: Call, one: Interface) -> None:
        endpoint = one.service or f"unknown-{one.uuid}"
        operation = one.procedure or f"unknown-{call.opnum}"
        if operation in _DULL.get(endpoint, ()):
            return
        rtt = Interval((self._conv.ts_us - call.ts_us) / 1_000_000)
        self._conv.row(
            DceRpcRow(rtt=rtt, named_pipe=self._pipe or None, endpoint=endpoint, operation=operation), call.ts_us
        )

    def rest(self) -> list[Dcerpc]:
        """Calls without an answer, when the connection is over."""
        self.ntlm.row(self._conv)
        found = [
            Dcerpc(request=TYPES[call.kind], call_id=call_id, rpc_version="5.0",
                   req=Fragments(frag_cnt=call.frags, stub_data_size=call.size, opnum=call.opnum)
                   if call.kind == REQUEST else None, interfaces=self._interface(call))
            for call_id, call in self._calls.items()
        ]  # fmt: skip
        self._calls.clear()
        return found
