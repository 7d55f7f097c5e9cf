"""Messages of SMB 1: negotiation, sessions, shares, files and pipes. [MS-CIFS], section 2.2.4; [MS-SMB], section 2.2.4."""

from __future__ import annotations

from typing import Any, Final

from nsm.model.protocol import Side
from nsm.wire.smb_names import DISPOSITIONS, SMB1_COMMANDS, guid_text, seconds
from nsm.wire.smb_state import Command, File, SmbState, Tree, dos_status, nt_status

MAGIC: Final = b"\xffSMB"
HEAD: Final = 32  # [MS-CIFS], section 2.2.3.1
DIALECTS_MAX: Final = 64  # ours

CLOSE: Final = 0x04
TRANS: Final = 0x25
READ_ANDX: Final = 0x2E
WRITE_ANDX: Final = 0x2F
TREE_DISCONNECT: Final = 0x71
NEGOTIATE: Final = 0x72
SESSION_SETUP: Final = 0x73
TREE_CONNECT: Final = 0x75
NT_CREATE: Final = 0xA2
_QUIET: Final = frozenset((0x0A, 0x0B, 0x2C, READ_ANDX, WRITE_ANDX))
_KINDS: Final = {
    NEGOTIATE: "negotiate",
    SESSION_SETUP: "session_setup",
    TREE_CONNECT: "tree_connect",
    NT_CREATE: "create",
}
_EXTENDED: Final = 0x8000_0000  # capability: extended security


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _text(data: bytes, at: int, unicode: bool) -> tuple[str, int]:
    """(a string that ends with zero, where the next begins); UTF-16 lies on even offsets of the message."""
    if not unicode:
        end = data.find(b"\0", at)
        end = len(data) if end < 0 else end
        return data[at:end].decode("latin-1"), end + 1
    at += at & 1
    end = at
    while True:
        end = data.find(b"\0\0", end)
        if end < 0 or (end - at) % 2 == 0:
            break
        end += 1
    end = len(data) if end < 0 else end
    return data[at:end].decode("utf-16-le", "replace"), end + 2


class Smb1:
    """Reads messages of one flow into its state."""

    def __init__(self, state: SmbState) -> None:
        self._state = state

    def record(self, side: Side, data: bytes) -> None:
        """One message."""
        if len(data) < HEAD + 3:
            return
        if data[9] & 0x80:
            self._response(side, data)
        else:
            self._request(side, data)

    def _request(self, side: Side, data: bytes) -> None:
        state = self._state
        number = data[4]
        name = SMB1_COMMANDS.get(number, f"UNKNOWN {number:#x}")
        base: dict[str, Any] = {"session_id": _u16(data, 28), "tree_id": _u16(data, 24)}
        command = Command("SMB1_COMMAND_" + name, _KINDS.get(number, "generic"), base, number not in _QUIET)
        base["command"] = command.name
        words, unicode = HEAD + 1, bool(_u16(data, 10) & 0x8000)
        after = words + 2 * data[HEAD] + 2
        if number == NEGOTIATE:
            found = [one.rstrip(b"\0").decode("latin-1") for one in data[after:].split(b"\2")[1 : DIALECTS_MAX + 1]]
            command.data = found
            if found:
                base["client_dialects"] = found
        elif number == SESSION_SETUP:
            self._session_request(data, words, after, unicode, base)
        elif number == TREE_CONNECT:
            name, at = _text(data, after + _u16(data, words + 6), unicode)
            command.data = (name, _text(data, at, False)[0])
        elif number == NT_CREATE:
            self._create(data, words, after, unicode, command)
        elif number == CLOSE:
            command.fid = data[words : words + 2]
        elif number == READ_ANDX:
            command.fid = data[words + 4 : words + 6]
            command.offset = _u32(data, words + 6) | (_u32(data, words + 20) << 32 if data[HEAD] == 12 else 0)
        elif number == WRITE_ANDX:
            offset = _u32(data, words + 6) | (_u32(data, words + 24) << 32 if data[HEAD] == 14 else 0)
            size = _u16(data, words + 20) | _u16(data, words + 18) << 16
            self._transfer(side, data, data[words + 4 : words + 6], offset, _u16(data, words + 22), size, command)
        elif number == TRANS and data[HEAD] >= 16 and _u16(data, words + 28) == 0x26:
            command.fid = data[words + 30 : words + 32]
            at, size = _u16(data, words + 24), _u16(data, words + 22)
            file = state.file_of(command.fid, base, base["tree_id"])
            command.told = not state.pipe_data(side, file, data[at : at + size], command.name, base)
        if command.told:
            base["id"] = state.next_id()
        state.opened((_u16(data, 30) | _u16(data, 26) << 16, 1), command)

    def _session_request(self, data: bytes, words: int, after: int, unicode: bool, base: dict[str, Any]) -> None:
        if data[HEAD] == 12:
            at = after + _u16(data, words + 14)
            self._state.login(data[after:at], base)
        elif data[HEAD] == 13:
            at = after + _u16(data, words + 14) + _u16(data, words + 16)
            _, at = _text(data, at, unicode)
            _, at = _text(data, at, unicode)
        else:
            return
        system, at = _text(data, at, unicode)
        manager, _ = _text(data, at, unicode)
        base["request"] = {"native_os": system, "native_lm": manager}

    @staticmethod
    def _create(data: bytes, words: int, after: int, unicode: bool, command: Command) -> None:
        name = _text(data, after, unicode)[0]
        disposition, options = _u32(data, words + 35), _u32(data, words + 39)
        fields = command.fields
        fields["directory" if options & 1 else "filename"] = name or "<share_root>"
        if disposition < len(DISPOSITIONS):
            fields["disposition"] = DISPOSITIONS[disposition]
        fields["access"] = "delete on close" if options & 0x1000 else "normal"
        command.data = name

    def _transfer(self, side: Side, data: bytes, fid: bytes, offset: int, at: int, size: int, command: Command) -> None:
        state = self._state
        file = state.file_of(fid, command.fields, command.fields.get("tree_id", 0))
        piece = data[at : at + size]
        if (file.tree is None or file.tree.is_pipe) and state.pipe_data(
            side, file, piece, command.name, command.fields
        ):
            return
        if (file.tree is not None and file.tree.is_pipe) or not piece:
            return
        sink = state.sink(side, fid, file, offset, command.name)
        if offset == file.next[side]:
            sink.data(piece)
            file.next[side] += len(piece)

    def _response(self, side: Side, data: bytes) -> None:
        state = self._state
        number = data[4]
        command = state.commands.pop((_u16(data, 30) | _u16(data, 26) << 16, 1), None)
        if command is None:
            return
        if _u16(data, 10) & 0x4000:
            code = _u32(data, 5)
            status = nt_status(code)
        else:
            code = data[5] or _u16(data, 7)
            status = nt_status(0) if not code else dos_status(data[5], _u16(data, 7))
        words, unicode = HEAD + 1, bool(_u16(data, 10) & 0x8000)
        after = words + 2 * data[HEAD] + 2
        if number == NEGOTIATE and not code:
            self._negotiated(data, words, after, command)
        elif number == SESSION_SETUP:
            self._session(data, words, after, unicode, command, code)
        elif number == TREE_CONNECT and not code:
            self._connected(data, after, unicode, command)
        elif number == NT_CREATE:
            self._created(data, words, command, not code)
        elif number == CLOSE and not code:
            state.close(command.fid)
        elif number == READ_ANDX and not code and command.fid:
            size = _u16(data, words + 10) | _u16(data, words + 14) << 16
            self._transfer(side, data, command.fid, command.offset, _u16(data, words + 12), size, command)
        elif number == TRANS and not command.told:
            at, size = _u16(data, words + 14), _u16(data, words + 12)
            file = state.files.get(command.fid)
            if file is not None:
                state.pipe_data(side, file, data[at : at + size], command.name, command.fields)
        state.answered(command, status)

    def _negotiated(self, data: bytes, words: int, after: int, command: Command) -> None:
        index = _u16(data, words)
        offered: list[str] = command.data or []
        if index < len(offered):
            self._state.dialect = offered[index]
        if data[HEAD] == 17 and _u32(data, words + 19) & _EXTENDED and len(data) >= after + 16:
            command.fields["server_guid"] = guid_text(data[after : after + 16])

    def _session(self, data: bytes, words: int, after: int, unicode: bool, command: Command, code: int) -> None:
        at = after
        if data[HEAD] == 4:
            at = after + _u16(data, words + 6)
            self._state.ntlm.read(data[after:at])
        if data[HEAD] in {3, 4}:
            system, at = _text(data, at, unicode)
            manager, _ = _text(data, at, unicode)
            command.fields["response"] = {"native_os": system, "native_lm": manager}
        command.fields["session_id"] = _u16(data, 28)
        self._state.logged_in(code, command.fields)

    def _connected(self, data: bytes, after: int, unicode: bool, command: Command) -> None:
        service, at = _text(data, after, False)
        system = _text(data, at, unicode)[0]
        name = command.data[0] if command.data else ""
        tree = Tree(name, service == "IPC" or name.upper().endswith("\\IPC$"))
        command.fields["tree_id"] = _u16(data, 24)
        command.fields["named_pipe" if tree.is_pipe else "share"] = name
        command.fields["service"] = {"request": command.data[1] if command.data else "", "response": service}
        self._state.add_tree(_u16(data, 24), tree)
        self._state.mapping(tree, service or None, system or None, "PIPE" if tree.is_pipe else "DISK")

    def _created(self, data: bytes, words: int, command: Command, good: bool) -> None:
        fields = command.fields
        good = good and data[HEAD] >= 34
        stamps = [seconds(data[at : at + 8]) if good else 0.0 for at in range(words + 11, words + 43, 8)]
        size = int.from_bytes(data[words + 55 : words + 63], "little") if good else 0
        for name, stamp in zip(("created", "accessed", "modified", "changed"), stamps, strict=True):
            fields[name] = int(stamp)
        fields["size"] = size
        if not good:
            return
        fid = data[words + 5 : words + 7]
        tree = self._state.trees.get(fields["tree_id"])
        base = {name: fields[name] for name in ("session_id", "tree_id")}
        if tree is not None:
            base["named_pipe" if tree.is_pipe else "share"] = tree.name
        file = File(command.data or "", tree, base)
        file.size = size
        file.times = (stamps[2], stamps[1], stamps[0], stamps[3])
        file.action, file.opened_us = "FILE_OPEN", self._state.conv.ts_us
        self._state.add_file(fid, file)
