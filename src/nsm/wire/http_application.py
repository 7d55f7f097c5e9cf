"""What is done by HTTP, where its head says so: certificate status, remote folders, remote calls, an updater, file sharing.

RFC 6960, appendix A (OCSP); RFC 4918, section 9 (WebDAV); SOAP 1.1, section 6.1.1; JSON-RPC over HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# RFC 4918, section 9; RFC 3253, section 3; [MS-WDV]: methods that plain web servers have no use for.
DAV_METHODS: Final = frozenset((
    b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"VERSION-CONTROL", b"CHECKOUT", b"CHECKIN",
    b"UNCHECKOUT", b"MKWORKSPACE", b"BASELINE-CONTROL", b"MKACTIVITY", b"ORDERPATCH", b"BPROPFIND", b"BPROPPATCH", b"BMOVE",
    b"BCOPY", b"BDELETE",
))  # fmt: skip
TYPES: Final = {
    b"application/ocsp-request": "ocsp", b"application/ocsp-response": "ocsp", b"application/soap+xml": "soap",
    b"application/json-rpc": "json-rpc",
}  # fmt: skip
# How programs call themselves -> a host name of their maker, which the table of applications knows.
AGENTS: Final = (
    (b"Microsoft-Delivery-Optimization/", "windowsupdate.com"), (b"Windows-Update-Agent", "windowsupdate.com"),
    (b"gtk-gnutella/", "gnutella.com"), (b"LimeWire/", "gnutella.com"), (b"Shareaza ", "gnutella.com"),
    (b"uTorrent/", "utorrent.com"), (b"BitTorrent/", "utorrent.com"), (b"WhatsApp/", "whatsapp.net"),
    (b"Spotify/", "spotify.com"), (b"Valve/Steam", "steampowered.com"), (b"ntopng ", "ntop.org"),
)  # fmt: skip


def of_request(method: bytes, uri: bytes, fields: Mapping[bytes, bytes]) -> str:
    """What a request is for, "" anything."""
    if method in DAV_METHODS:
        return "webdav"
    if b"soapaction" in fields:
        return "soap"
    if method == b"POST":
        kind = fields.get(b"content-type")
        if kind is not None:
            found = TYPES.get(kind.partition(b";")[0].strip().lower(), "")
            if found:
                return found
    return "json-rpc" if b"json-rpc" in uri else ""


def of_reply(fields: Mapping[bytes, bytes]) -> str:
    """What an answer is of, "" anything."""
    kind = fields.get(b"content-type")
    return "ocsp" if kind is not None and kind.startswith(b"application/ocsp-response") else ""


def maker(agent: bytes) -> str:
    """A host name of whoever made the program that calls itself so, "" unknown."""
    for mark, host in AGENTS:
        if agent.startswith(mark):
            return host
    return ""
