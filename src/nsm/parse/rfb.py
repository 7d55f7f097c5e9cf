"""RFB (VNC): versions, the security that was chosen, the screen. RFC 6143, section 7.1 to 7.3.

A state machine of both sides; behind the server's first words about the screen nothing is read.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Row, Side

VERSION_BYTES: Final = 12  # RFC 6143, section 7.1.1: "RFB 003.008\n"
NAME_BYTES_MAX: Final = 1024  # ours: of a desktop
REASON_BYTES_MAX: Final = 4096  # ours: of a refusal
_SECURITY_FAILED: Final = 0
_NONE: Final = 1
_VNC: Final = 2
_APPLE: Final = 30
_METHODS: Final = {  # RFC 6143, section 7.1.2 and IANA "Remote Framebuffer Security Types"; spelled as Zeek does
    0: "Invalid", 1: "None", 2: "VNC", 16: "Tight", 17: "Ultra", 18: "TLS", 19: "VeNCrypt", 20: "GTK-VNC SASL",
    21: "MD5 hash authentication", 22: "Colin Dean xvp", 30: "Apple Remote Desktop",
}  # fmt: skip


class Version(Record):
    """What one side speaks."""

    major: str
    minor: str


class Vnc(Record):
    """The exchange of VNC's own login; the password is not in it."""

    challenge: str
    response: str


class Authentication(Record):
    """How the client had to show who it is."""

    security_type: int | None = None
    vnc: Vnc | None = None
    security_result: str | None = None


class PixelFormat(Record):
    """RFC 6143, section 7.4."""

    bits_per_pixel: int
    depth: int
    big_endian: bool
    true_color: bool
    red_max: int
    green_max: int
    blue_max: int
    red_shift: int
    green_shift: int
    blue_shift: int


class Framebuffer(Record):
    """The screen."""

    width: int
    height: int
    name: str
    pixel_format: PixelFormat


class Rfb(Record):
    """A session."""

    server_protocol_version: Version | None = None
    client_protocol_version: Version | None = None
    authentication: Authentication | None = None
    server_security_failure_reason: str | None = None
    screen_shared: bool | None = None
    framebuffer: Framebuffer | None = None


class RfbRow(Row):
    """A session in Zeek's rfb.log."""

    client_major_version: str | None
    client_minor_version: str | None
    server_major_version: str | None
    server_minor_version: str | None
    authentication_method: str | None
    auth: bool | None
    share_flag: bool | None
    desktop_name: str | None
    width: int | None
    height: int | None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """The version, which both sides send first."""
    if len(data) < VERSION_BYTES:
        return Match.MORE if b"RFB ".startswith(data[:4]) or (data[:4] == b"RFB " and len(data) > 4) else Match.NO
    good = (
        data[:4] == b"RFB "
        and data[7:8] == b"."
        and data[11:12] == b"\n"
        and data[4:7].isdigit()
        and data[8:11].isdigit()
    )
    return Match.YES if good else Match.NO


class RfbParser:
    """One per flow. ``_turn`` names what is expected of each side; "" is nothing, and what comes then waits."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._versions: list[Version | None] = [None, None]
        self._turn = ["version", "version"]
        self._type: int | None = None
        self._chosen = False
        self._challenge = ""
        self._response = ""
        self._result: int | None = None
        self._reason: str | None = None
        self._key_bytes = 0
        self._shared: bool | None = None
        self._screen: Framebuffer | None = None
        self._told = False

    def feed(self, side: Side, data: bytes) -> int:
        """Take what the states allow."""
        at = 0
        while at < len(data) and not self._told:
            turn = self._turn[side]
            if not turn:
                break
            used = self._server(turn, data[at:]) if side is Side.SERVER else self._client(turn, data[at:])
            if not used:
                break
            at += used
        return len(data) if self._told else at

    def _version(self, side: Side, data: bytes) -> int:
        if len(data) < VERSION_BYTES:
            return 0
        if probe(data[:VERSION_BYTES], side, True) is not Match.YES:
            raise MalformedError("malformed_message")
        self._versions[side] = Version(major=data[4:7].decode("ascii"), minor=data[8:11].decode("ascii"))
        self._turn[side] = ""
        if None not in self._versions:
            self._turn[Side.SERVER] = "type" if self._minor() < 7 else "types"
        return VERSION_BYTES

    def _minor(self) -> int:
        """The minor version that both speak: the client's, which is not above the server's."""
        client = self._versions[Side.CLIENT]
        return int(client.minor) if client is not None else 0

    def _server(self, turn: str, data: bytes) -> int:
        if turn == "version":
            return self._version(Side.SERVER, data)
        if turn == "type":
            return self._security_type(data)
        if turn == "types":
            return self._security_types(data)
        if turn == "challenge":
            if len(data) < 16:
                return 0
            self._challenge = data[:16].hex()
            self._turn = ["response", "result"]
            return 16
        if turn == "key":
            size = int.from_bytes(data[2:4], "big")
            if len(data) < 4 + 2 * size or len(data) < 4:
                return 0
            self._key_bytes = size
            self._turn = ["credentials", "result"]
            return 4 + 2 * size
        if turn == "result":
            return self._security_result(data)
        return self._text(data) if turn == "reason" else self._init(data)

    def _client(self, turn: str, data: bytes) -> int:
        if turn == "version":
            return self._version(Side.CLIENT, data)
        if turn == "choice":
            self._secure(data[0])
            return 1
        if turn == "response":
            if len(data) < 16:
                return 0
            self._response = data[:16].hex()
            self._turn[Side.CLIENT] = ""
            return 16
        if turn == "credentials":
            size = 128 + self._key_bytes  # Apple: two fields of 64 bytes, encrypted, and the client's key
            if len(data) < size:
                return 0
            self._turn[Side.CLIENT] = ""
            return size
        self._shared = data[0] != 0
        self._turn = ["", "init"]
        return 1

    def _security_type(self, data: bytes) -> int:
        """Version 3.3: the server decides. RFC 6143, appendix A.2."""
        if len(data) < 4:
            return 0
        self._secure(int.from_bytes(data[:4], "big"))
        return 4

    def _security_types(self, data: bytes) -> int:
        if len(data) < 1 + data[0]:
            return 0
        if data[0] == 0:
            self._turn[Side.SERVER] = "reason"
        else:
            self._turn = ["choice", ""]
        return 1 + data[0]

    def _secure(self, kind: int) -> None:
        """The security is chosen. RFC 6143, section 7.2."""
        self._type = kind
        self._chosen = True
        if kind == _SECURITY_FAILED:
            self._turn = ["", "reason"]
        elif kind == _NONE:
            self._turn = ["", "result"] if self._minor() >= 8 else ["shared", ""]
        elif kind == _VNC:
            self._turn = ["", "challenge"]
        else:
            self._conv.anomaly("unimplemented_security_type", side=Side.CLIENT)
            if kind == _APPLE:
                self._turn = ["", "key"]
            else:
                self._tell()

    def _security_result(self, data: bytes) -> int:
        if len(data) < 4:
            return 0
        self._result = int.from_bytes(data[:4], "big")
        if self._result == 0:
            self._turn = ["shared", ""]
        elif self._result > 2:
            self._conv.anomaly("unknown_security_result", side=Side.SERVER)
            self._tell()
        elif self._minor() >= 8:
            self._turn = ["", "reason"]
        else:
            self._tell()
        return 4

    def _text(self, data: bytes) -> int:
        """Why the server refused."""
        if len(data) < 4:
            return 0
        size = int.from_bytes(data[:4], "big")
        if size > REASON_BYTES_MAX:
            raise MalformedError("malformed_message")
        if len(data) < 4 + size:
            return 0
        self._reason = data[4 : 4 + size].decode("utf-8", "backslashreplace")
        self._tell()
        return 4 + size

    def _init(self, data: bytes) -> int:
        """The server's screen. RFC 6143, section 7.3.2."""
        if len(data) < 24:
            return 0
        size = int.from_bytes(data[20:24], "big")
        if size > NAME_BYTES_MAX:
            raise MalformedError("malformed_message")
        if len(data) < 24 + size:
            return 0
        red, green, blue = (int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 12))
        pixel = PixelFormat(
            bits_per_pixel=data[4], depth=data[5], big_endian=data[6] != 0, true_color=data[7] != 0, red_max=red,
            green_max=green, blue_max=blue, red_shift=data[14], green_shift=data[15], blue_shift=data[16],
        )  # fmt: skip
        self._screen = Framebuffer(
            width=int.from_bytes(data[:2], "big"), height=int.from_bytes(data[2:4], "big"),
            name=data[24 : 24 + size].decode("utf-8", "backslashreplace"), pixel_format=pixel,
        )  # fmt: skip
        self._tell()
        return 24 + size

    def gap(self, side: Side, size: int) -> bool:
        """The states cannot be followed over it."""
        return False

    def _tell(self) -> None:
        """The event and the row; nothing more of the flow concerns the parser."""
        if self._told:
            return
        self._told = True
        conv = self._conv
        login = None
        if self._chosen:
            vnc = Vnc(challenge=self._challenge, response=self._response) if self._challenge else None
            result = None if self._result is None else {0: "OK", 1: "FAIL", 2: "TOOMANY"}.get(self._result, "UNKNOWN")
            login = Authentication(security_type=self._type, vnc=vnc, security_result=result)
        server, client = self._versions[Side.SERVER], self._versions[Side.CLIENT]
        if conv.wants("rfb"):
            record = Rfb(
                server_protocol_version=server, client_protocol_version=client, authentication=login,
                server_security_failure_reason=self._reason, screen_shared=self._shared, framebuffer=self._screen,
            )  # fmt: skip
            conv.emit("rfb", {"rfb": record})
        if conv.rows:
            screen = self._screen
            conv.row(
                RfbRow(
                    client_major_version=client.major if client is not None else None,
                    client_minor_version=client.minor if client is not None else None,
                    server_major_version=server.major if server is not None else None,
                    server_minor_version=server.minor if server is not None else None,
                    authentication_method=None
                    if self._type is None
                    else _METHODS.get(self._type, f"unknown-{self._type}"),
                    auth=None if self._result is None else self._result == 0,
                    share_flag=self._shared,
                    desktop_name=screen.name if screen is not None else None,
                    width=screen.width if screen is not None else None,
                    height=screen.height if screen is not None else None,
                )
            )
        conv.done()

    def finish(self) -> None:
        """Say what is known."""
        if self._versions[0] is not None or self._versions[1] is not None:
            self._tell()


SPEC: Final = ProtocolSpec(
    name="rfb",
    transports=("tcp",),
    ports=(*range(5900, 5910),),
    probe=probe,
    parser=RfbParser,
    service="rfb",
    kinds=("rfb",),
    weight=10,
)
