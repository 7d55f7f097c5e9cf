"""PostgreSQL: one pgsql event and row for each request with its answer. PostgreSQL documentation, "Frontend/Backend Protocol".

Values of rows are counted, not kept; passwords only where a setting asks for them.
"""

from __future__ import annotations

from typing import Any, Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Row, Side
from nsm.wire.http_head import text

MESSAGE_BYTES_MAX: Final = 60_000  # ours: of a message that is read whole; below what an unread side may hold
STARTUP_BYTES_MAX: Final = 10_000  # the server's own limit of a startup packet
TEXT_BYTES_MAX: Final = 8192  # ours: of a query in the event
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST, VERSION_3 = 80877103, 80877104, 80877102, 196608

FRONTEND: Final = frozenset(b"QPBEDSCHFXpdcf")
BACKEND: Final = frozenset(b"RKSZCEDTNAI123nstVGHWcdv")
WHOLE: Final = frozenset(b"QpRKSCETNZAPGHWF")  # the others are only counted
PARAMETERS: Final = {
    b"application_name": "application_name", b"client_encoding": "client_encoding", b"DateStyle": "date_style",
    b"integer_datetimes": "integer_datetimes", b"IntervalStyle": "interval_style", b"is_superuser": "is_superuser",
    b"server_encoding": "server_encoding", b"server_version": "server_version",
    b"session_authorization": "session_authorization", b"standard_conforming_strings": "standard_conforming_strings",
    b"TimeZone": "time_zone",
}  # fmt: skip # those that EVE's schema has
OPTIONS: Final = frozenset((
    "application_name", "client_encoding", "database", "datestyle", "extra_float_digits", "options", "replication",
))  # fmt: skip # those that EVE's schema has
AUTHENTICATION: Final = {
    0: ("ok", "Ok"), 2: ("kerberos_v5", "KerberosV5"), 3: ("cleartext_password", "CleartextPassword"),
    5: ("md5_password", "MD5Password"), 7: ("gss", "GSS"), 8: ("gss_continue", "GSSContinue"), 9: ("sspi", "SSPI"),
    10: ("sasl", "SASL"), 11: ("sasl_continue", "SASLContinue"), 12: ("sasl_final", "SASLFinal"),
}  # fmt: skip # documentation, "Message Formats", Authentication*
ERRORS: Final = {
    83: "severity_localizable", 86: "severity_non_localizable", 67: "code", 77: "message", 70: "file", 76: "line",
    82: "routine",
}  # fmt: skip # documentation, "Error and Notice Message Fields"
MECHANISMS: Final = {b"SCRAM-SHA-256": "scram_SHA256", b"SCRAM-SHA-256-PLUS": "scram_SHA256_plus"}


class PostgresqlRow(Row):
    """A line of Zeek's postgresql.log."""

    user: str | None
    database: str | None
    application_name: str | None
    frontend: str | None
    frontend_arg: str | None
    backend: str | None
    backend_arg: str | None
    success: bool | None
    rows: int | None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A startup packet; of a server an authentication request."""
    if side is Side.SERVER:
        return _probe_server(data)
    if len(data) < 8:
        return Match.MORE if data[:2] == b"\0\0"[: len(data)] else Match.NO
    size, code = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
    if (size, code) in {(8, SSL_REQUEST), (8, GSS_REQUEST), (16, CANCEL_REQUEST)}:
        return Match.YES
    good = code == VERSION_3 and 8 < size <= STARTUP_BYTES_MAX and b"user\0" in data[8:size]
    return Match.YES if good else Match.NO


def _probe_server(data: bytes) -> Match:
    if len(data) < 9:
        return Match.MORE if data[:4] == b"R\0\0\0"[: len(data)] else Match.NO
    size, code = int.from_bytes(data[1:5], "big"), int.from_bytes(data[5:9], "big")
    return Match.YES if data[:1] == b"R" and 8 <= size < 1024 and code in AUTHENTICATION else Match.NO


class Exchange:
    """A request and its answer, as EVE has them."""

    __slots__ = ("error", "kind", "number", "query", "reply", "request", "rows")

    def __init__(self, number: int, kind: str) -> None:
        self.number, self.kind = number, kind
        self.request: dict[str, Any] = {}
        self.reply: dict[str, Any] = {}
        self.query = ""
        self.rows = 0
        self.error: str | None = None


class PgsqlParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._started = False
        self._now: Exchange | None = None
        self._count = 0
        self._auth = self._asked = -1
        self._user: str | None = None
        self._database: str | None = None
        self._application: str | None = None
        self._passwords: bool = conv.option("passwords", False)
        self._events = conv.wants("pgsql")
        self._over = False

    def feed(self, side: Side, data: bytes) -> int:
        """Messages, one after the other."""
        at = 0
        while at < len(data) and not self._over:
            if side is Side.SERVER and self._now is not None and self._now.kind == "ssl_request":
                self._ssl_reply(data[at])
                at += 1
                continue
            used = (
                self._startup(data, at) if side is Side.CLIENT and not self._started else self._message(side, data, at)
            )
            if not used:
                break
            at += used
            if at > len(data):
                self._conv.skip(side, at - len(data))
                return len(data)
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Where the next message begins is not to be found."""
        return False

    def finish(self) -> None:
        """What was not answered."""
        self._end()

    # Messages.

    def _startup(self, data: bytes, at: int) -> int:
        """The first packets have no letter."""
        if len(data) - at < 8:
            return 0
        size, code = int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at] in FRONTEND and size > STARTUP_BYTES_MAX:  # picked up amid a session
            self._started = True
            return self._message(Side.CLIENT, data, at)
        if not 8 <= size <= STARTUP_BYTES_MAX:
            raise MalformedError("invalid_length")
        if len(data) - at < size:
            return 0
        body = data[at + 8 : at + size]
        if code in {SSL_REQUEST, GSS_REQUEST}:
            self._begin("ssl_request").request["message"] = "SSL Request"
        elif code == CANCEL_REQUEST and len(body) >= 8:
            now = self._begin("cancel_request")
            now.request.update(
                message="cancel_request", process_id=int.from_bytes(body[:4], "big"),
                secret_key=int.from_bytes(body[4:8], "big"),
            )  # fmt: skip
            self._end()
        elif code >> 16 == 3:
            self._started = True
            self._parameters(self._begin("startup"), code, body)
        else:
            raise MalformedError("malformed_request")
        return size

    def _parameters(self, now: Exchange, code: int, body: bytes) -> None:
        words = body.split(b"\0")
        options: list[dict[str, str]] = []
        for name, value in zip(words[::2], words[1::2], strict=False):
            key, shown = text(name).lower(), text(value[:TEXT_BYTES_MAX])
            if key == "user":
                self._user = shown
            elif key:
                if key == "database":
                    self._database = shown
                elif key == "application_name":
                    self._application = shown
                if key in OPTIONS:
                    options.append({key: shown})
        parameters: dict[str, Any] = {"user": self._user or ""}
        if options:
            parameters["optional_parameters"] = options
        now.request.update(protocol_version=f"{code >> 16}.{code & 0xFFFF}", startup_parameters=parameters)

    def _message(self, side: Side, data: bytes, at: int) -> int:
        if len(data) - at < 5:
            return 0
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 5], "big")
        if size < 4 or kind not in (FRONTEND if side is Side.CLIENT else BACKEND):
            raise MalformedError("malformed_request" if side is Side.CLIENT else "malformed_response")
        body = b""
        if kind in WHOLE and size <= MESSAGE_BYTES_MAX:
            if len(data) - at < size + 1:
                return 0
            body = data[at + 5 : at + 1 + size]
        elif side is Side.SERVER and kind == 68 and len(data) - at < 7:  # a row: how many fields it has
            return 0
        if side is Side.CLIENT:
            self._ask(kind, size, body)
        else:
            fields = int.from_bytes(data[at + 5 : at + 7], "big") if kind == 68 else 0
            self._answer(kind, size - 4, body, fields)
        return size + 1

    def _ask(self, kind: int, size: int, body: bytes) -> None:
        if kind == 81:  # Q
            now = self._begin("simple_query")
            now.query = text(body.partition(b"\0")[0][:TEXT_BYTES_MAX])
            now.request["simple_query"] = now.query
        elif kind == 112:  # p
            self._secret(body)
        elif kind == 88:  # X
            self._begin("terminate").request["message"] = "termination_message"
            self._end()
        elif kind == 100:  # d
            now = self._now if self._now is not None and self._now.kind == "copy" else self._begin("copy")
            copied = now.request.setdefault("copy_data_in", {"msg_count": 0, "data_size": 0})
            copied["msg_count"] += 1
            copied["data_size"] += size - 4
        elif kind in {99, 102} and self._now is not None:  # c, f
            self._now.request["message"] = "copy_done" if kind == 99 else "copy_fail"

    def _secret(self, body: bytes) -> None:
        """A password, or a step of SASL."""
        now = self._begin("password")
        if self._asked == 10:
            name, _, rest = body.partition(b"\0")
            now.request["sasl_authentication_mechanism"] = MECHANISMS.get(name, text(name))
            if len(rest) > 4:
                now.request["sasl_param"] = text(rest[4:])
        elif self._asked in {11, 12}:
            now.request["sasl_response"] = text(body)
        elif self._passwords:
            now.request["password"] = text(body.partition(b"\0")[0])
        else:
            now.request["password_redacted"] = True

    def _answer(self, kind: int, size: int, body: bytes, fields: int) -> None:
        now = self._now
        if now is None:
            return
        reply = now.reply
        if kind == 90:  # Z
            self._end()
        elif kind == 82 and len(body) >= 4:  # R
            self._authentication(now, int.from_bytes(body[:4], "big"), body[4:])
        elif kind == 83:  # S
            name, _, rest = body.partition(b"\0")
            if name in PARAMETERS:
                reply.setdefault("parameter_status", []).append({PARAMETERS[name]: text(rest.partition(b"\0")[0])})
        elif kind == 75 and len(body) >= 8:  # K
            reply["process_id"] = int.from_bytes(body[:4], "big")
            reply["secret_key"] = int.from_bytes(body[4:8], "big")
        elif kind == 69:  # E
            self._error(now, body)
        elif kind == 67:  # C
            reply["command_completed"] = text(body.partition(b"\0")[0])
        else:
            self._rows(now, kind, size, body, fields)

    def _rows(self, now: Exchange, kind: int, size: int, body: bytes, fields: int) -> None:
        """Rows and copies are counted."""
        reply = now.reply
        if kind == 84 and len(body) >= 2:  # T
            reply["field_count"] = int.from_bytes(body[:2], "big")
        elif kind == 68:  # D
            now.rows += 1
            reply["data_rows"] = now.rows
            reply["data_size"] = reply.get("data_size", 0) + max(0, size - 2 - 4 * fields)
        elif kind == 100:  # d
            copied = reply.setdefault("copy_data_out", {"row_count": 0, "data_size": 0})
            copied["row_count"] += 1
            copied["data_size"] += size
        elif kind == 71 and len(body) >= 3:  # G
            reply["copy_in_response"] = {"columns": int.from_bytes(body[1:3], "big")}
            self._end()
        elif kind == 72 and len(body) >= 3:  # H
            reply["copy_out_response"] = {"columns": int.from_bytes(body[1:3], "big")}

    def _authentication(self, now: Exchange, code: int, rest: bytes) -> None:
        names = AUTHENTICATION.get(code)
        if names is None:
            return
        if code == 12:
            now.reply["authentication_sasl_final"] = text(rest)
            return
        now.reply["message"] = f"authentication_{names[0]}"
        if code:
            self._asked = code
            if code in {3, 5, 7, 9, 10}:
                self._auth = code
            self._end()

    def _error(self, now: Exchange, body: bytes) -> None:
        for part in body.split(b"\0"):
            key = ERRORS.get(part[0]) if part else None
            if key is not None:
                now.reply[key] = text(part[1:])
        now.error = now.reply.get("message", "")
        if now.kind in {"startup", "password"}:
            self._end()

    def _ssl_reply(self, byte: int) -> None:
        now = self._now
        if now is None or byte not in b"SNGE":
            raise MalformedError("malformed_response")
        accepted = byte in b"SG"
        now.reply["ssl_accepted"] = accepted
        self._end(backend="ssl_reply", arg=chr(byte))
        if accepted:
            self._over = True
            self._conv.switch("tls" if byte == 83 else "")

    # Exchanges.

    def _begin(self, kind: str) -> Exchange:
        self._end()
        self._count += 1
        self._now = Exchange(self._count, kind)
        return self._now

    def _end(self, backend: str | None = None, arg: str | None = None) -> None:
        now, self._now = self._now, None
        if now is None:
            return
        if self._events:
            event: dict[str, Any] = {"tx_id": now.number}
            if now.request:
                event["request"] = now.request
            if now.reply:
                event["response"] = now.reply
            self._conv.emit("pgsql", {"pgsql": event})
        if self._conv.rows:
            self._row(now, backend, arg)

    def _row(self, now: Exchange, backend: str | None, arg: str | None) -> None:
        """Zeek's line: a log-in is one, whatever its steps."""
        if now.error is not None:
            backend, arg = "error", _said(now.reply)
        if now.kind in {"startup", "password"}:
            if now.error is None and now.reply.get("message") != "authentication_ok":
                return
            frontend = "startup"
            if now.error is None:
                names = AUTHENTICATION.get(self._auth)
                backend, arg = "auth_ok", names[1] if names is not None else None
        elif now.kind in {"ssl_request", "simple_query", "terminate", "cancel_request"}:
            frontend = now.kind
        else:
            return
        query = now.kind == "simple_query"
        known = now.kind != "ssl_request"
        self._conv.row(
            PostgresqlRow(
                user=self._user if known else None,
                database=self._database if known else None,
                application_name=self._application if known else None,
                frontend=frontend,
                frontend_arg=now.query if query else None,
                backend=backend,
                backend_arg=arg,
                success=None if now.kind in {"terminate", "cancel_request"} else now.error is None and arg != "N",
                rows=now.rows if query and now.error is None else None,
            )
        )


def _said(reply: dict[str, Any]) -> str:
    """An error as Zeek writes it: the fields in order."""
    names = (("severity_non_localizable", "Severity"), ("code", "Code"), ("message", "Message"))
    return ",".join(f"{label}={reply[key]}" for key, label in names if key in reply)


SPEC: Final = ProtocolSpec(
    name="pgsql", transports=("tcp",), ports=(5432,), probe=probe, parser=PgsqlParser, service="postgresql", kinds=("pgsql",),
    weight=10,
)  # fmt: skip
