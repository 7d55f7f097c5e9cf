"""LDAP: one event per request with its responses, over TCP and UDP. RFC 4511; RFC 4533; CLDAP of [MS-ADTS] 6.3.3.

After a login by SASL messages may be wrapped: those that are only signed are read through (RFC 4121, section 4.2.6.2; of
NTLM, [MS-NLMP] 2.2.2.9), sealed ones are skipped. Passwords are never told. Long because requests and responses have a
dozen forms each, and filters a notation.
"""

from __future__ import annotations

from typing import Any, Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Row, Side
from nsm.wire import der
from nsm.wire.krb5 import find_ap_req
from nsm.wire.ntlm import Ntlm

BUFFER_BYTES_MAX: Final = 262_144  # ours: a wrapped buffer of a search with large entries comes as one
MESSAGE_BYTES_MAX: Final = 250_000  # ours: longer ones are skipped
REQUESTS_MAX: Final = 256  # Suricata, app-layer.protocols.ldap.max-tx: open requests of a flow
RESPONSES_MAX: Final = 255  # ours: kept for one event; a search may have thousands of entries
VALUES_MAX: Final = 256  # ours: attributes of an entry, values of an attribute
VALUE_BYTES_MAX: Final = 4096  # ours
FILTER_PARTS_MAX: Final = 512  # ours
STARTTLS: Final = "1.3.6.1.4.1.1466.20037"  # RFC 4511, section 4.14.1

_REQUESTS: Final = {0: "bind", 2: "unbind", 3: "search", 6: "modify", 8: "add", 10: "del", 12: "mod_dn", 14: "compare",
                    16: "abandon", 23: "extended"}  # fmt: skip
_RESPONSES: Final = {
    1: "bind_response", 4: "search_result_entry", 5: "search_result_done", 7: "modify_response", 9: "add_response",
    11: "del_response", 13: "mod_dn_response", 15: "compare_response", 19: "search_result_reference",
    24: "extended_response", 25: "intermediate_response",
}  # fmt: skip
_MORE: Final = frozenset((4, 19, 25))  # responses behind which others come
_SASL_BIND: Final = 14

_RESULTS: Final = {  # RFC 4511, section 4.1.9; spelled as Zeek does
    0: "success", 1: "operations error", 2: "protocol error", 3: "time limit exceeded", 4: "size limit exceeded",
    5: "compare false", 6: "compare true", 7: "auth method not supported", 8: "stronger auth required", 9:
    "partial results", 10: "referral", 11: "admin limit exceeded", 12: "unavailable critical extension",
    13: "confidentiality required", 14: "SASL bind in progress", 16: "no such attribute", 17:
    "undefined attribute type", 18: "inappropriate matching", 19: "constraint violation", 20:
    "attribute or value exists", 21: "invalid attribute syntax", 32: "no such object", 33: "alias problem", 34:
    "invalid DN syntax", 36: "alias dereferencing problem", 48: "inappropriate authentication", 49:
    "invalid credentials", 50: "insufficient access rights", 51: "busy", 52: "unavailable", 53:
    "unwilling to perform", 54: "loop detect", 64: "naming violation", 65: "object class violation", 66:
    "not allowed on non-leaf", 67: "not allowed on RDN", 68: "entry already exists", 69:
    "object class mods prohibited", 71: "affects multiple DSAs", 80: "other",
}  # fmt: skip
_EXTENDED: Final = {STARTTLS: "StartTLS", "1.3.6.1.4.1.4203.1.11.3": "whoami", "1.3.6.1.4.1.4203.1.11.1": "PasswordModify",
                    "1.3.6.1.1.8": "Cancel"}  # fmt: skip
_SCOPES: Final = ("base", "single", "tree")
_ALIASES: Final = ("never", "in_searching", "finding", "always")
_OPCODES: Final = {"del": "delete", "mod_dn": "modify RDN"}


class LdapRow(Row):
    """An operation in Zeek's ldap.log."""

    message_id: int
    version: int | None
    opcode: str
    result: str | None
    diagnostic_message: str | None
    object: str | None
    argument: str | None


class LdapSearchRow(Row):
    """A search in Zeek's ldap_search.log."""

    message_id: int
    scope: str | None
    deref_aliases: str | None
    base_object: str | None
    result_count: int
    result: str | None
    diagnostic_message: str | None
    filter: str | None
    attributes: list[str] | None = None


class _Request:
    """A request that waits for its last response."""

    def __init__(self, number: int, name: str, fields: dict[str, Any]) -> None:
        self.number = number
        self.name = name
        self.fields = fields
        self.responses: list[dict[str, Any]] = []
        self.entries = 0
        self.version: int | None = None
        self.object: str | None = None
        self.argument: str | None = None
        self.opcode = _OPCODES.get(name, name)
        self.filter: str | None = None


def _text(raw: bytes) -> str:
    return raw[:VALUE_BYTES_MAX].decode("utf-8", "backslashreplace")


def _printable(text: str) -> str:
    """As Zeek shows a message of the server: what is no character is a question mark."""
    return text if text.isprintable() else "".join([char if char >= " " else "?" for char in text])


def _size(data: bytes, at: int) -> int:
    """Bytes of the message at ``at``, 0 while its head is not there."""
    try:
        return der.size_of(data, at, len(data))
    except MalformedError:
        raise MalformedError("invalid_data") from None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A sequence with a message number and an operation that exists. RFC 4511, section 4.1.1."""
    if not data or data[0] != der.SEQUENCE:
        return Match.MORE if not data else Match.NO
    if len(data) < 12:
        return Match.MORE if len(data) < 7 or data[1] >= 0x80 else _operation(data, 2)
    size = data[1]
    at = 2 if size < 0x80 else 2 + (size & 0x7F)
    return _operation(data, at) if size < 0x80 or 0 < size & 0x7F <= 4 else Match.NO


def _operation(data: bytes, at: int) -> Match:
    if at + 5 > len(data) or data[at] != der.INTEGER or not 0 < data[at + 1] <= 4:
        return Match.NO
    at += 2 + data[at + 1]
    if at + 1 >= len(data):
        return Match.NO
    tag = data[at]
    number = tag & 0x1F
    primitive = number in {2, 10, 16}  # section 4.3, 4.8 and 4.11: no sequences
    known = tag & 0xC0 == 0x40 and (number in _REQUESTS or number in _RESPONSES) and bool(tag & 0x20) != primitive
    return Match.YES if known else Match.NO


def _filter(data: bytes, at: int, end: int) -> str:
    """A filter in the notation of RFC 4515, without recursion: what is open waits on a stack."""
    found: list[str] = []
    stack: list[tuple[int, int] | str] = [(at, end)]
    while stack and len(found) < FILTER_PARTS_MAX:
        item = stack.pop()
        if isinstance(item, str):
            found.append(item)
            continue
        tag, start, stop = der.element(data, item[0], item[1])
        kind = tag & 0x1F
        if kind <= 2:
            found.append("(" + "&|!"[kind])
            stack.append(")")
            inner = der.elements(data, start, stop)
            begin = start
            spans: list[tuple[int, int]] = []
            for _, _, until in inner:
                spans.append((begin, until))
                begin = until
            stack.extend(reversed(spans))
        elif kind == 7:
            found.append(f"({_text(data[start:stop])}=*)")
        elif kind == 9:
            found.append(_extensible(data, start, stop))
        else:
            parts = der.elements(data, start, stop)
            name = _text(data[parts[0][1] : parts[0][2]]) if parts else ""
            value = parts[1] if len(parts) > 1 else (0, 0, 0)
            if kind == 4:
                found.append(f"({name}={_substrings(data, value[1], value[2])})")
            else:
                sign = {5: ">=", 6: "<=", 8: "~="}.get(kind, "=")
                found.append(f"({name}{sign}{_text(data[value[1] : value[2]])})")
    return "".join(found)


def _substrings(data: bytes, start: int, end: int) -> str:
    text = ""
    for tag, one, two in der.elements(data, start, end):
        kind = tag & 0x1F
        piece = _text(data[one:two])
        text += piece if kind == 0 or text.endswith("*") else "*" + piece
        if kind < 2:
            text += "*"
    return text


def _extensible(data: bytes, start: int, end: int) -> str:
    parts = {tag & 0x1F: _text(data[one:two]) for tag, one, two in der.elements(data, start, end)}
    rule = ":" + parts[1] if 1 in parts else ""
    return f"({parts.get(2, '')}{rule}:={parts.get(3, '')})"


def _attributes(data: bytes, span: der.Element, name: str) -> list[dict[str, Any]]:
    """A list of attributes with values."""
    found: list[dict[str, Any]] = []
    for _, start, end in der.elements(data, span[1], span[2])[:VALUES_MAX]:
        parts = der.elements(data, start, end)
        if len(parts) < 2:
            continue
        one: dict[str, Any] = {name: _text(data[parts[0][1] : parts[0][2]])}
        values = [
            _text(data[begin:until]) for _, begin, until in der.elements(data, parts[1][1], parts[1][2])[:VALUES_MAX]
        ]
        if values:
            one["values"] = values
        found.append(one)
    return found


class LdapParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._udp = conv.transport == "udp"
        self._open: dict[int, _Request] = {}
        self._wrapped = False
        self._ntlm = Ntlm()
        self._secret = False
        self._confirmed = False

    def feed(self, side: Side, data: bytes) -> int:
        """Read whole messages, wrapped or not."""
        at, end = 0, len(data)
        while at < end and not self._secret:
            if self._wrapped and data[at] != der.SEQUENCE:
                used = self._wrap(side, data, at)
                if not used:
                    break
                at += used
                continue
            if data[at] != der.SEQUENCE:
                raise MalformedError("invalid_data")
            size = _size(data, at)
            if size == 0:
                break
            if size > MESSAGE_BYTES_MAX:
                over = max(0, at + size - end)
                self._conv.skip(side, over)
                at += size - over
                continue
            if at + size > end:
                break
            at += size
            self._message(side, data[at - size : at])
        return end if self._udp else at

    def _wrap(self, side: Side, data: bytes, at: int) -> int:
        """A buffer of SASL's security layer. RFC 4422, section 3.7."""
        if len(data) < at + 4:
            return 0
        size = int.from_bytes(data[at : at + 4], "big")
        if size > MESSAGE_BYTES_MAX:
            over = max(0, at + 4 + size - len(data))
            self._conv.skip(side, over)
            return 4 + size - over
        token = data[at + 4 : at + 4 + size]
        if len(token) < size:
            return 0
        if token[:2] == b"\5\4" and len(token) > 16:  # RFC 4121, section 4.2.6.2: flag 2 is sealed
            extra, turned = int.from_bytes(token[4:6], "big"), int.from_bytes(token[6:8], "big")
            # The checksum stands behind the text, or before it when the whole was turned by its length.
            plain = b"" if token[2] & 2 else token[16 + extra :] if turned else token[16 : len(token) - extra]
        else:
            plain = token[16:] if token[:4] == b"\1\0\0\0" else b""
        inner = 0
        while inner < len(plain) and plain[inner] == der.SEQUENCE:
            length = _size(plain, inner)
            self._message(side, plain[inner : inner + length])
            inner += max(1, length)
        return 4 + size

    def _message(self, side: Side, data: bytes) -> None:
        try:
            _, start, end = der.expect(data, 0, len(data), der.SEQUENCE)
            _, one, two = der.expect(data, start, end, der.INTEGER)
            number = der.integer(data, one, min(two, one + 8))
            tag, start, end = der.element(data, two, end)
            kind = tag & 0x1F
            if not self._confirmed:
                self._confirmed = True
                self._conv.service("ldap_udp" if self._udp else "ldap_tcp")  # Zeek has two names
            if tag & 0xC0 != 0x40:
                self._conv.anomaly("invalid_data", side=side)
            elif kind in _REQUESTS:
                self._request(number, kind, data, start, end)
            elif kind in _RESPONSES:
                self._response(number, kind, data, start, end)
        except (MalformedError, IndexError):
            self._conv.anomaly("invalid_data", side=side)

    def _request(self, number: int, kind: int, data: bytes, start: int, end: int) -> None:
        name = _REQUESTS[kind]
        request = _Request(number, name, {})
        if kind in {2, 16}:
            if kind == 16:
                request.fields = {"message_id": der.integer(data, start, min(end, start + 8))}
        elif kind == 10:
            request.fields = {"dn": _text(data[start:end])}
        else:
            self._fields(request, kind, data, der.elements(data, start, end))
        if kind in {2, 16}:
            self._tell(request, None, "")
            return
        if len(self._open) >= REQUESTS_MAX:
            self._conv.anomaly("too_many_transactions")
            oldest = self._open.pop(next(iter(self._open)))
            self._tell(oldest, None, "")
        self._open[number] = request

    def _fields(self, request: _Request, kind: int, data: bytes, parts: list[der.Element]) -> None:
        """The parts of a request. RFC 4511, section 4.2 to 4.12."""
        texts = [_text(data[one:two]) if two - one <= VALUE_BYTES_MAX else "" for _, one, two in parts[:3]]
        fields = request.fields
        if kind == 0:
            self._bind(request, data, parts)
        elif kind == 3:
            numbers = [der.integer(data, one, min(two, one + 8)) for _, one, two in parts[1:5]]
            fields.update(base_object=texts[0], scope=numbers[0], deref_alias=numbers[1], size_limit=numbers[2],
                          time_limit=numbers[3], types_only=data[parts[5][1] : parts[5][2]] not in (b"\0", b""))  # fmt: skip
            listed = [_text(data[one:two]) for _, one, two in der.elements(data, parts[7][1], parts[7][2])[:VALUES_MAX]]
            if listed:
                fields["attributes"] = listed
            if self._conv.rows:
                request.filter = _filter(data, parts[5][2], parts[6][2])
        elif kind == 6:
            fields["object"] = texts[0]
            changes = self._changes(data, parts[1])
            if changes:
                fields["changes"] = changes
        elif kind == 8:
            fields["entry"] = texts[0]
            found = _attributes(data, parts[1], "name")
            if found:
                fields["attributes"] = found
        elif kind == 12:
            fields.update(entry=texts[0], new_rdn=texts[1], delete_old_rdn=data[parts[2][1]] != 0)
            if len(parts) > 3:
                fields["new_superior"] = _text(data[parts[3][1] : parts[3][2]])
        elif kind == 14:
            pair = der.elements(data, parts[1][1], parts[1][2])
            assertion = [_text(data[one:two]) for _, one, two in pair[:2]]
            fields.update(
                entry=texts[0], attribute_value_assertion={"description": assertion[0], "value": assertion[1]}
            )
        elif kind == 23:
            fields["name"] = texts[0]
            known = _EXTENDED.get(texts[0])
            request.object = f"{texts[0]} ({known})" if known else texts[0]

    def _bind(self, request: _Request, data: bytes, parts: list[der.Element]) -> None:
        request.version = der.integer(data, parts[0][1], parts[0][2])
        request.object = _text(data[parts[1][1] : parts[1][2]]) or None
        request.fields.update(version=request.version, name=request.object or "")
        tag, start, end = parts[2]
        if tag == 0xA3:
            listed = der.elements(data, start, end)
            mechanism = _text(data[listed[0][1] : listed[0][2]])
            request.fields["sasl"] = {"mechanism": mechanism}
            request.opcode, request.argument = "bind SASL", mechanism
            if len(listed) > 1:
                self._token(data[listed[1][1] : listed[1][2]])
        else:
            request.opcode, request.argument = "bind simple", "REDACTED"

    def _token(self, blob: bytes) -> None:
        if self._ntlm.read(blob):
            self._conv.service("ntlm")
        elif find_ap_req(blob) is not None:
            self._conv.service("krb")
            self._conv.service("gssapi")

    @staticmethod
    def _changes(data: bytes, span: der.Element) -> list[dict[str, Any]]:
        names = ("add", "delete", "replace", "increment")
        found: list[dict[str, Any]] = []
        for _, start, end in der.elements(data, span[1], span[2])[:VALUES_MAX]:
            parts = der.elements(data, start, end)
            number = der.integer(data, parts[0][1], min(parts[0][2], parts[0][1] + 4))
            pair = der.elements(data, parts[1][1], parts[1][2])
            inner: dict[str, Any] = {"attribute_type": _text(data[pair[0][1] : pair[0][2]])}
            values = [_text(data[one:two]) for _, one, two in der.elements(data, pair[1][1], pair[1][2])[:VALUES_MAX]]
            if values:
                inner["attribute_values"] = values
            operation = names[number] if 0 <= number < len(names) else "unknown"
            found.append({"operation": operation, "modification": inner})
        return found

    def _response(self, number: int, kind: int, data: bytes, start: int, end: int) -> None:
        request = self._open.get(number)
        name = _RESPONSES[kind]
        fields: dict[str, Any] = {}
        result, message = None, ""
        parts = der.elements(data, start, end)
        if kind == 4:
            fields["base_object"] = _text(data[parts[0][1] : parts[0][2]])
            found = (
                _attributes(data, parts[1], "type") if request is None or len(request.responses) < RESPONSES_MAX else []
            )
            if found:
                fields["attributes"] = found
        elif kind not in {19, 25}:
            result = der.integer(data, parts[0][1], min(parts[0][2], parts[0][1] + 8))
            message = _text(data[parts[2][1] : parts[2][2]])
            code = _RESULTS.get(result, f"unknown-{result}").lower().replace(" ", "_").replace("-", "_")
            fields.update(result_code=code, matched_dn=_text(data[parts[1][1] : parts[1][2]]), message=message)
            for tag, one, two in parts[3:]:
                if kind == 24 and tag == 0x8A:
                    fields["name"] = _text(data[one:two])
                elif kind == 1 and tag == 0x87:
                    self._token(data[one:two])
        response: dict[str, Any] = {"operation": name, "message_id": number}
        if fields:
            response[name] = fields
        if request is None:
            if number:
                self._conv.anomaly("request_not_found", side=Side.SERVER)
            self._emit({"responses": [response]})
            return
        request.entries += kind == 4
        if len(request.responses) < RESPONSES_MAX:
            request.responses.append(response)
        elif len(request.responses) == RESPONSES_MAX and kind not in _MORE:
            request.responses[-1] = response
        if kind not in _MORE:
            del self._open[number]
            self._tell(request, result, message)
            self._after(request, kind, result)

    def _after(self, request: _Request, kind: int, result: int | None) -> None:
        """What follows a login or the wish for TLS."""
        if kind == 24 and result == 0 and request.fields.get("name") == STARTTLS:
            self._secret = True
            self._conv.switch("tls")
        elif kind == 1 and result == 0 and "sasl" in request.fields:
            self._wrapped = True
            if self._ntlm.seen:
                self._ntlm.row(self._conv)

    def _emit(self, found: dict[str, Any]) -> None:
        if self._conv.wants("ldap"):
            self._conv.emit("ldap", {"ldap": found})

    def _tell(self, request: _Request, result: int | None, message: str) -> None:
        """The event and the row of a request."""
        name = request.name + "_request"
        asked: dict[str, Any] = {"operation": name, "message_id": request.number}
        if request.fields:
            asked[name] = request.fields
        self._emit({"request": asked, **({"responses": request.responses} if request.responses else {})})
        if not self._conv.rows or request.name == "abandon":
            return
        said = _RESULTS.get(result, f"unknown-{result}") if result is not None else None
        if request.name == "search":
            fields = request.fields
            scope, aliases = fields["scope"], fields["deref_alias"]
            self._conv.row(
                LdapSearchRow(
                    message_id=request.number,
                    scope=_SCOPES[scope] if 0 <= scope < len(_SCOPES) else None,
                    deref_aliases=_ALIASES[aliases] if 0 <= aliases < len(_ALIASES) else None,
                    base_object=fields["base_object"] or None, result_count=request.entries, result=said,
                    diagnostic_message=_printable(message) or None, filter=request.filter,
                )
            )  # fmt: skip
            return
        self._conv.row(
            LdapRow(
                message_id=request.number, version=request.version, opcode=request.opcode, result=said,
                diagnostic_message=_printable(message) or None, object=request.object, argument=request.argument,
            )
        )  # fmt: skip

    def gap(self, side: Side, size: int) -> bool:
        """Where the next message begins cannot be known."""
        return False

    def finish(self) -> None:
        """Requests that got no answer."""
        for request in self._open.values():
            self._tell(request, None, "")
        self._open.clear()
        self._ntlm.row(self._conv)


SPEC: Final = ProtocolSpec(
    name="ldap",
    transports=("tcp", "udp"),
    ports=(389, 3268),
    probe=probe,
    first=b"\x30",
    parser=LdapParser,
    kinds=("ldap",),
    buffer_max=BUFFER_BYTES_MAX,
    weight=2,
)
