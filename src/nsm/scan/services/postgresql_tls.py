"""PostgreSQL: can it do TLS? PostgreSQL manual, "SSLRequest": one byte, S or N."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, recognised

SSL_REQUEST: Final = bytes.fromhex("0000000804d2162f")


def talk(place: Place) -> Talk:
    """Ask, and look no further."""
    heard = Heard()
    answer = yield from heard.exactly(1, SSL_REQUEST)
    if answer not in (b"S", b"N") or heard.data:
        return None
    facts = details(tls_offered="yes" if answer == b"S" else "no")
    return recognised("postgresql", "PostgreSQL", confidence=0.7, facts=facts)


SPEC: Final = ServiceSpec(name="postgresql", talk=talk, ports=(5432, 5433))
