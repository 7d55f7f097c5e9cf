"""NFS versions 2 and 3 over ONC RPC: one nfs event a call with its answer, files as they are read and written.

RFC 1094, RFC 1813; RPC RFC 5531. Version 4 is recognised, and its compounds are passed over.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from nsm.model.protocol import Conversation, FileSink, Match, ProtocolSpec, Record, Side
from nsm.wire.http_head import text

PROGRAM: Final = 100_003  # RFC 1813 section 2.1
SHOWN_BYTES_MAX: Final = 32_768  # ours: of a record that is looked at; more of a read is only counted
CALLS_MAX: Final = 1024  # ours: calls without answer
NAMES_MAX: Final = 4096  # ours: handles whose names are kept
FILES_MAX: Final = 64  # ours: files open at once
HANDLE_2: Final = 32  # RFC 1094 section 2.3.3
HANDLE_3_MAX: Final = 64  # RFC 1813 section 2.4

NAMES_2: Final = (
    "NULL", "GETATTR", "SETATTR", "ROOT", "LOOKUP", "READLINK", "READ", "WRITECACHE", "WRITE", "CREATE", "REMOVE", "RENAME",
    "LINK", "SYMLINK", "MKDIR", "RMDIR", "READDIR", "STATFS",
)  # fmt: skip # RFC 1094 section 2.2
NAMES_3: Final = (
    "NULL", "GETATTR", "SETATTR", "LOOKUP", "ACCESS", "READLINK", "READ", "WRITE", "CREATE", "MKDIR", "SYMLINK", "MKNOD",
    "REMOVE", "RMDIR", "RENAME", "LINK", "READDIR", "READDIRPLUS", "FSSTAT", "FSINFO", "PATHCONF", "COMMIT",
)  # fmt: skip # RFC 1813 section 3
STATUS: Final = {
    0: "OK", 1: "ERR_PERM", 2: "ERR_NOENT", 5: "ERR_IO", 6: "ERR_NXIO", 13: "ERR_ACCES", 17: "ERR_EXIST", 18: "ERR_XDEV",
    19: "ERR_NODEV", 20: "ERR_NOTDIR", 21: "ERR_ISDIR", 22: "ERR_INVAL", 27: "ERR_FBIG", 28: "ERR_NOSPC", 30: "ERR_ROFS",
    31: "ERR_MLINK", 63: "ERR_NAMETOOLONG", 66: "ERR_NOTEMPTY", 69: "ERR_DQUOT", 70: "ERR_STALE", 71: "ERR_REMOTE",
    10001: "ERR_BADHANDLE", 10002: "ERR_NOT_SYNC", 10003: "ERR_BAD_COOKIE", 10004: "ERR_NOTSUPP", 10005: "ERR_TOOSMALL",
    10006: "ERR_SERVERFAULT", 10007: "ERR_BADTYPE", 10008: "ERR_JUKEBOX",
}  # fmt: skip # RFC 1813 section 2.6
FLAVORS: Final = {0: "NULL", 1: "UNIX", 2: "SHORT", 3: "DES", 6: "GSS"}  # RFC 5531 section 8.2
NAMED: Final = frozenset(("LOOKUP", "CREATE", "MKDIR", "REMOVE", "RMDIR", "RENAME"))  # their handle is the directory's
OWN: Final = frozenset(("ACCESS", "READ", "WRITE", "COMMIT"))  # their handle is the file's
UNSAID: Final = frozenset(("NULL", "GETATTR"))  # Suricata does not log them


class Creds(Record):
    """AUTH_UNIX."""

    machine_name: str
    uid: int
    gid: int


class RpcRecord(Record):
    """The rpc object of EVE."""

    xid: int
    status: str
    auth_type: str
    creds: Creds | None = None


class Chunks(Record):
    """How a file went by."""

    first: bool
    last: bool
    last_xid: int
    chunks: int


class NfsRecord(Record):
    """The nfs object of EVE."""

    version: int
    procedure: str
    filename: str
    id: int
    file_tx: bool
    type: str
    status: str
    hhash: str | None = None
    read: Chunks | None = None
    write: Chunks | None = None
    rename: dict[str, str] | None = None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A call of the program, with a record's mark before it on TCP; an answer tells nothing."""
    if side is Side.SERVER:
        return Match.NO
    at = 4 if data[:1] >= b"\x80" and len(data) >= 8 and data[4:8] != b"\0\0\0\0" else 0
    if len(data) < at + 24:
        return Match.MORE if port else Match.NO
    call, rpc, program, version = (
        int.from_bytes(data[at + 4 * word : at + 4 * word + 4], "big") for word in (1, 2, 3, 4)
    )
    return Match.YES if (call, rpc, program) == (0, 2, PROGRAM) and 2 <= version <= 4 else Match.NO


class Xdr:
    """Reads XDR: RFC 4506. Beyond the end everything is zero or empty."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def u32(self) -> int:
        """An unsigned integer."""
        self.at += 4
        return int.from_bytes(self.data[self.at - 4 : self.at], "big")

    def u64(self) -> int:
        """An unsigned hyper."""
        return self.u32() << 32 | self.u32()

    def opaque(self) -> bytes:
        """Bytes with their length before them, as many as are there."""
        size = self.u32()
        found = self.data[self.at : self.at + size]
        self.at += size + -size % 4
        return found


class Call:
    """A call until its answer."""

    __slots__ = ("auth", "creds", "handle", "name", "number", "offset", "procedure", "renamed", "version", "xid")

    def __init__(self, xid: int, version: int, procedure: str) -> None:
        self.xid, self.version, self.procedure = xid, version, procedure
        self.number = self.offset = 0
        self.auth = "NULL"
        self.creds: Creds | None = None
        self.handle = b""
        self.name = ""
        self.renamed: dict[str, str] | None = None


class Transfer:
    """A file being read or written."""

    __slots__ = ("call", "chunks", "last", "last_xid", "sink")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.chunks = self.last_xid = 0
        self.last = False
        self.sink: FileSink | None = None


class NfsParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._calls: OrderedDict[int, Call] = OrderedDict()
        self._names: OrderedDict[bytes, str] = OrderedDict()
        self._transfers: OrderedDict[tuple[str, bytes], Transfer] = OrderedDict()
        self._count = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Records of TCP, one after the other; of UDP a datagram is one."""
        if self._conv.transport == "udp":
            self._message(side, data)
            return len(data)
        at = 0
        while len(data) - at >= 4:
            size = int.from_bytes(data[at : at + 4], "big") & 0x7FFFFFFF  # RFC 5531 section 11
            shown = min(size, SHOWN_BYTES_MAX)
            if len(data) - at < 4 + shown:
                break
            self._message(side, data[at + 4 : at + 4 + shown])
            at += 4 + size
            if at > len(data):
                self._conv.skip(side, at - len(data))
                return len(data)
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Where the next record begins is not to be found."""
        return False

    def finish(self) -> None:
        """Files that did not end."""
        for transfer in list(self._transfers.values()):
            self._end(transfer, truncated=not transfer.last)

    def _message(self, side: Side, data: bytes) -> None:
        if len(data) < 12:
            return
        xdr = Xdr(data)
        xid, kind = xdr.u32(), xdr.u32()
        if kind == 0 and side is Side.CLIENT:
            self._call(xid, xdr)
        elif kind == 1 and side is Side.SERVER:
            self._answer(xid, xdr)

    # Calls.

    def _call(self, xid: int, xdr: Xdr) -> None:
        xdr.u32()
        program, version, number = xdr.u32(), xdr.u32(), xdr.u32()
        names = NAMES_2 if version == 2 else NAMES_3
        if program != PROGRAM or version not in {2, 3} or number >= len(names):
            return
        call = Call(xid, version, names[number])
        flavor = xdr.u32()
        call.auth = FLAVORS.get(flavor, str(flavor))
        body = Xdr(xdr.opaque())
        if flavor == 1:
            body.u32()
            machine = text(body.opaque()[:255])
            call.creds = Creds(machine_name=machine, uid=body.u32(), gid=body.u32())
        xdr.u32()
        xdr.opaque()
        self._arguments(call, xdr)
        if len(self._calls) >= CALLS_MAX:
            self._calls.popitem(last=False)
        self._calls[xid] = call

    def _arguments(self, call: Call, xdr: Xdr) -> None:
        procedure = call.procedure
        if procedure in NAMED:
            call.handle = self._handle(call, xdr)
            call.name = text(xdr.opaque()[:255])
            if procedure == "RENAME":
                self._handle(call, xdr)
                call.renamed = {"from": call.name, "to": text(xdr.opaque()[:255])}
        elif procedure in OWN:
            call.handle = self._handle(call, xdr)
            call.name = self._names.get(call.handle, "")
        if procedure not in {"READ", "WRITE"}:
            self._count += 1
            call.number = self._count
            return
        transfer = self._transfer(call)
        if procedure == "READ":
            call.offset = xdr.u64() if call.version == 3 else xdr.u32()
            return
        for _ in range(4 if call.version == 3 else 3):  # offset, count and how it is to be kept
            xdr.u32()
        self._moved(transfer, Side.CLIENT, xdr.opaque(), call.xid)

    def _handle(self, call: Call, xdr: Xdr) -> bytes:
        if call.version == 3:
            return xdr.opaque()[:HANDLE_3_MAX]
        xdr.at += HANDLE_2
        return xdr.data[xdr.at - HANDLE_2 : xdr.at]

    # Answers.

    def _answer(self, xid: int, xdr: Xdr) -> None:
        call = self._calls.pop(xid, None)
        if call is None:
            return
        accepted = xdr.u32() == 0
        if accepted:
            xdr.u32()
            xdr.opaque()
            accepted = xdr.u32() == 0
        status = xdr.u32() if accepted and call.procedure != "NULL" else 0
        if call.procedure in {"READ", "WRITE"}:
            self._transferred(call, status, xdr)
            return
        handle = call.handle
        if call.procedure == "LOOKUP":
            handle = self._handle(call, xdr) if status == 0 else b""
        if status == 0 and call.procedure in {"LOOKUP", "CREATE"}:
            self._remember(call, handle, xdr)
        if call.procedure not in UNSAID and self._conv.wants("nfs"):
            objects = self._objects(call, STATUS.get(status, str(status)), accepted, handle)
            self._conv.emit("nfs", objects, sender=Side.SERVER, tx_id=call.number - 1)

    def _remember(self, call: Call, handle: bytes, xdr: Xdr) -> None:
        if call.procedure == "CREATE":  # of version 3 it may be missing
            handle = self._handle(call, xdr) if call.version == 2 or xdr.u32() else b""
        if handle:
            if len(self._names) >= NAMES_MAX:
                self._names.popitem(last=False)
            self._names[handle] = call.name

    def _transferred(self, call: Call, status: int, xdr: Xdr) -> None:
        transfer = self._transfers.get((call.procedure, call.handle))
        if transfer is None or call.procedure == "WRITE":
            return
        if status:
            return
        if call.version == 3:
            if xdr.u32():
                xdr.at += 84  # RFC 1813 section 2.5, fattr3
            xdr.u32()
            transfer.last = bool(xdr.u32())
            data = xdr.opaque()
        else:
            size = int.from_bytes(xdr.data[xdr.at + 20 : xdr.at + 24], "big")
            xdr.at += 68  # RFC 1094 section 2.3.5
            data = xdr.opaque()
            transfer.last = call.offset + len(data) >= size
        self._moved(transfer, Side.SERVER, data, call.xid)
        if transfer.last:
            self._end(transfer, truncated=False)

    # Files.

    def _transfer(self, call: Call) -> Transfer:
        key = (call.procedure, call.handle)
        transfer = self._transfers.get(key)
        if transfer is None:
            if len(self._transfers) >= FILES_MAX:
                self._end(next(iter(self._transfers.values())), truncated=True)
            self._count += 1
            transfer = self._transfers[key] = Transfer(call)
        call.number = transfer.call.number = transfer.call.number or self._count
        return transfer

    def _moved(self, transfer: Transfer, side: Side, data: bytes, xid: int) -> None:
        transfer.chunks += 1
        transfer.last_xid = xid
        if transfer.sink is None:
            transfer.sink = self._conv.file(
                side, source="NFS", filename=transfer.call.name, tx_id=transfer.call.number - 1,
                attached=partial(self._transfer_objects, transfer),
            )  # fmt: skip
        if transfer.sink.wanted:
            transfer.sink.data(data)
        else:
            transfer.sink.passed(len(data))

    def _end(self, transfer: Transfer, truncated: bool) -> None:
        del self._transfers[transfer.call.procedure, transfer.call.handle]
        if transfer.sink is not None:
            transfer.sink.close(truncated)
        if self._conv.wants("nfs"):
            objects = self._transfer_objects(transfer)
            self._conv.emit("nfs", objects, sender=Side.SERVER, tx_id=transfer.call.number - 1)

    def _transfer_objects(self, transfer: Transfer) -> Mapping[str, Any]:
        chunks = Chunks(first=True, last=transfer.last, last_xid=transfer.last_xid, chunks=transfer.chunks)
        call = transfer.call
        return self._objects(call, "OK", True, call.handle, chunks)

    def _objects(
        self, call: Call, status: str, accepted: bool, handle: bytes, chunks: Chunks | None = None
    ) -> Mapping[str, Any]:
        nfs = NfsRecord(
            version=call.version, procedure=call.procedure, filename=call.name, id=call.number, file_tx=chunks is not None,
            type="response", status=status, hhash=f"{zlib.crc32(handle):x}" if handle else None,
            read=chunks if call.procedure == "READ" else None, write=chunks if call.procedure == "WRITE" else None,
            rename=call.renamed,
        )  # fmt: skip
        rpc = RpcRecord(
            xid=call.xid, status="ACCEPTED" if accepted else "DENIED", auth_type=call.auth, creds=call.creds
        )
        return {"nfs": nfs, "rpc": rpc}


SPEC: Final = ProtocolSpec(
    name="nfs", transports=("udp", "tcp"), ports=(2049,), probe=probe, parser=NfsParser, kinds=("nfs", "fileinfo"), weight=10,
)  # fmt: skip
