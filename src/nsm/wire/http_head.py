"""Heads of HTTP messages: where one ends, its first line, its fields. RFC 9112 sections 2 to 5, read as browsers do.

Fields come as a dictionary of lower case names; what repeats is joined by ", " (RFC 9110 section 5.3).
"""

from __future__ import annotations

from typing import Final

FIELDS_MAX: Final = 1024  # Suricata's default for request and response headers
FIELD_BYTES_MAX: Final = 18_000  # libhtp's hard limit of a field, as its documentation gives it

# What is odd about a head, as bits.
MISSING_COLON: Final = 1
REPEATED: Final = 2
FOLDED: Final = 4
TOO_MANY: Final = 8
BAD_NAME: Final = 16
LENGTH_REPEATED: Final = 32

FOLDS: Final = frozenset((b" ", b"\t"))  # RFC 9112 section 5.2

TOKEN: Final = frozenset(
    b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)  # RFC 9110 5.6.2
TOKEN_BYTES: Final = bytes(sorted(TOKEN))

Fields = dict[bytes, bytes]


def text(value: bytes) -> str:
    r"""Bytes as text: UTF-8, what is none as ``\xhh``."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("utf-8", "backslashreplace")


def head_end(data: bytes, start: int = 0) -> int:
    """Where the head that begins at 0 ends, its empty line included; -1: not yet. Bare line feeds count.

    ``start``: how far an earlier search came.
    """
    start = max(0, start - 3)
    crlf = data.find(b"\n\r\n", start)
    bare = data.find(b"\n\n", start, crlf + 1 if crlf >= 0 else len(data))
    if bare >= 0:
        return bare + 2
    return crlf + 3 if crlf >= 0 else -1


def is_token(value: bytes) -> bool:
    """Only characters of a token, and at least one."""
    return bool(value) and not value.translate(None, TOKEN_BYTES)


# Names by how they are usually spelled: IANA's field name registry and what proxies and browsers add.
_COMMON: Final = (
    "Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges Access-Control-Allow-Credentials "
    "Access-Control-Allow-Headers Access-Control-Allow-Methods Access-Control-Allow-Origin Access-Control-Expose-Headers "
    "Access-Control-Max-Age Age Allow Alt-Svc Authorization CF-Cache-Status CF-RAY Cache-Control Connection "
    "Content-Disposition Content-Encoding Content-Language Content-Length Content-Location Content-MD5 Content-Range "
    "Content-Security-Policy Content-Type Cookie DNT Date ETag Expect Expires From Host If-Match If-Modified-Since "
    "If-None-Match If-Range If-Unmodified-Since Keep-Alive Last-Modified Link Location MIME-Version Max-Forwards NEL "
    "Origin P3P Pragma Proxy-Authenticate Proxy-Authorization Proxy-Connection Range Referer Referrer-Policy Refresh "
    "Report-To Retry-After SOAPAction Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User "
    "Sec-WebSocket-Accept Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Protocol Sec-WebSocket-Version "
    "Server Set-Cookie Strict-Transport-Security TE Timing-Allow-Origin Trailer Transfer-Encoding Upgrade "
    "Upgrade-Insecure-Requests User-Agent Vary Via WWW-Authenticate Warning X-AspNet-Version X-Cache X-Cache-Hits "
    "X-Content-Type-Options X-Forwarded-For X-Forwarded-Proto X-Frame-Options X-Powered-By X-Requested-With "
    "X-Served-By X-Timer X-UA-Compatible X-XSS-Protection"
)
NAMES: Final = {
    spelled.encode(): name.lower().encode()
    for name in _COMMON.split()
    for spelled in (name, name.lower(), name.title())
}


def head_lines(head: bytes) -> list[bytes]:
    """The lines of a head without their ends."""
    if b"\0" in head:  # read as libhtp does: it continues a line, and ends a value
        head = head.replace(b"\n\0", b"\n ").replace(b"\0\r\n", b"\r\n")
    lines = head.rstrip(b"\r\n").split(b"\r\n")
    if head.count(b"\n") > len(lines) + 1:  # bare line feeds among them
        return [line.removesuffix(b"\r") for line in head.rstrip(b"\r\n").split(b"\n")]
    return lines


def head_fields(lines: list[bytes], first: int = 1, reply: bool = False) -> tuple[Fields, int]:
    """The fields of these lines from ``first`` on, and what was odd about them.

    Of a ``reply`` a line that a space continues is a field of its own when it has a colon, as libhtp has it.
    """
    fields: Fields = {}
    odd = 0
    if len(lines) - first > FIELDS_MAX:
        del lines[first + FIELDS_MAX :]
        odd = TOO_MANY
    last = b""
    for line in lines[first:] if first else lines:
        raw, colon, value = line.partition(b":")
        name = NAMES.get(raw)
        if name is None or not colon:
            if line[:1] in FOLDS:
                if not colon or (last and not (reply and line[:1] == b" ")):
                    if last and len(fields[last]) < FIELD_BYTES_MAX:
                        fields[last] = fields[last] + b" " + line.strip()
                    continue
                odd |= FOLDED
            if not colon:
                odd |= MISSING_COLON if line.strip() else 0
                continue
            name = raw.strip(b" \t\0\v\f").lower()
            if not name or b" " in name:
                odd |= BAD_NAME
        value = value.strip()
        if name in fields:
            if (
                name != b"set-cookie"
            ):  # the one field that is meant to repeat without being a list: RFC 9110 section 5.3
                odd |= LENGTH_REPEATED if name == b"content-length" else REPEATED
            value = fields[name] + b", " + value if len(fields[name]) < FIELD_BYTES_MAX else fields[name]
        fields[name] = value
        last = name
    return fields, odd


def has_long_line(lines: list[bytes], head: int) -> bool:
    """Is one of these lines of a head of that many bytes longer than libhtp takes?"""
    return head > FIELD_BYTES_MAX and max(map(len, lines)) > FIELD_BYTES_MAX


def head_pairs(lines: list[bytes], first: int = 1) -> list[tuple[bytes, bytes]]:
    """(name, value) as they were sent, for those who want all of them."""
    found = []
    for line in lines[first : first + FIELDS_MAX]:
        name, colon, value = line.partition(b":")
        if colon and line[:1] not in (b" ", b"\t"):
            found.append((name.strip(), value.strip()))
    return found


def content_length(value: bytes) -> int | None:
    """The number of a Content-Length, None when it is none. A list of the same number is one (RFC 9112 6.3)."""
    if not value.isdigit():
        parts = {part.strip() for part in value.split(b",")}
        value = parts.pop()
        if parts or not value.isdigit():
            return None
    if len(value) > 18:  # more does not fit 63 bits
        value = value.lstrip(b"0") or b"0"
    return int(value) if len(value) < 19 else None


def parameter(value: bytes, name: bytes) -> bytes:
    """A parameter of a structured value (``form-data; name="a"``), b"" when it is not there. RFC 9110 section 5.6.6."""
    lower = value.lower()
    at = lower.find(b";")
    while at >= 0:
        end = at + 1
        while end < len(lower) and lower[end] in b" \t\r\n":
            end += 1
        if lower.startswith(name, end):
            rest = end + len(name)
            while rest < len(lower) and lower[rest] in b" \t":
                rest += 1
            if lower[rest : rest + 1] == b"=":
                return _parameter_value(value[rest + 1 :].lstrip(b" \t"))
        at = _next_semicolon(lower, end)
    return b""


def _parameter_value(value: bytes) -> bytes:
    if value[:1] == b'"':
        end = 1
        while True:
            end = value.find(b'"', end)
            if end < 0:
                return value[1:].replace(b'\\"', b'"')
            if value[end - 1 : end] != b"\\":
                return value[1:end].replace(b'\\"', b'"').replace(b"\\\\", b"\\")
            end += 1
    return value.partition(b";")[0].strip()


def _next_semicolon(value: bytes, at: int) -> int:
    """The next semicolon that no quotes hold, -1 when there is none."""
    while True:
        semicolon = value.find(b";", at)
        quote = value.find(b'"', at)
        if quote < 0 or semicolon < 0 or semicolon < quote:
            return semicolon
        close = value.find(b'"', quote + 1)
        if close < 0:
            return -1
        at = close + 1


def extended_value(value: bytes) -> bytes:
    """The bytes of ``charset'language'percent-encoded`` (RFC 8187), as UTF-8 where the charset is known."""
    charset, _, rest = value.partition(b"'")
    _, quote, encoded = rest.partition(b"'")
    if not quote:
        return value
    decoded = percent_decoded(encoded)
    if charset.lower() in (b"iso-8859-1", b"latin1"):
        return decoded.decode("latin-1").encode()
    return decoded


def percent_decoded(value: bytes) -> bytes:
    """``%41`` as ``A``; what is no escape stays."""
    if b"%" not in value:
        return value
    first, *parts = value.split(b"%")
    out = [first]
    for part in parts:
        try:
            out.append(bytes.fromhex(part[:2].decode("ascii")) + part[2:] if len(part) > 1 else b"%" + part)
        except ValueError:
            out.append(b"%" + part)
    return b"".join(out)


def disposition_name(value: bytes) -> str:
    """The file's name of a Content-Disposition, "" without one. RFC 6266 section 4.3."""
    if b"filename" not in value.lower():
        return ""
    name = parameter(value, b"filename")
    if not name:
        name = parameter(value, b"filename*")
        name = extended_value(name) if name else b""
    return text(name)
