"""TLS messages and a certificate, made by hand for the tests."""

from __future__ import annotations


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def u24(value: int) -> bytes:
    return value.to_bytes(3, "big")


def extension(kind: int, body: bytes) -> bytes:
    return u16(kind) + u16(len(body)) + body


def sni(host: str) -> bytes:
    name = host.encode()
    return extension(0, u16(len(name) + 3) + b"\0" + u16(len(name)) + name)


def alpn(*names: str) -> bytes:
    body = b"".join(bytes([len(name)]) + name.encode() for name in names)
    return extension(16, u16(len(body)) + body)


def list16(kind: int, *values: int) -> bytes:
    body = b"".join(map(u16, values))
    return extension(kind, u16(len(body)) + body)


def versions(*values: int) -> bytes:
    body = b"".join(map(u16, values))
    return extension(43, bytes([len(body)]) + body)


def client_hello(
    extensions: bytes, ciphers: tuple[int, ...] = (0x1301, 0xC02F), session: bytes = b"", cookie: bool = False
) -> bytes:
    listed = b"".join(map(u16, ciphers))
    head = (
        (b"\xfe\xfd" if cookie else b"\3\3") + bytes(32) + bytes([len(session)]) + session + (b"\0" if cookie else b"")
    )
    return head + u16(len(listed)) + listed + b"\1\0" + (u16(len(extensions)) + extensions if extensions else b"")


def server_hello(extensions: bytes, cipher: int = 0x1301, session: bytes = b"", version: int = 0x0303) -> bytes:
    return (
        u16(version)
        + bytes(32)
        + bytes([len(session)])
        + session
        + u16(cipher)
        + b"\0"
        + u16(len(extensions))
        + extensions
    )


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + u24(len(body)) + body


def record(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + b"\3\3" + u16(len(body)) + body


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    return bytes([tag, 0x82]) + u16(len(body)) + body


def name(common: str, country: str = "DE") -> bytes:
    def part(oid: bytes, text: str) -> bytes:
        return der(0x31, der(0x30, der(6, oid), der(0x0C, text.encode())))

    return der(0x30, part(b"\x55\4\6", country), part(b"\x55\4\3", common))


def certificate(subject: str = "a.example", issuer: str = "CA, Inc.", not_before: bytes = b"691231000000Z") -> bytes:
    rsa = der(0x30, der(6, bytes.fromhex("2a864886f70d010101")), der(5))
    signature = der(0x30, der(6, bytes.fromhex("2a864886f70d01010b")), der(5))
    key = der(0x30, rsa, der(3, b"\0", der(0x30, der(2, b"\0" + b"\xff" * 128), der(2, b"\1\0\1"))))
    alternative = der(
        0x30, der(6, b"\x55\x1d\x11"), der(4, der(0x30, der(0x82, b"*.a.example"), der(0x87, bytes((10, 0, 0, 1)))))
    )
    constraints = der(0x30, der(6, b"\x55\x1d\x13"), der(1, b"\xff"), der(4, der(0x30, der(1, b"\xff"), der(2, b"\3"))))
    dates = der(0x30, der(0x17, not_before), der(0x18, b"20380101000000Z"))
    inner = der(
        0x30, der(0xA0, der(2, b"\2")), der(2, b"\0\x8a\7"), signature, name(issuer), dates, name(subject), key,
        der(0xA3, der(0x30, alternative, constraints)),
    )  # fmt: skip
    return der(0x30, inner, signature, der(3, b"\0" * 9))
