"""NTLM messages, wherever they are carried: SMB, DCE/RPC, LDAP, HTTP. [MS-NLMP], section 2.2.1."""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Conversation, Row

MAGIC: Final = b"NTLMSSP\0"
PAIRS_MAX: Final = 32  # ours: of the target information; there are ten kinds
NAME_BYTES_MAX: Final = 1024  # ours
_UNICODE: Final = 0x1  # [MS-NLMP], section 2.2.2.5
_VERSION: Final = 0x0200_0000


class NtlmRow(Row):
    """A login in Zeek's ntlm.log."""

    username: str | None
    hostname: str | None
    domainname: str | None
    server_nb_computer_name: str | None
    server_dns_computer_name: str | None
    server_tree_name: str | None
    success: bool | None


def _field(data: bytes, at: int) -> bytes:
    """A payload field: length, room, offset. Section 2.2.1."""
    size = int.from_bytes(data[at : at + 2], "little")
    start = int.from_bytes(data[at + 4 : at + 8], "little")
    return data[start : start + min(size, NAME_BYTES_MAX)]


def _text(raw: bytes, unicode: bool) -> str:
    return raw.decode("utf-16-le", "replace") if unicode else raw.decode("latin-1")


class Ntlm:
    """What one login said so far."""

    def __init__(self) -> None:
        self.user: str | None = None
        self.host: str | None = None
        self.domain: str | None = None
        self.version: str | None = None
        self.nb_computer: str | None = None
        self.dns_computer: str | None = None
        self.tree: str | None = None
        self.success: bool | None = None
        self.seen = False
        self._written = False

    def read(self, data: bytes) -> int:
        """Find a message in ``data`` and take what it says; its type, 0 when there is none."""
        at = data.find(MAGIC)
        if at < 0 or len(data) < at + 12:
            return 0
        data = data[at:]
        kind = int.from_bytes(data[8:12], "little")
        if kind == 2:
            self.seen = True
            self._challenge(data)
        elif kind == 3 and len(data) >= 64:
            self.seen = True
            self._authenticate(data)
        return kind

    def _challenge(self, data: bytes) -> None:
        info = _field(data, 40) if len(data) >= 48 else b""
        at = 0
        for _ in range(PAIRS_MAX):
            if at + 4 > len(info):
                break
            kind, size = int.from_bytes(info[at : at + 2], "little"), int.from_bytes(info[at + 2 : at + 4], "little")
            value = info[at + 4 : at + 4 + size].decode("utf-16-le", "replace")
            at += 4 + size
            if kind == 0:
                break
            if kind == 1:
                self.nb_computer = value
            elif kind == 3:
                self.dns_computer = value
            elif kind == 5:
                self.tree = value

    def _authenticate(self, data: bytes) -> None:
        flags = int.from_bytes(data[60:64], "little")
        unicode = bool(flags & _UNICODE)
        self.domain = _text(_field(data, 28), unicode)
        self.user = _text(_field(data, 36), unicode)
        self.host = _text(_field(data, 44), unicode)
        if flags & _VERSION and len(data) >= 72:
            self.version = f"{data[64]}.{data[65]} build {int.from_bytes(data[66:68], 'little')} rev {data[71]}"

    def row(self, conv: Conversation) -> None:
        """Write the row, once; what is empty is unset."""
        if self._written or not self.seen or not conv.rows:
            return
        self._written = True
        conv.row(
            NtlmRow(
                username=self.user or None,
                hostname=self.host or None,
                domainname=self.domain or None,
                server_nb_computer_name=self.nb_computer,
                server_dns_computer_name=self.dns_computer,
                server_tree_name=self.tree,
                success=self.success,
            )
        )
