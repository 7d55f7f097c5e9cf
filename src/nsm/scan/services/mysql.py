"""MySQL and MariaDB: the server's greeting, nothing is sent. MySQL internals manual, "Protocol::HandshakeV10"."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Fields, Heard, clean, details, product_of, recognised

PROTOCOL_10: Final = 10
ERROR: Final = 0xFF
CLIENT_SSL: Final = 0x0800  # capability flags: TLS, and plug-ins that are named
CLIENT_PLUGIN_AUTH: Final = 0x0008_0000
PACKET_BYTES_MAX: Final = 1_024  # ours: a greeting is about 100 bytes
PRODUCTS: Final = (
    ("MariaDB", r"(?:5\.5\.5-)?([\d.]+)-MariaDB"),  # the first number is for old replicas only
    ("MariaDB", r"MariaDB"),
    ("Percona Server", r"^([\d.]+-\d+)(?:-log)?$"),
    ("MySQL", r"^([\d.]+)"),
    ("MySQL", r"MySQL"),
)


def talk(place: Place) -> Talk:
    """Read the greeting, or the refusal that a stranger's address gets."""
    heard = Heard()
    head = yield from heard.peek(5)
    if len(head) < 5 or head[3] or head[4] not in (PROTOCOL_10, ERROR):
        return None
    size = int.from_bytes(head[:3], "little")
    if not 4 <= size <= PACKET_BYTES_MAX:
        return None
    heard.take(4)
    fields = Fields((yield from heard.exactly(size)))
    if fields.big(1) == ERROR:
        code, text = fields.little(2), clean(fields.take(fields.left))
        product, _ = product_of(text, PRODUCTS[1::3])
        if "MySQL" not in text and not product:
            return None
        return recognised("mysql", product or "MySQL", how="banner", facts=details(refused=text, error=code))
    banner = fields.until_zero()
    if not banner.isascii() or not banner[:1].isdigit():
        return None
    facts: dict[str, str] = {}
    try:
        fields.take(4 + 8 + 1)
        flags = fields.little(2)
        fields.take(3)
        flags |= fields.little(2) << 16
        facts = details(tls_offered=bool(flags & CLIENT_SSL))
        if flags & CLIENT_PLUGIN_AUTH:
            salt = fields.big(1)
            fields.take(10 + max(13, salt - 8))
            facts |= details(login=clean(fields.until_zero(), 64))
    except MalformedError:
        pass
    product, version = product_of(clean(banner), PRODUCTS)
    return recognised("mysql", product, version, how="banner", confidence=1.0, banner=banner, facts=facts)


SPEC: Final = ServiceSpec(name="mysql", talk=talk, ports=(3306, 3307), speaks_first=True)
