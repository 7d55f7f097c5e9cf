"""The ``http`` object of EVE and the ``http`` line of Zeek, as HTTP/1 and HTTP/2 both fill them."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any, Final

import msgspec

from nsm.model.protocol import Record, Row
from nsm.wire.http_head import Fields, text

REDIRECTS: Final = range(300, 400)

# Fields that ``custom`` may name, where EVE's name is not the field's with underscores.
CUSTOM_NAMES: Final = {"accept_range": b"accept-ranges", "referrer": b"referer"}
CUSTOM_OF_REPLY: Final = frozenset((
    "accept_range", "age", "allow", "connection", "content_encoding", "content_language", "content_length",
    "content_location", "content_md5", "content_range", "content_type", "date", "etag", "expires", "last_modified", "link",
    "location", "proxy_authenticate", "referrer", "refresh", "retry_after", "server", "set_cookie", "trailer",
    "transfer_encoding", "upgrade", "vary", "warning", "www_authenticate",
))  # fmt: skip

# Fields that tell of a proxy: Zeek's HTTP::proxy_headers.
PROXY_FIELDS: Final = (
    b"forwarded", b"x-forwarded-for", b"x-forwarded-from", b"client-ip", b"via", b"xroxy-connection", b"proxy-connection",
)  # fmt: skip


class ContentRange(Record):
    """What a Content-Range says: RFC 9110 section 14.4."""

    raw: str
    start: int | None = None
    end: int | None = None
    size: int | None = None


class Header(Record):
    """One field of a dumped head."""

    name: str
    value: str


class HttpRecord(Record):
    """The http object of EVE for HTTP/1."""

    hostname: str | None = None
    http_port: int | None = None
    url: str | None = None
    http_user_agent: str | None = None
    http_content_type: str | None = None
    content_range: ContentRange | None = None
    http_refer: str | None = None
    http_method: str | None = None
    protocol: str | None = None
    status: int | None = None
    status_string: str | None = None
    redirect: str | None = None
    length: int | None = None
    request_headers: list[Header] | None = None
    response_headers: list[Header] | None = None


class HttpRow(Row):
    """A line of Zeek's http.log."""

    trans_depth: int
    method: str | None
    host: str | None
    uri: str | None
    referrer: str | None
    version: str | None
    user_agent: str | None
    origin: str | None
    request_body_len: int
    response_body_len: int
    status_code: int | None
    status_msg: str | None
    info_code: int | None
    info_msg: str | None
    tags: frozenset[str]
    username: str | None
    password: str | None
    proxied: frozenset[str] | None
    orig_fuids: list[str] | None
    orig_filenames: list[str] | None
    orig_mime_types: list[str] | None
    resp_fuids: list[str] | None
    resp_filenames: list[str] | None
    resp_mime_types: list[str] | None


NO_TAGS: Final[frozenset[str]] = frozenset()


def split_host(host: bytes) -> tuple[str, int | None]:
    """(name in lower case, port) of an authority without user. RFC 3986 section 3.2."""
    host = host.strip()
    if host[:1] == b"[":
        name, _, rest = host.partition(b"]")
        name += b"]"
        colon, port = rest[:1], rest[1:]
    else:
        name, colon, port = host.partition(b":")
    number = int(port) if colon and port.isdigit() and len(port) <= 5 else None
    return text(name).lower(), number if number is None or 0 < number < 65536 else None


def content_range(value: bytes) -> ContentRange:
    """``bytes 500-1000/146515``; only ``raw`` where it is none."""
    raw = text(value)
    unit, _, rest = value.strip().partition(b" ")
    span, slash, size = rest.strip().partition(b"/")
    if unit.lower() != b"bytes" or not slash:
        return ContentRange(raw=raw)
    total = int(size) if size.isdigit() and len(size) < 19 else None
    first, dash, last = span.partition(b"-")
    if not (dash and first.isdigit() and last.isdigit() and max(len(first), len(last)) < 19):
        return ContentRange(raw=raw, size=total)
    return ContentRange(raw=raw, start=int(first), end=int(last), size=total)


def basic_user(value: bytes) -> str | None:
    """The user of Basic credentials, whose password is not kept. RFC 7617."""
    scheme, _, token = value.strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, _ = b64decode(token.strip(), validate=False).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return text(user) if colon else None


def proxied(fields: Fields) -> frozenset[str] | None:
    """What proxies left in a request, as Zeek writes it; None: nothing."""
    found = [f"{text(name).upper()} -> {text(fields[name])}" for name in PROXY_FIELDS if name in fields]
    return frozenset(found) if found else None


def media_type(value: bytes) -> str:
    """A Content-Type without its parameters."""
    return text(value.partition(b";")[0])


def optional(fields: Fields, name: bytes) -> str | None:
    """A field as text, None when it is not there."""
    value = fields.get(name)
    return None if value is None else text(value)


def with_custom(record: Record, custom: list[str], request: Fields, reply: Fields) -> Any:
    """The object with the fields that the settings ask for."""
    found: dict[str, Any] = {}
    for name in custom:
        field = CUSTOM_NAMES.get(name, name.replace("_", "-").encode())
        value = (reply if name in CUSTOM_OF_REPLY else request).get(field)
        if value is not None:
            found[name] = text(value)
    if not found:
        return record
    plain: dict[str, Any] = msgspec.to_builtins(record)
    return {**found, **plain}
