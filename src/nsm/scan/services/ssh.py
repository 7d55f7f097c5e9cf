"""SSH: version, host key and weak algorithms. RFC 4253.

The key exchange is begun and never finished: the server's first answer holds its host key, and for that any public value
of ours will do. So nothing secret is computed here, and no log-in is tried.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Asking, Fields, Heard, clean, details, product_of, recognised

ID_LINE: Final = b"SSH-2.0-nsm\r\n"  # RFC 4253, section 4.2
LINES_BEFORE_ID_MAX: Final = 16  # ours: section 4.2 allows other lines before the identification
KEXINIT, KEX_INIT, KEX_REPLY = 20, 30, 31  # RFC 4253, section 12; RFC 5656, section 7.1
PACKET_BYTES_MAX: Final = 12_288  # ours: within the bound of an answer
BASE_POINT: Final = bytes([9]) + bytes(31)  # RFC 7748, section 4.1: a valid public value
P256_POINT: Final = bytes.fromhex(  # the generator of NIST P-256, FIPS 186-4, appendix D.1.2.3
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
# Ways to agree on a key, and the value that we send: RFC 8731, RFC 5656, RFC 8268 (a number that lies in every group).
EXCHANGES: Final = {
    "curve25519-sha256": BASE_POINT, "curve25519-sha256@libssh.org": BASE_POINT, "ecdh-sha2-nistp256": P256_POINT,
    "diffie-hellman-group14-sha256": bytes([0x5A]) * 64, "diffie-hellman-group14-sha1": bytes([0x5A]) * 64,
    "diffie-hellman-group1-sha1": bytes([0x5A]) * 64,
}  # fmt: skip
HOST_KEYS: Final = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
    "ssh-rsa", "ssh-dss",
)  # fmt: skip
# RFC 9142, table 1 (MUST NOT and SHOULD NOT), RFC 8758 (RC4), RFC 6151 (MD5).
WEAK: Final = (
    "diffie-hellman-group1-sha1", "diffie-hellman-group-exchange-sha1", "gss-group1-sha1-", "rsa1024-sha1", "hmac-md5",
    "hmac-sha1-96", "arcfour", "3des-cbc", "blowfish-cbc", "cast128-cbc", "des-cbc", "ssh-dss", "none",
)  # fmt: skip
PRODUCTS: Final = (
    ("OpenSSH", r"^OpenSSH_(?:for_Windows_)?([\d.]+(?:p\d+)?)"),
    ("Dropbear", r"^dropbear(?:_([\d.]+))?"),
    ("libssh", r"^libssh[_-]([\d.]+)"),
    ("Cisco SSH", r"^Cisco-([\d.]+)"),
    ("MikroTik RouterOS", r"^ROSSSH"),
    ("AsyncSSH", r"^AsyncSSH_([\d.]+)"),
    ("Go SSH", r"^Go$"),
    ("Paramiko", r"^paramiko_([\d.]+)"),
    ("Twisted Conch", r"^Twisted"),
)
NAMES: Final = ("kex", "keys", "ciphers", "ciphers_back", "macs", "macs_back", "compress", "compress_back")


def packet(payload: bytes) -> bytes:
    """A packet before encryption. RFC 4253, section 6: padded to 8 bytes with at least 4."""
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return (len(payload) + padding + 1).to_bytes(4, "big") + bytes((padding,)) + payload + bytes(padding)


def string(data: bytes) -> bytes:
    """RFC 4251, section 5."""
    return len(data).to_bytes(4, "big") + data


def read_packet(heard: Heard, send: bytes = b"") -> Asking[bytes]:
    """The payload of the next packet."""
    head = yield from heard.exactly(5, send)
    size, padding = int.from_bytes(head[:4], "big"), head[4]
    if not padding < size <= PACKET_BYTES_MAX:
        raise MalformedError("scan.ssh_packet")
    return (yield from heard.exactly(size - 1))[: size - 1 - padding]


def name_lists(payload: bytes) -> dict[str, list[str]]:
    """The lists of a KEXINIT. RFC 4253, section 7.1."""
    fields = Fields(payload)
    if fields.big(1) != KEXINIT:
        raise MalformedError("scan.ssh_kexinit")
    fields.take(16)
    return {name: clean(fields.take(fields.big(4)), 2_048).split(",") for name in NAMES}


def _exchange(heard: Heard, lists: dict[str, list[str]], before: bytes) -> Asking[bytes]:
    """Begin the exchange with one algorithm of each kind; the host key, b"" when there is no common algorithm.

    ``before``: our identification, where it was not sent yet.
    """
    kex = next((name for name in EXCHANGES if name in lists["kex"]), "")
    key = next((name for name in HOST_KEYS if name in lists["keys"]), "")
    if not kex or not key:
        return b""
    ours = (kex, key, *(lists[name][0] for name in NAMES[2:]))
    offer = (
        bytes((KEXINIT,)) + bytes(16) + b"".join(string(name.encode()) for name in ours) + string(b"") * 2 + bytes(5)
    )
    answer = yield from read_packet(heard, before + packet(offer) + packet(bytes((KEX_INIT,)) + string(EXCHANGES[kex])))
    fields = Fields(answer)
    return fields.take(fields.big(4)) if fields.big(1) == KEX_REPLY else b""


def _facts(heard: Heard) -> Asking[dict[str, str]]:
    """Algorithms and host key, as far as the server tells them."""
    facts: dict[str, str] = {}
    try:
        eager = bool(heard.data)  # its algorithms came together with its identification
        lists = name_lists((yield from read_packet(heard, b"" if eager else ID_LINE)))
        used = {name for key in NAMES[:6] for name in lists[key]}
        weak = sorted(name for name in used if name.startswith(WEAK))
        only_sha1 = all(name.endswith("-sha1") for name in lists["kex"] if not name.startswith("ext-info"))
        facts = details(weak=weak, sha1_only=only_sha1, host_key_types=lists["keys"])
        blob = yield from _exchange(heard, lists, ID_LINE if eager else b"")
        if blob:
            kind = Fields(blob)
            digest = base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()
            facts |= details(host_key=f"SHA256:{digest}", host_key_type=clean(kind.take(kind.big(4)), 64))
    except MalformedError:
        pass  # the version is known already
    return facts


def talk(place: Place) -> Talk:
    """Read the identification, then begin a key exchange."""
    heard = Heard()
    line = yield from heard.line()
    for _ in range(LINES_BEFORE_ID_MAX):
        if line.startswith(b"SSH-") or not line:
            break
        if line[:1].isdigit() or line[:1] in b"+*@":  # greetings of mail, news and rsync
            return None
        line = yield from heard.line()
    parts = line.split(b"-", 2)
    if len(parts) != 3 or parts[0] != b"SSH":
        return None
    protocol, text = clean(parts[1], 16), clean(parts[2])
    software, _, comment = text.partition(" ")
    product, version = product_of(software, PRODUCTS)
    facts = details(protocol=protocol, comment=comment)
    if protocol in ("2.0", "1.99"):
        facts |= yield from _facts(heard)
    return recognised("ssh", product, version, how="banner", confidence=1.0, banner=line, facts=facts)


SPEC: Final = ServiceSpec(name="ssh", talk=talk, ports=(22, 2222, 2022, 830), speaks_first=True)
