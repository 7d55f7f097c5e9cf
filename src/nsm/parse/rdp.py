"""RDP: how a session of remote desktops begins, until it is encrypted. [MS-RDPBCGR], section 2.2.1.1 to 2.2.1.4.

A request with a cookie, the server's choice of security, then either TLS, to which the flow is handed on, or the settings
of both sides in the clear. Frames are those of RFC 1006 and X.224.
"""

from __future__ import annotations

from typing import Any, Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Row, Side
from nsm.wire.certificate import parse_certificate
from nsm.wire.tls_session import x509_row

FRAME_HEAD: Final = 4  # RFC 1006, section 6
CHANNELS_MAX: Final = 31  # [MS-RDPBCGR], section 2.2.1.3.4
CERTIFICATES_MAX: Final = 16  # ours
COOKIE_BYTES_MAX: Final = 512  # ours

_CONNECT: Final = 0xE0  # X.224, section 13.3
_CONFIRM: Final = 0xD0
_DATA: Final = 0xF0

_PROTOCOLS: Final = {0: "RDP", 1: "SSL", 2: "HYBRID", 4: "RDSTLS", 8: "HYBRID_EX"}  # section 2.2.1.2.1
_FAILURES: Final = {  # section 2.2.1.2.2
    1: "SSL_REQUIRED_BY_SERVER", 2: "SSL_NOT_ALLOWED_BY_SERVER", 3: "SSL_CERT_NOT_ON_SERVER", 4: "INCONSISTENT_FLAGS",
    5: "HYBRID_REQUIRED_BY_SERVER", 6: "SSL_WITH_USER_AUTH_REQUIRED_BY_SERVER",
}  # fmt: skip
_METHODS: Final = {0: "None", 1: "40bit", 2: "128bit", 8: "56bit", 16: "FIPS"}  # section 2.2.1.4.3
_LEVELS: Final = {0: "None", 1: "Low", 2: "Client compatible", 3: "High", 4: "FIPS"}
_VERSIONS: Final = {
    0x80001: "v4",
    0x80004: "v5",
    **{0x80005 + one: f"v10.{one}" for one in range(12)},
}  # section 2.2.1.3.2
_BUILDS: Final = {  # Windows releases by their build: (EVE, Zeek)
    419: ("Windows NT 4.0", "RDP 4.0"), 2195: ("Windows 2000", "RDP 5.0"), 2221: ("Windows 2000", "RDP 5.0"),
    2600: ("Windows XP", "RDP 5.1"), 3790: ("Windows Server 2003", "RDP 5.2"), 6000: ("Windows Vista", "RDP 6.0"),
    6001: ("Windows Vista SP1", "RDP 6.1"), 6002: ("Windows Vista SP2", "RDP 6.2"), 7600: ("Windows 7", "RDP 7.0"),
    7601: ("Windows 7 SP1", "RDP 7.1"), 9200: ("Windows 8", "RDP 8.0"), 9600: ("Windows 8.1", "RDP 8.1"),
    10240: ("Windows 10", "RDP 10.0"), 10586: ("Windows 10", "RDP 10.1"), 14393: ("Windows 10", "RDP 10.2"),
}  # fmt: skip
_CAPABILITIES: Final = (  # section 2.2.1.3.2, earlyCapabilityFlags from the lowest bit on
    "support_errinfo_pdf", "want_32bpp_session", "support_statusinfo_pdu", "strong_asymmetric_keys", "",
    "valid_connection_type", "support_monitor_layout_pdu", "support_netchar_autodetect", "support_dynvc_gfx_protocol",
    "support_dynamic_time_zone", "support_heartbeat_pdu",
)  # fmt: skip
_KEYBOARDS: Final = {1: "xt", 2: "ico", 3: "at", 4: "enhanced", 5: "1050", 6: "9140", 7: "jp"}
_LAYOUTS: Final = {  # Windows language identifiers, [MS-LCID]
    0x0404: "Chinese - Taiwan", 0x0405: "Czech", 0x0406: "Danish", 0x0407: "German - Germany", 0x0408: "Greek",
    0x0409: "English - United States", 0x040A: "Spanish - Spain (Traditional Sort)", 0x040B: "Finnish",
    0x040C: "French - France", 0x040D: "Hebrew", 0x040E: "Hungarian", 0x040F: "Icelandic", 0x0410: "Italian - Italy",
    0x0411: "Japanese", 0x0412: "Korean", 0x0413: "Dutch - Netherlands", 0x0414: "Norwegian (Bokmal)",
    0x0415: "Polish", 0x0416: "Portuguese - Brazil", 0x0418: "Romanian", 0x0419: "Russian", 0x041D: "Swedish",
    0x041F: "Turkish", 0x0422: "Ukrainian", 0x0804: "Chinese - People's Republic of China",
    0x0807: "German - Switzerland", 0x0809: "English - United Kingdom", 0x080A: "Spanish - Mexico",
    0x080C: "French - Belgium", 0x0816: "Portuguese - Portugal", 0x0C07: "German - Austria",
    0x0C09: "English - Australia", 0x0C0A: "Spanish - Spain (Modern Sort)", 0x1009: "English - Canada",
}  # fmt: skip


class Client(Record):
    """The settings of a client."""

    version: str | None = None
    desktop_width: int | None = None
    desktop_height: int | None = None
    color_depth: int | None = None
    keyboard_layout: str | None = None
    build: str | None = None
    client_name: str | None = None
    keyboard_type: str | None = None
    function_keys: int | None = None
    product_id: int | None = None
    capabilities: list[str] | None = None
    id: str | None = None


class Rdp(Record):
    """One message."""

    tx_id: int
    event_type: str
    cookie: str | None = None
    client: Client | None = None
    channels: list[str] | None = None


class RdpRow(Row):
    """A session in Zeek's rdp.log."""

    cookie: str | None
    result: str | None
    security_protocol: str | None
    client_channels: list[str] | None
    keyboard_layout: str | None
    client_build: str | None
    client_name: str | None
    client_dig_product_id: str | None
    desktop_width: int | None
    desktop_height: int | None
    requested_color_depth: str | None
    cert_type: str | None
    cert_count: int
    cert_permanent: bool | None
    encryption_level: str | None
    encryption_method: str | None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A frame with a request for a connection, or its answer."""
    if data[:1] not in (b"\3", b"") or data[1:2] not in (b"\0", b""):
        return Match.NO
    if len(data) < 11:
        return Match.MORE
    size = data[2] << 8 | data[3]
    if data[5] not in {_CONNECT, _CONFIRM} or data[4] + 5 != size or data[6:8] != b"\0\0":
        return Match.NO
    rest = data[11 : min(size, len(data))]
    own = not rest or rest.startswith(b"Cookie: ") or (rest[:1] in (b"\1", b"\2", b"\3") and rest[2:4] == b"\x08\0")
    return Match.YES if own and (rest or port) else Match.NO


def _utf16(raw: bytes) -> str:
    return raw.decode("utf-16-le", "replace").partition("\0")[0]


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _blocks(data: bytes, mark: bytes) -> dict[int, bytes]:
    """User data blocks behind the key of the conference. Section 2.2.1.3.1; the length before them is PER."""
    at = data.find(mark)
    found: dict[int, bytes] = {}
    if at < 0:
        return found
    at += len(mark)
    at += 2 if data[at : at + 1] >= b"\x80" else 1
    while at + 4 <= len(data):
        kind, size = _u16(data, at), _u16(data, at + 2)
        if size < 4:
            break
        found.setdefault(kind, data[at + 4 : at + size])
        at += size
    return found


class RdpParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._count = 0
        self._cookie: str | None = None
        self._result: str | None = None
        self._security: str | None = None
        self._core = b""
        self._channels: list[str] | None = None
        self._method: str | None = None
        self._level: str | None = None
        self._cert_type: str | None = None
        self._permanent: bool | None = None
        self._certificates = 0
        self._done = False

    def feed(self, side: Side, data: bytes) -> int:
        """Read whole frames until the settings of both are known."""
        at, end = 0, len(data)
        while at + FRAME_HEAD <= end and not self._done:
            if data[at] != 3:
                raise MalformedError("rdp.frame")
            size = data[at + 2] << 8 | data[at + 3]
            if size < 7:
                raise MalformedError("rdp.frame")
            if at + size > end:
                break
            at += size
            self._frame(side, data[at - size : at])
        return end if self._done and self._security in {None, "RDP"} else at

    def _frame(self, side: Side, frame: bytes) -> None:
        kind = frame[5] & 0xF0
        if kind == _CONNECT and side is Side.CLIENT:
            self._request(frame)
        elif kind == _CONFIRM and side is Side.SERVER:
            self._confirm(frame)
        elif kind == _DATA and frame[7:9] == b"\x7f\x65":
            self._settings(frame)
        elif kind == _DATA and frame[7:9] == b"\x7f\x66":
            self._answer(frame)

    def _emit(self, side: Side, event: str, **fields: Any) -> None:
        if self._conv.wants("rdp"):
            record = Rdp(tx_id=self._count, event_type=event, **fields)
            self._conv.emit("rdp", {"rdp": record}, sender=side)
        self._count += 1

    def _request(self, frame: bytes) -> None:
        text = frame[11 : 11 + COOKIE_BYTES_MAX]
        if text.startswith(b"Cookie: mstshash="):
            self._cookie = text[17:].partition(b"\r\n")[0].decode("latin-1")
        self._emit(Side.CLIENT, "initial_request", cookie=self._cookie)

    def _confirm(self, frame: bytes) -> None:
        kind, value = frame[11:12], _u32(frame, 15)
        if kind == b"\3":
            self._result = _FAILURES.get(value, f"unknown-{value}")
        elif kind == b"\2":
            self._security = _PROTOCOLS.get(value, f"unknown-{value}")
        self._emit(Side.SERVER, "initial_response")
        if self._security not in {None, "RDP"}:
            self._result = "encrypted"
            self._done = True
            self._row()
            self._conv.switch("tls")

    def _settings(self, frame: bytes) -> None:
        """The client's: MCS Connect Initial. Section 2.2.1.3."""
        blocks = _blocks(frame, b"Duca")
        self._core = blocks.get(0xC001, b"")
        raw = blocks.get(0xC003)
        if raw is not None:
            count = min(_u32(raw, 0), CHANNELS_MAX, max(0, len(raw) - 4) // 12)
            self._channels = [
                raw[4 + 12 * one : 12 + 12 * one].partition(b"\0")[0].decode("latin-1") for one in range(count)
            ]
        self._emit(Side.CLIENT, "connect_request", client=self._client(), channels=self._channels or None)

    def _client(self) -> Client | None:
        core = self._core
        if len(core) < 128:
            return None
        build = _u32(core, 16)
        flags = _u16(core, 140) if len(core) >= 142 else 0
        names = [name for bit, name in enumerate(_CAPABILITIES) if name and flags >> bit & 1]
        known = _BUILDS.get(build)
        return Client(
            version=_VERSIONS.get(_u32(core, 0)),
            desktop_width=_u16(core, 4),
            desktop_height=_u16(core, 6),
            color_depth=self._depth(),
            keyboard_layout=_LAYOUTS.get(_u32(core, 12), f"0x{_u32(core, 12):08x}"),
            build=known[0] if known is not None else f"build {build}",
            client_name=_utf16(core[20:52]) or None,
            keyboard_type=_KEYBOARDS.get(_u32(core, 52)),
            function_keys=_u32(core, 60),
            product_id=_u16(core, 130) if len(core) >= 132 else None,
            capabilities=names or None,
            id=_utf16(core[142:206]) or None,
        )

    def _depth(self) -> int:
        """Bits of a colour: 32 are a wish of their own. Section 2.2.1.3.2."""
        core = self._core
        if len(core) >= 142 and _u16(core, 140) & 2:
            return 32
        return _u16(core, 136) if len(core) >= 138 else {0xCA00: 4, 0xCA01: 8}.get(_u16(core, 8), 0)

    def _answer(self, frame: bytes) -> None:
        """The server's: MCS Connect Response. Section 2.2.1.4."""
        at = frame.find(b"\x0a\1")
        self._result = "Success" if 0 <= at < 16 and frame[at + 2 : at + 3] == b"\0" else "failed"
        security = _blocks(frame, b"McDn").get(0x0C02, b"")
        if len(security) >= 8:
            method, level = _u32(security, 0), _u32(security, 4)
            self._method, self._level = (
                _METHODS.get(method, f"unknown-{method}"),
                _LEVELS.get(level, f"unknown-{level}"),
            )
        if self._security is None:
            self._security = "RDP"
        if len(security) >= 16:
            start = 16 + _u32(security, 8)
            self._certificate(security[start : start + _u32(security, 12)])
        self._emit(Side.SERVER, "connect_response")
        self._done = True
        self._row()
        self._conv.done()

    def _certificate(self, raw: bytes) -> None:
        """Section 2.2.1.4.3.1: a key signed by all servers alike, or a chain."""
        version = _u32(raw, 0)
        self._permanent = not version >> 31
        if version & 0x7FFFFFFF == 1:
            self._cert_type, self._certificates = "RSA", 1
            return
        self._cert_type = "X.509"
        at = 8
        for _ in range(min(_u32(raw, 4), CERTIFICATES_MAX)):
            size = _u32(raw, at)
            found = parse_certificate(raw[at + 4 : at + 4 + size])
            at += 4 + size
            if found is None:
                break
            self._certificates += 1
            if self._conv.rows:
                self._conv.row(x509_row(found, True, False))

    def gap(self, side: Side, size: int) -> bool:
        """Where the next frame begins cannot be known."""
        return False

    def _row(self) -> None:
        if not self._conv.rows:
            return
        core, client = self._core, self._client()
        known = _BUILDS.get(_u32(core, 16)) if client is not None else None
        self._conv.row(
            RdpRow(
                cookie=self._cookie, result=self._result, security_protocol=self._security,
                client_channels=self._channels,
                keyboard_layout=client.keyboard_layout if client is not None else None,
                client_build=(known[1] if known is not None else f"client_build-{_u32(core, 16)}") if client else None,
                client_name=client.client_name if client is not None else None,
                client_dig_product_id=(client.id or "") if client is not None else None,
                desktop_width=client.desktop_width if client is not None else None,
                desktop_height=client.desktop_height if client is not None else None,
                requested_color_depth=f"{client.color_depth}bit" if client is not None else None,
                cert_type=self._cert_type, cert_count=self._certificates, cert_permanent=self._permanent,
                encryption_level=self._level, encryption_method=self._method,
            )
        )  # fmt: skip

    def finish(self) -> None:
        """Write the row of a session that did not begin."""
        if not self._done and self._count:
            self._row()


SPEC: Final = ProtocolSpec(
    name="rdp",
    transports=("tcp",),
    ports=(3389,),
    probe=probe,
    parser=RdpParser,
    service="rdp",
    kinds=("rdp",),
    carrier=True,
    weight=4,
)
