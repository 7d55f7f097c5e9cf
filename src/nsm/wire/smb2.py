"""Messages of SMB 2 and 3. [MS-SMB2], section 2.2. Offsets are from the head of a message; handlers take what is there."""

from __future__ import annotations

from typing import Any, Final

from nsm.model.protocol import FileSink, Side
from nsm.wire.smb_names import CONTROLS, DIALECTS, DISPOSITIONS, SMB2_COMMANDS, guid_text, seconds
from nsm.wire.smb_state import Command, File, SmbState, Tree, nt_status

MAGIC: Final = b"\xfeSMB"
HEAD: Final = 64  # [MS-SMB2], section 2.2.1
BODY_MIN: Final = 4  # ours: bytes that handlers read without asking
MESSAGES_MAX: Final = 256  # ours: in one compound
DIALECTS_MAX: Final = 64  # ours

NEGOTIATE: Final = 0
SESSION_SETUP: Final = 1
TREE_CONNECT: Final = 3
CREATE: Final = 5
CLOSE: Final = 6
READ: Final = 8
WRITE: Final = 9
IOCTL: Final = 11
GET_INFO: Final = 16
SET_INFO: Final = 17
_QUIET: Final = frozenset((READ, WRITE, GET_INFO, SET_INFO))  # EVE has no event for the command by itself
_KINDS: Final = {0: "negotiate", 1: "session_setup", 3: "tree_connect", 5: "create", 11: "ioctl"}
_PENDING: Final = 0x103
_RELATED: Final = b"\xff" * 16  # section 3.2.4.1.4: the file of the message before
_SHARE_TYPES: Final = {1: ("FILE", "DISK"), 2: ("PIPE", "PIPE"), 3: ("PRINT", "PRINT")}
_TRANSCEIVE: Final = 0x0011C017

Stream = tuple[FileSink | None, File, Side, int]


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


class Smb2:
    """Reads messages of one flow into its state."""

    def __init__(self, state: SmbState) -> None:
        self._state = state
        self._last_fid = [b"", b""]
        self.stream: Stream | None = None
        """Where the bytes go that follow what was given, and how many."""

    def record(self, side: Side, data: bytes) -> None:
        """A record of one or more messages; it may be given without its end."""
        at = 0
        self.stream = None
        for _ in range(MESSAGES_MAX):
            if len(data) - at < HEAD or data[at : at + 4] != MAGIC:
                return
            following = _u32(data, at + 20)
            message = data[at : at + following] if following >= HEAD else data[at:]
            if len(message) < HEAD + BODY_MIN:
                message = message.ljust(HEAD + BODY_MIN, b"\0")  # a short one says zero where it says nothing
            if _u32(message, 16) & 1:
                self._response(side, message)
            else:
                self._request(side, message)
            if following < HEAD:
                return
            at += following

    def _request(self, side: Side, data: bytes) -> None:
        state = self._state
        number = _u16(data, 12)
        name = SMB2_COMMANDS[number] if number < len(SMB2_COMMANDS) else f"UNKNOWN {number}"
        base: dict[str, Any] = {"session_id": _u64(data, 40), "tree_id": _u32(data, 36)}
        command = Command("SMB2_COMMAND_" + name, _KINDS.get(number, "generic"), base, number not in _QUIET)
        base["command"] = command.name
        if number == READ:
            command.fid, command.offset = self._fid(side, data, HEAD + 16), _u64(data, HEAD + 8)
        elif number == WRITE:
            self._write(side, data, command)
        elif number == IOCTL:
            self._ioctl(side, data, command)
        elif number == CREATE:
            self._create(data, command)
        elif number == CLOSE:
            command.fid = self._fid(side, data, HEAD + 8)
        elif number == TREE_CONNECT:
            at, size = _u16(data, HEAD + 4), _u16(data, HEAD + 6)
            command.data = data[at : at + size].decode("utf-16-le", "replace")
        elif number == NEGOTIATE:
            self._negotiate(data, command)
        elif number == SESSION_SETUP:
            at, size = _u16(data, HEAD + 12), _u16(data, HEAD + 14)
            state.login(data[at : at + size], base)
        elif number == SET_INFO:
            self._set_info(side, data, command)
        if command.told:
            base["id"] = state.next_id()
        state.opened((_u64(data, 24), 2), command)

    def _fid(self, side: Side, data: bytes, at: int) -> bytes:
        fid = data[at : at + 16]
        if fid == _RELATED:
            return self._last_fid[side]
        self._last_fid[side] = fid
        return fid

    def _negotiate(self, data: bytes, command: Command) -> None:
        count = min(_u16(data, HEAD + 2), DIALECTS_MAX)
        listed = [_u16(data, HEAD + 36 + 2 * item) for item in range(count)]
        command.fields["client_dialects"] = [DIALECTS.get(one, f"unknown-{one:x}") for one in listed] or None
        if not listed:
            del command.fields["client_dialects"]
        command.fields["client_guid"] = guid_text(data[HEAD + 12 : HEAD + 28])

    def _create(self, data: bytes, command: Command) -> None:
        at, size = _u16(data, HEAD + 44), _u16(data, HEAD + 46)
        name = data[at : at + size].decode("utf-16-le", "replace")
        options, disposition = _u32(data, HEAD + 40), _u32(data, HEAD + 36)
        fields = command.fields
        fields["directory" if options & 1 else "filename"] = name or "<share_root>"
        if disposition < len(DISPOSITIONS):
            fields["disposition"] = DISPOSITIONS[disposition]
        fields["access"] = "delete on close" if options & 0x1000 else "normal"
        command.data = name

    def _set_info(self, side: Side, data: bytes, command: Command) -> None:
        """Renaming and deleting are told. [MS-FSCC], section 2.4.37 and 2.4.11."""
        fid = self._fid(side, data, HEAD + 16)
        at, size = _u16(data, HEAD + 8), _u32(data, HEAD + 4)
        file = self._state.files.get(fid)
        if data[HEAD + 2] != 1:
            return
        name = file.name if file is not None else ""
        if data[HEAD + 3] == 10 and size >= 20:
            new = data[at + 20 : at + 20 + min(_u32(data, at + 16), size)].decode("utf-16-le", "replace")
            command.told, command.kind = True, "rename"
            command.fields.update({"rename": {"from": name, "to": new}, "fuid": guid_text(fid)})
            if file is not None:
                file.name, file.previous, file.action = new, name, "FILE_RENAME"
        elif data[HEAD + 3] == 13 and size >= 1:
            command.told, command.kind = True, "set_file_path_info"
            deletes = bool(data[at : at + 1] != b"\0")
            command.fields["access"] = "delete on close" if deletes else "normal"
            if name:
                command.fields["filename"] = name
            command.fields["fuid"] = guid_text(fid)
            if file is not None and deletes:
                file.action = "FILE_DELETE"

    def _write(self, side: Side, data: bytes, command: Command) -> None:
        fid, offset = self._fid(side, data, HEAD + 16), _u64(data, HEAD + 8)
        self._transfer(side, data, fid, offset, _u16(data, HEAD + 2), _u32(data, HEAD + 4), command)

    def _transfer(self, side: Side, data: bytes, fid: bytes, offset: int, at: int, size: int, command: Command) -> None:
        """Bytes of a file, or of a pipe."""
        state = self._state
        file = state.file_of(fid, command.fields, command.fields.get("tree_id", 0))
        piece = data[at : at + size]
        if (file.tree is None or file.tree.is_pipe) and state.pipe_data(
            side, file, piece, command.name, command.fields
        ):
            command.told = False
            return
        if (file.tree is not None and file.tree.is_pipe) or not size:
            return
        sink = state.sink(side, fid, file, offset, command.name)
        if offset == file.next[side]:
            sink.data(piece)
            file.next[side] += len(piece)
            if len(piece) < size:
                self.stream = (sink, file, side, size - len(piece))

    def _ioctl(self, side: Side, data: bytes, command: Command) -> None:
        control = _u32(data, HEAD + 4)
        command.fid = self._fid(side, data, HEAD + 8)
        command.fields["function"] = CONTROLS.get(control, f"0x{control:08x}")
        if control == _TRANSCEIVE:
            at, size = _u32(data, HEAD + 24), _u32(data, HEAD + 28)
            file = self._state.file_of(command.fid, command.fields, command.fields["tree_id"])
            told = self._state.pipe_data(side, file, data[at : at + size], command.name, command.fields)
            command.told = not told

    def _response(self, side: Side, data: bytes) -> None:
        state = self._state
        code = _u32(data, 8)
        number = _u16(data, 12)
        if code == _PENDING and _u32(data, 16) & 2:
            return
        command = state.commands.pop((_u64(data, 24), 2), None)
        if command is None:
            return
        good = code in {0, 0x80000005}
        if number == READ and good and command.fid:
            self._transfer(side, data, command.fid, command.offset, data[HEAD + 2], _u32(data, HEAD + 4), command)
        elif number == CREATE:
            self._created(side, data, command, code == 0)
        elif number == CLOSE and code == 0:
            state.close(command.fid)
        elif number == TREE_CONNECT and code == 0:
            self._connected(data, command)
        elif number == NEGOTIATE and code == 0:
            self._negotiated(data, command)
        elif number == SESSION_SETUP:
            self._session(data, command, code)
        elif number == IOCTL and good and not command.told:
            at, size = _u32(data, HEAD + 32), _u32(data, HEAD + 36)
            file = state.files.get(command.fid)
            if file is not None:
                state.pipe_data(side, file, data[at : at + size], command.name, command.fields)
        state.answered(command, nt_status(code))

    def _created(self, side: Side, data: bytes, command: Command, good: bool) -> None:
        fields = command.fields
        stamps = [seconds(data[at : at + 8]) if good else 0.0 for at in range(HEAD + 8, HEAD + 40, 8)]
        size = _u64(data, HEAD + 48) if good else 0
        for name, stamp in zip(("created", "accessed", "modified", "changed"), stamps, strict=True):
            fields[name] = int(stamp)
        fields["size"] = size
        if not good:
            return
        fid = data[HEAD + 64 : HEAD + 80]
        self._last_fid[side.other] = fid
        fields["fuid"] = guid_text(fid)
        tree = self._state.trees.get(fields["tree_id"])
        base = {name: fields[name] for name in ("session_id", "tree_id")}
        if tree is not None:
            base["named_pipe" if tree.is_pipe else "share"] = tree.name
        file = File(command.data or "", tree, base)
        file.size = size
        file.times = (stamps[2], stamps[1], stamps[0], stamps[3])
        file.action, file.opened_us = "FILE_OPEN", self._state.conv.ts_us
        self._state.add_file(fid, file)

    def _connected(self, data: bytes, command: Command) -> None:
        kind = data[HEAD + 2] if len(data) > HEAD + 2 else 0
        eve, zeek = _SHARE_TYPES.get(kind, ("UNKNOWN", ""))
        tree = Tree(command.data or "", kind == 2)
        command.fields["tree_id"] = _u32(data, 36)
        command.fields["named_pipe" if tree.is_pipe else "share"] = tree.name
        command.fields["share_type"] = eve
        self._state.add_tree(_u32(data, 36), tree)
        self._state.mapping(tree, None, None, zeek or None)

    def _negotiated(self, data: bytes, command: Command) -> None:
        self._state.dialect = DIALECTS.get(_u16(data, HEAD + 4), "unknown")
        fields = command.fields
        fields["server_guid"] = guid_text(data[HEAD + 8 : HEAD + 24])
        fields["max_read_size"] = _u32(data, HEAD + 32)
        fields["max_write_size"] = _u32(data, HEAD + 36)

    def _session(self, data: bytes, command: Command, code: int) -> None:
        at, size = _u16(data, HEAD + 4), _u16(data, HEAD + 6)
        self._state.ntlm.read(data[at : at + size])
        command.fields["session_id"] = _u64(data, 40)
        self._state.logged_in(code, command.fields)
