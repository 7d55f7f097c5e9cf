"""TLS without input and output: a handshake that ends with any server, and what it tells. RFC 8446, RFC 5246.

Nothing is verified: the certificate is looked at, not trusted. Old versions and weak ciphers are offered as far as the
library still has them, so that a server that knows nothing else is found and named.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
import warnings
from typing import Final

from nsm.scan.certificate import certificate_facts
from nsm.scan.talking import ANSWER_BYTES_MAX, ASKS_MAX, Asking, clean, details

RECORD_TYPES: Final = frozenset(range(0x14, 0x18))  # RFC 8446, section 5.1: change, alert, handshake, data
MAJOR_VERSION: Final = 3  # RFC 8446, section 5.1
VERSIONS: Final = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # an old version is what we want to find
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:COMPLEMENTOFDEFAULT:@SECLEVEL=0")
    context.options |= 0x4  # OpenSSL's SSL_OP_LEGACY_SERVER_CONNECT: servers without RFC 5746
    return context


class Tunnel:
    """One TLS connection as a client. ``reason``: why the handshake failed; ``is_tls``: did the other side speak TLS?"""

    def __init__(self, name: str = "") -> None:
        with contextlib.suppress(ValueError):  # an address is no server name: RFC 6066, section 3
            ipaddress.ip_address(name)
            name = ""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = _context().wrap_bio(self._incoming, self._outgoing, server_hostname=name or None)
        except ValueError:  # a name that cannot be one
            self._tls = _context().wrap_bio(self._incoming, self._outgoing)
        self.done = False
        self.is_tls = False
        self.reason = ""

    def handshake(self) -> Asking[bool]:
        """Agree on keys; did it succeed?"""
        total = 0
        for _ in range(ASKS_MAX):
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                got = yield self._outgoing.read()
            except ssl.SSLError as error:
                self.reason = clean(error.reason or str(error), 64)
                return False
            else:
                self.done = True
                return True
            if not total and len(got) > 1:
                self.is_tls = got[0] in RECORD_TYPES and got[1] == MAJOR_VERSION
            total += len(got)
            if not got or total > ANSWER_BYTES_MAX:
                return False
            self._incoming.write(got)
        return False

    def seal(self, data: bytes) -> bytes:
        """What to send so that the other side reads ``data``; b"" gives what the handshake left to be sent."""
        if data:
            with contextlib.suppress(ssl.SSLError):
                self._tls.write(data)
        return self._outgoing.read()

    def unseal(self, data: bytes) -> bytes:
        """What the other side wrote, as far as it is complete; b"" also after an error of its TLS."""
        self._incoming.write(data)
        out = b""
        with contextlib.suppress(ssl.SSLError):
            while len(out) < ANSWER_BYTES_MAX and (piece := self._tls.read(ANSWER_BYTES_MAX)):
                out += piece
        return out

    def facts(self) -> dict[str, str]:
        """Version, cipher and certificate as details of a service."""
        if not self.done:
            return details(tls_failed=self.reason or "no answer to the handshake")
        cipher = self._tls.cipher()
        version = self._tls.version() or ""
        found = details(tls_version=VERSIONS.get(version, version), tls_cipher=cipher[0] if cipher else "")
        der = self._tls.getpeercert(binary_form=True)
        return found | certificate_facts(der) if der else found
