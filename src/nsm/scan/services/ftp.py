"""FTP: greeting, features, system. RFC 959; FEAT: RFC 2389; AUTH TLS: RFC 4217. No name is given and nothing is listed."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, product_of, recognised, reply

READY: Final = 220  # RFC 959, section 4.2
PRODUCTS: Final = (
    ("vsftpd", r"vsFTPd ([\d.]+\w*)"),
    ("ProFTPD", r"ProFTPD(?: ([\d.]+\w*))?"),
    ("Pure-FTPd", r"Pure-FTPd"),
    ("FileZilla Server", r"FileZilla Server(?: version)? ?v?([\d.]+\w*)?"),
    ("Microsoft FTP Service", r"Microsoft FTP Service"),
    ("GNU inetutils ftpd", r"FTP server \(GNU inetutils ([\d.]+)\)"),
    ("pyftpdlib", r"pyftpdlib ([\d.]+)"),
)


def talk(place: Place) -> Talk:
    """Read the greeting; SYST shows whether this is FTP and not mail, FEAT whether it can do TLS."""
    heard = Heard()
    code, text = yield from reply(heard)
    if code not in (READY, 421) or "SMTP" in text:
        return None
    banner = f"{code} {text}".encode()
    product, version = product_of(text, PRODUCTS)
    system_code, system = yield from reply(heard, b"SYST\r\n")
    if not product and "FTP" not in text.upper() and system_code not in (215, 530):  # SMTP says 500 or 502
        return None
    feature_code, features = yield from reply(heard, b"FEAT\r\n")
    facts = details(
        system=system if system_code == 215 else "",
        auth_tls=feature_code == 211 and "AUTH TLS" in features.upper(),
        features_told=feature_code == 211,
    )
    yield from reply(heard, b"QUIT\r\n")
    return recognised("ftp", product, version, how="banner", confidence=1.0, banner=banner, facts=facts)


SPEC: Final = ServiceSpec(name="ftp", talk=talk, ports=(21, 2121, 990), speaks_first=True)
