"""Syslog (RFC 5424) for Splunk, Elastic and other collectors: over UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425).

One message for each alert. Over TCP and TLS each is preceded by its length (octet counting, RFC 6587 3.4.1). Syslog has no
acknowledgement: what the receiver's kernel took counts as delivered. Forms: a plain sentence, CEF (ArcSight's Common Event
Format, version 0), or JSON with the names of the Elastic Common Schema.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from nsm._version import __version__
from nsm.bounded.deadline import deadline
from nsm.errors import DeliveryError
from nsm.iana import PROTO_NAMES
from nsm.model.finding import Alert, Severity
from nsm.model.interfaces import Channel, ChannelSpec
from nsm.model.notice import Notice, one_line, stamp

PORTS: Final = {"udp": 514, "tcp": 601, "tls": 6514}  # RFC 5426, RFC 3195, RFC 5425
UDP_BYTES_MAX: Final = 2_048  # what every receiver should take (RFC 5424, 6.1)
# RFC 5424, 6.2.1: 2 critical, 3 error, 4 warning, 5 notice, 6 informational.
LEVELS: Final = {
    Severity.CRITICAL: 2, Severity.HIGH: 3, Severity.MEDIUM: 4, Severity.LOW: 5, Severity.INFO: 6
}  # fmt: skip
CEF_LEVELS: Final = {
    Severity.CRITICAL: 10, Severity.HIGH: 8, Severity.MEDIUM: 5, Severity.LOW: 3, Severity.INFO: 1
}  # fmt: skip
UDP_REFUSAL_S: Final = 0.05  # ours: so long an ICMP "port unreachable" is waited for
TCP_REFUSAL_S: Final = 0.2  # ours: so long a reset is waited for
ECS_VERSION: Final = "8.11"


class SyslogSettings(msgspec.Struct, frozen=True):
    """Every alert to a collector of logs."""

    host: str = ""
    """The collector; empty: none."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    """Its port; 0: the usual one (514 for udp, 601 for tcp, 6514 for tls)."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    """How it is reached; udp may lose messages and shows them to the network."""
    form: Literal["plain", "cef", "json"] = "plain"
    """A sentence, Common Event Format, or JSON by the Elastic Common Schema."""
    facility: Annotated[int, msgspec.Meta(ge=0, le=23)] = 16
    """Facility of RFC 5424; 16 is local0."""
    ca_file: str = ""
    """Certificates that are trusted besides the system's; empty: none."""
    severity_min: Literal["", "info", "low", "medium", "high", "critical"] = "info"
    """Alerts from this severity up are sent; empty: that of notify."""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 10.0
    """The longest a delivery may take."""


class Syslog:
    """One collector; a connection for each notice, since a broken one would swallow messages without a word."""

    def __init__(self, settings: SyslogSettings) -> None:
        self._settings = settings

    def send(self, notice: Notice) -> None:
        """Hand over one message for each alert, or one for a notice without; DeliveryError when that is refused."""
        lines = [self._line(notice, alert) for alert in notice.alerts or (None,)]
        settings = self._settings
        held: list[socket.socket] = []
        try:
            with contextlib.ExitStack() as stack, deadline(settings.timeout_s, lambda: held[0] if held else None):
                self._deliver(lines, held, stack)
        except ssl.SSLCertVerificationError as error:
            raise DeliveryError(f"syslog: the certificate is not trusted ({error.verify_message})") from None
        except TimeoutError:
            raise DeliveryError(f"syslog: not done within {settings.timeout_s:g} s") from None
        except OSError as error:
            raise DeliveryError(f"syslog: {(error.strerror or type(error).__name__).lower()}") from None

    def _deliver(self, lines: list[bytes], held: list[socket.socket], stack: contextlib.ExitStack) -> None:
        settings = self._settings
        port = settings.port or PORTS[settings.transport]
        if settings.transport == "udp":
            kind, _, _, _, address = socket.getaddrinfo(settings.host, port, type=socket.SOCK_DGRAM)[0]
            sock = stack.enter_context(socket.socket(kind, socket.SOCK_DGRAM))
            held.append(sock)
            sock.connect(address)
            for line in lines:
                sock.send(line)
            _refused(sock, UDP_REFUSAL_S)
            return
        sock = stack.enter_context(socket.create_connection((settings.host, port), settings.timeout_s))
        held.append(sock)
        if settings.transport == "tls":
            context = ssl.create_default_context()
            if settings.ca_file:
                context.load_verify_locations(settings.ca_file)
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname=settings.host))
            held[0] = sock
        sock.sendall(b"".join(b"%d %s" % (len(line), line) for line in lines))
        _refused(sock, TCP_REFUSAL_S)
        if isinstance(sock, ssl.SSLSocket):
            with contextlib.suppress(OSError):  # RFC 5425, 4.4: say that this is the end; the answer does not matter
                sock.unwrap()

    def _line(self, notice: Notice, alert: Alert | None) -> bytes:
        """PRI, version, time, host, program, process, kind, no structured data, then the form."""
        severity = alert.severity if alert else notice.severity
        kind = alert.finding.kind if alert else notice.kind
        when = stamp(alert.last_seen if alert else notice.ts)
        priority = self._settings.facility * 8 + LEVELS[severity]
        head = f"<{priority}>1 {when} {_name(notice.sensor)} nsm - {_name(kind, 32)} - ".encode()
        body = self._body(notice, alert)
        if self._settings.transport == "udp" and len(head) + len(body) > UDP_BYTES_MAX:
            body = self._body(notice, alert, brief=True)[: UDP_BYTES_MAX - len(head)]
            body = body.decode("utf-8", "ignore").encode()
        return head + body

    def _body(self, notice: Notice, alert: Alert | None, *, brief: bool = False) -> bytes:
        if self._settings.form == "json":
            return json.dumps(ecs(notice, alert, brief=brief)).encode()
        if self._settings.form == "cef":
            return cef(notice, alert, brief=brief).encode()
        text = one_line(sentence(notice, alert), 300 if brief else 4_000)
        # RFC 5424, 6.4: what is UTF-8 says so by a byte order mark.
        return text.encode() if text.isascii() else b"\xef\xbb\xbf" + text.encode()


def _refused(sock: socket.socket, seconds: float) -> None:
    """Wait a moment for a refusal of what was sent; OSError when there is one."""
    sock.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        sock.recv(1)


def _name(text: str, characters: int = 48) -> str:
    """A field of the header: printable ASCII without spaces, - when empty."""
    return re.sub(r"[^\x21-\x7e]", "_", text)[:characters] or "-"


def sentence(notice: Notice, alert: Alert | None) -> str:
    """What happened, for people who read logs."""
    if alert is None:
        return notice.title
    finding = alert.finding
    return f"{alert.severity.word} {finding.signature}: {finding.explain.what} (alert {alert.id}, risk {alert.risk})"


def _head_field(text: str) -> str:
    return one_line(text).replace("\\", "\\\\").replace("|", "\\|")


def _field(value: Any) -> str:
    return one_line(str(value)).replace("\\", "\\\\").replace("=", "\\=")


def cef(notice: Notice, alert: Alert | None, *, brief: bool = False) -> str:
    """Common Event Format; in the head pipes and backslashes are escaped, in the fields equals signs and backslashes."""
    if alert is None:
        head = (notice.kind, notice.title, CEF_LEVELS[notice.severity])
        fields: dict[str, Any] = {"externalId": notice.id, "dvchost": notice.sensor}
    else:
        finding = alert.finding
        head = (str(finding.signature_id), finding.signature, CEF_LEVELS[alert.severity])
        fields = {
            "externalId": alert.id, "dvchost": notice.sensor, "cat": finding.kind, "src": finding.src_ip,
            "spt": finding.src_port or "", "dst": finding.dest_ip, "dpt": finding.dest_port or "",
            "proto": PROTO_NAMES.get(finding.proto, "") if finding.proto else "", "cnt": alert.count,
            "start": alert.first_seen // 1_000, "end": alert.last_seen // 1_000, "cn1Label": "risk", "cn1": alert.risk,
            "cs1Label": "techniques", "cs1": ",".join(finding.techniques), "msg": "" if brief else finding.explain.what,
        }  # fmt: skip
        # Address fields of CEF are IPv4 alone; c6a2 and c6a3 are source and destination of IPv6.
        for name, other in (("src", "c6a2"), ("dst", "c6a3")):
            if ":" in str(fields[name]):
                fields |= {f"{other}Label": name, other: fields.pop(name)}
    start = "|".join(["CEF:0", "netsecmonitor", "nsm", __version__, *(_head_field(str(item)) for item in head)])
    return f"{start}|" + " ".join(f"{name}={_field(value)}" for name, value in fields.items() if value != "")


def ecs(notice: Notice, alert: Alert | None, *, brief: bool = False) -> dict[str, Any]:
    """A document of the Elastic Common Schema."""
    observer = {
        "vendor": "netsecmonitor",
        "product": "nsm",
        "version": __version__,
        "type": "ids",
        "hostname": notice.sensor,
    }
    event: dict[str, Any] = {"kind": "alert", "module": "nsm", "dataset": "nsm.alert"}
    document: dict[str, Any] = {
        "@timestamp": stamp(alert.last_seen if alert else notice.ts), "ecs": {"version": ECS_VERSION}, "observer": observer,
        "message": one_line(sentence(notice, alert), 200 if brief else 4_000),
    }  # fmt: skip
    if alert is None:
        return {**document, "event": {**event, "kind": "event", "id": notice.id, "dataset": f"nsm.{notice.kind}"}}
    finding = alert.finding
    event |= {
        "id": f"{alert.id}.{alert.rev}", "category": ["intrusion_detection"], "type": ["info"],
        "severity": CEF_LEVELS[alert.severity], "risk_score": alert.risk, "start": stamp(alert.first_seen),
        "end": stamp(alert.last_seen), "action": finding.kind,
    }  # fmt: skip
    document |= {
        "event": event,
        "rule": {"id": str(finding.signature_id), "name": finding.signature, "category": finding.category},
        "nsm": {
            "severity": alert.severity.word,
            "confidence": finding.confidence,
            "count": alert.count,
            "alert": alert.id,
        },
    }
    ends = (("source", finding.src_ip, finding.src_port), ("destination", finding.dest_ip, finding.dest_port))
    for name, address, port in ends:
        if address:
            document[name] = {"ip": address, **({"port": port} if port else {})}
    if finding.proto:
        document["network"] = {"transport": PROTO_NAMES.get(finding.proto, str(finding.proto)).lower()}
    if finding.techniques:
        document["threat"] = {"technique": {"id": list(finding.techniques)}}
    return document


def channels(settings: SyslogSettings) -> Mapping[str, Callable[[], Channel]]:
    """The one collector, when it is set."""
    return {"syslog": lambda: Syslog(settings)} if settings.host else {}


SPEC: Final = ChannelSpec(name="syslog", settings=SyslogSettings, channels=channels, each=True)
