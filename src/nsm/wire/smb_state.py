"""What both generations of SMB share: files, trees, open commands and how they are told. [MS-SMB2], [MS-CIFS].

``parse.smb`` knows the messages; this knows what an event and a row of them is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nsm.model.protocol import Conversation, Enum, FileSink, Row, Side, Time
from nsm.wire.dcerpc import HEAD_BYTES, Association, Dcerpc
from nsm.wire.krb5 import Exchange, Message, find_ap_req
from nsm.wire.ntlm import Ntlm
from nsm.wire.smb_names import DOS_STATES, STATES, guid_text

COMMANDS_MAX: Final = 1024  # ours: that wait for an answer; servers grant 512 credits at most
FILES_MAX: Final = 1024  # ours: open in a flow
TREES_MAX: Final = 256  # ours
MORE_PROCESSING: Final = 0xC0000016  # [MS-ERREF], section 2.3.1
PIPE_BYTES_MAX: Final = 65_536  # ours: of a fragment of a call that is not whole


class SmbFilesRow(Row):
    """A file operation in Zeek's smb_files.log."""

    fuid: str | None
    action: Enum
    path: str | None
    name: str | None
    size: int | None
    prev_name: str | None
    times__modified: Time | None
    times__accessed: Time | None
    times__created: Time | None
    times__changed: Time | None


class SmbMappingRow(Row):
    """A share in Zeek's smb_mapping.log."""

    path: str | None
    service: str | None
    native_file_system: str | None
    share_type: str | None


class Tree:
    """A share."""

    __slots__ = ("is_pipe", "name")

    def __init__(self, name: str, is_pipe: bool) -> None:
        self.name = name
        self.is_pipe = is_pipe


class Command:
    """A command that waits for its answer. ``fields`` are those of the event."""

    __slots__ = ("data", "fid", "fields", "kind", "name", "offset", "told")

    def __init__(self, name: str, kind: str, fields: dict[str, Any], told: bool = True) -> None:
        self.name = name
        self.kind = kind
        self.fields = fields
        self.told = told
        self.fid = b""
        self.offset = 0
        self.data: Any = None


class File:
    """An open file or pipe."""

    def __init__(self, name: str, tree: Tree | None, base: dict[str, Any]) -> None:
        self.name = name
        self.tree = tree
        self.base = base
        self.size = 0
        self.times: tuple[float, float, float, float] | None = None
        """Modified, accessed, created, changed."""
        self.action = ""
        """What its row will say, when it is closed: opening it is only that while nothing else came."""
        self.previous: str | None = None
        self.opened_us = 0
        self.sinks: list[FileSink | None] = [None, None]
        self.next = [0, 0]
        self.commands = ["", ""]
        self.ids = [0, 0]
        self.pipe: Association | None = None
        self.calls: dict[int, tuple[str, dict[str, Any]]] = {}
        self.pending = [b"", b""]


class SmbState:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self.conv = conv
        self.dialect = "unknown"
        self.trees: dict[int, Tree] = {}
        self.files: dict[bytes, File] = {}
        self.commands: dict[tuple[int, int], Command] = {}
        self.ntlm = Ntlm()
        self.tickets = Exchange(conv)
        self._types: list[str] | None = conv.option("types", None)
        self._count = 0
        self._said: set[Any] = set()

    def next_id(self) -> int:
        """Numbers of the events, from 1 on in the order of the requests."""
        self._count += 1
        return self._count

    def login(self, blob: bytes, fields: dict[str, Any]) -> None:
        """The token of a session set-up: NTLM or Kerberos."""
        kind = self.ntlm.read(blob)
        if kind:
            if kind == 1:
                self.conv.service("gssapi")
                self.conv.service("ntlm")
            return
        ticket = find_ap_req(blob)
        if ticket is not None:
            self.conv.service("gssapi")
            self.conv.service("krb")
            self.tickets.take(ticket)
            fields["kerberos"] = _kerberos(ticket)

    def logged_in(self, code: int, fields: dict[str, Any]) -> None:
        """Its answer; more to come is none."""
        found = ntlm_fields(self.ntlm)
        if found is not None and "kerberos" not in fields:
            fields["ntlmssp"] = found
        if code == MORE_PROCESSING:
            return
        self.tickets.accepted(code == 0)
        if self.ntlm.user is not None:
            self.ntlm.success = code == 0
            self.ntlm.row(self.conv)

    def emit(self, kind: str, fields: Mapping[str, Any]) -> None:
        """One event; ``kind`` is what log.smb.types calls it."""
        if self._types is not None and kind not in self._types:
            return
        if self.conv.wants("smb"):
            self.conv.emit("smb", {"smb": {"dialect": self.dialect, **fields}})

    def opened(self, key: tuple[int, int], command: Command) -> None:
        """A request."""
        if len(self.commands) >= COMMANDS_MAX:
            del self.commands[next(iter(self.commands))]  # the oldest: its answer will not come any more
        self.commands[key] = command

    def answered(self, command: Command, status: dict[str, Any]) -> None:
        """Its response."""
        if command.told:
            self.emit(command.kind, {**command.fields, **status})

    def add_file(self, fid: bytes, file: File) -> None:
        """A file was opened; the oldest leaves when there are too many."""
        if len(self.files) >= FILES_MAX:
            self.close(next(iter(self.files)))
        self.files[fid] = file

    def add_tree(self, number: int, tree: Tree) -> None:
        """A share was connected."""
        if len(self.trees) >= TREES_MAX:
            del self.trees[next(iter(self.trees))]
        self.trees[number] = tree

    def file_of(self, fid: bytes, base: dict[str, Any], tree: int) -> File:
        """The file of an id; one that was opened before the capture began has no name."""
        file = self.files.get(fid)
        if file is None:
            file = File("", self.trees.get(tree), base)
            self.add_file(fid, file)
        return file

    def sink(self, side: Side, fid: bytes, file: File, offset: int, command: str) -> FileSink:
        """Where the next bytes of a file go, after what was left out."""
        sink = file.sinks[side]
        if sink is None:
            file.commands[side] = command
            file.ids[side] = self.next_id()
            fields = self._file_fields(side, fid, file)
            sink = self.conv.file(side, source="SMB", filename=file.name, tx_id=file.ids[side] - 1, size=file.size or None,
                                  attached=lambda: {"smb": {"dialect": self.dialect, **fields}})  # fmt: skip
            file.sinks[side] = sink
        if offset > file.next[side]:
            sink.gap(offset - file.next[side])
            file.next[side] = offset
        return sink

    @staticmethod
    def _file_fields(side: Side, fid: bytes, file: File) -> dict[str, Any]:
        found = {"id": file.ids[side], "command": file.commands[side], "status": "STATUS_SUCCESS", "status_code": "0x0"}
        return {**file.base, **found, **({"filename": file.name} if file.name else {}), "fuid": guid_text(fid)}

    def close(self, fid: bytes) -> None:
        """A file was closed: its transfers are told."""
        file = self.files.pop(fid, None)
        if file is None:
            return
        self._row(file)
        for side in (Side.CLIENT, Side.SERVER):
            sink = file.sinks[side]
            if sink is not None:
                sink.close()
                self.emit("file", self._file_fields(side, fid, file))
        if file.pipe is not None:
            for call in file.pipe.rest():
                self._call(file, call)

    def _row(self, file: File) -> None:
        """A row of smb_files.log; pipes have none, and what was said before is not said again."""
        if not self.conv.rows or not file.action or (file.tree is not None and file.tree.is_pipe):
            return
        times, path = file.times, file.tree.name if file.tree is not None else None
        said = (file.action, file.name, path, file.size, times)
        if said in self._said:
            return
        if len(self._said) >= FILES_MAX:
            self._said.clear()
        self._said.add(said)
        self.conv.row(
            SmbFilesRow(
                fuid=None, action=Enum("SMB::" + file.action), path=path,
                name=file.name or "<share_root>", size=file.size, prev_name=file.previous,
                times__modified=Time(times[0]) if times else None, times__accessed=Time(times[1]) if times else None,
                times__created=Time(times[2]) if times else None, times__changed=Time(times[3]) if times else None,
            ),
            file.opened_us,
        )  # fmt: skip

    def mapping(self, tree: Tree, service: str | None, system: str | None, share_type: str | None) -> None:
        """A row of smb_mapping.log."""
        if self.conv.rows:
            self.conv.row(
                SmbMappingRow(path=tree.name, service=service, native_file_system=system, share_type=share_type)
            )

    def pipe_data(self, side: Side, file: File, data: bytes, command: str, fields: dict[str, Any]) -> bool:
        """Bytes on a named pipe; True when they are DCE/RPC, whose calls are told by themselves."""
        pending = file.pending[side]
        if not pending and (data[:1] != b"\5" or len(data) < HEAD_BYTES):
            return False
        if file.pipe is None:
            self.conv.service("dce_rpc")
            file.pipe = Association(self.conv, file.name, over_smb=True)
        data = pending + data
        file.pending[side] = b""
        at = 0
        while at + HEAD_BYTES <= len(data):
            if data[at] != 5:
                return True
            size = Association.size_of(data, at)
            if at + size > len(data):
                break
            if side is Side.CLIENT and len(file.calls) < COMMANDS_MAX:
                number = int.from_bytes(data[at + 12 : at + 16], "little")
                file.calls[number] = (command, {**fields, "id": self.next_id()})
            call = file.pipe.pdu(side, data[at : at + size])
            if call is not None:
                self._call(file, call)
            at += size
        if len(data) - at < PIPE_BYTES_MAX:
            file.pending[side] = data[at:]
        return True

    def _call(self, file: File, call: Dcerpc) -> None:
        command, fields = file.calls.pop(call.call_id or 0, ("", {}))
        found: dict[str, Any] = {"request": call.request, "response": call.response, "call_id": call.call_id}
        if call.interfaces:
            found["interfaces"] = call.interfaces
        for name, part in (("req", call.req), ("res", call.res)):
            if part is not None:
                found[name] = {"frag_cnt": part.frag_cnt, "stub_data_size": part.stub_data_size}
                if part.opnum is not None:
                    found["opnum"] = part.opnum
        found = {name: value for name, value in found.items() if value is not None}
        if not fields:
            fields, command = file.base, "SMB2_COMMAND_READ"
        status = {"status": "STATUS_SUCCESS", "status_code": "0x0"} if call.response is not None else {}
        self.emit("dcerpc", {**fields, "command": command, **status, "dcerpc": found})

    def finish(self) -> None:
        """The flow is over: say what is open."""
        for fid in list(self.files):
            self.close(fid)
        for command in self.commands.values():
            if command.told:
                self.emit(command.kind, command.fields)
        self.commands.clear()
        self.ntlm.row(self.conv)
        self.tickets.finish()


def _kerberos(ticket: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"realm": ticket.realm or ""}
    if ticket.sname:
        found["snames"] = ticket.sname.split("/")
    return found


def nt_status(code: int) -> dict[str, Any]:
    """The fields of a status."""
    name = STATES.get(code)
    found: dict[str, Any] = {"status": name} if name is not None else {}
    return {**found, "status_code": f"0x{code:x}"}


def dos_status(group: int, code: int) -> dict[str, Any]:
    """The fields of an error of old."""
    name = DOS_STATES.get((group, code))
    found: dict[str, Any] = {"status": name} if name is not None else {}
    return {**found, "status_code": f"0x{code:04x}"}


def ntlm_fields(login: Ntlm) -> dict[str, Any] | None:
    """The login of a session set-up."""
    if login.user is None:
        return None
    found: dict[str, Any] = {"domain": login.domain or "", "user": login.user, "host": login.host or ""}
    if login.version is not None:
        found["version"] = login.version
    return found
