"""HTTP/1 answers: head, contents, title, and whose they are. RFC 9110, RFC 9112."""

from __future__ import annotations

import html
import re
from typing import Any, Final

import msgspec

from nsm.scan.talking import Asking, Heard, clean, product_of

TITLE_CHARS_MAX: Final = 256
HEADERS_MAX: Final = 64  # ours
BODY_BYTES_MAX: Final = 14_000  # ours: within the bound of an answer
STATUS: Final = re.compile(rb"HTTP/(1\.[01]) (\d{3})(?: ([^\r\n]*))?\r?\n")
PRODUCTS: Final = (  # what servers write into Server, by the name that people know
    ("Apache httpd", r"^Apache(?:/([\d.]+\w*))?"),
    ("nginx", r"^nginx(?:/([\d.]+))?"),
    ("lighttpd", r"^lighttpd(?:/([\d.]+))?"),
    ("CUPS", r"^CUPS(?:/([\d.]+))?"),
    ("Squid", r"^squid(?:/([\d.]+\w*))?"),
    ("Tinyproxy", r"^tinyproxy(?:/([\d.]+\w*))?"),
    ("Microsoft IIS", r"^Microsoft-IIS/([\d.]+)"),
    ("Microsoft HTTPAPI", r"^Microsoft-HTTPAPI/([\d.]+)"),
    ("Python http.server", r"^SimpleHTTP/[\d.]+ Python/([\d.]+)"),
    ("Docker Engine", r"^Docker/([\d.]+)"),
    ("Jetty", r"^Jetty\(([\w.]+)\)"),
    ("Caddy", r"^Caddy"),
)
PROXIES: Final = frozenset({"Squid", "Tinyproxy"})


class HttpAnswer(msgspec.Struct, frozen=True):
    """One answer; names of headers in lower case, the first of each name; ``body`` without its transfer coding."""

    status: int
    line: str
    headers: dict[str, str]
    body: bytes
    head: bytes
    complete: bool

    @property
    def title(self) -> str:
        """The page's title, at most 256 characters."""
        found = re.search(rb"<title[^>]{0,64}>([^<]{0,1024})", self.body, re.IGNORECASE)
        return clean(html.unescape(found[1].decode("utf-8", "replace")), TITLE_CHARS_MAX) if found else ""

    @property
    def data(self) -> dict[str, Any]:
        """The body when it is a JSON object, else empty."""
        if self.body.lstrip()[:1] != b"{":
            return {}
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def request(path: str, host: str, *, keep: bool) -> bytes:
    """A GET that says who asks."""
    connection = "keep-alive" if keep else "close"
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "User-Agent: nsm", "Accept: */*", f"Connection: {connection}")
    return "\r\n".join((*lines, "", "")).encode("ascii", "replace")


def read_answer(heard: Heard, send: bytes) -> Asking[HttpAnswer | None]:
    """Send a request and read the answer; None when what comes is no HTTP."""
    start = yield from heard.peek(5, send)
    if start != b"HTTP/":
        return None
    head = yield from heard.until(b"\n\r\n")
    whole = bool(head)
    if not whole:  # cut off, or with bare line ends, which RFC 9112, section 2.2 lets pass
        head, _, rest = heard.take(len(heard.data)).partition(b"\n\n")
        heard.data = rest
    found = STATUS.match(head)
    if found is None:
        return None
    headers: dict[str, str] = {}
    for line in head.split(b"\n")[1 : HEADERS_MAX + 1]:
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(clean(name, 64).lower(), clean(value))
    body, complete = (
        (yield from _body(heard, headers, int(found[2]))) if whole else (heard.data[:BODY_BYTES_MAX], False)
    )
    return HttpAnswer(
        status=int(found[2]), line=clean(found[0]), headers=headers, body=body, head=head, complete=complete
    )  # fmt: skip


def _body(heard: Heard, headers: dict[str, str], status: int) -> Asking[tuple[bytes, bool]]:
    """The contents and whether they are all there, so that another request may follow. RFC 9112, section 6.3."""
    if status in (204, 304) or 100 <= status < 200:
        return b"", True
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return (yield from _chunks(heard))
    text = headers.get("content-length", "")
    if text.isdecimal() and len(text) < 12:
        size = int(text)
        body = yield from heard.peek(min(size, BODY_BYTES_MAX))
        heard.take(len(body))
        return body, len(body) == size
    return (yield from heard.rest(BODY_BYTES_MAX)), False


def _chunks(heard: Heard) -> Asking[tuple[bytes, bool]]:
    """RFC 9112, section 7.1; trailers are not expected."""
    body = b""
    while len(body) < BODY_BYTES_MAX:
        line = (yield from heard.line()).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,7}", line):
            return body, False
        size = int(line, 16)
        if size == 0:
            yield from heard.line()
            return body, True
        piece = yield from heard.peek(min(size, BODY_BYTES_MAX))
        body += heard.take(len(piece))
        if len(piece) < size:
            return body, False
        yield from heard.line()
    return body, False


def software_of(headers: dict[str, str]) -> tuple[str, str]:
    """(product, version) by the header Server; names that nobody listed are taken as they stand."""
    server = headers.get("server", "")
    product, version = product_of(server, PRODUCTS)
    if product or not server:
        return product, version
    found = re.match(r"([A-Za-z][\w .+-]{0,48})(?:/v?(\d[\w.+-]{0,31}))?", server)
    return (found[1].strip(), found[2] or "") if found else ("", "")
