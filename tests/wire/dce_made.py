"""DCE/RPC units and NTLM messages, made by hand for the tests."""

from __future__ import annotations

SAMR = bytes.fromhex("785734123412cdabef000123456789ac")


def pdu(kind: int, body: bytes, call: int = 1, flags: int = 3, auth: bytes = b"") -> bytes:
    size = 16 + len(body) + (len(auth) + 8 if auth else 0)
    head = bytes((5, 0, kind, flags, 0x10, 0, 0, 0)) + size.to_bytes(2, "little")
    return (
        head + len(auth).to_bytes(2, "little") + call.to_bytes(4, "little") + body + (bytes(8) + auth if auth else b"")
    )


def bind(context: int = 0, uuid: bytes = SAMR, kind: int = 11) -> bytes:
    item = context.to_bytes(2, "little") + b"\1\0" + uuid + b"\1\0\0\0" + bytes(20)
    return pdu(kind, bytes(8) + b"\1\0\0\0" + item)


def bind_ack(pipe: bytes = b"\\PIPE\\samr\0", result: int = 0) -> bytes:
    body = bytes(8) + len(pipe).to_bytes(2, "little") + pipe
    body += bytes(-len(body) % 4) + b"\1\0\0\0" + result.to_bytes(2, "little") + bytes(22)
    return pdu(12, body)


def request(opnum: int, stub: bytes = b"", call: int = 2, flags: int = 3) -> bytes:
    return pdu(0, bytes(4) + b"\0\0" + opnum.to_bytes(2, "little") + stub, call, flags)


def response(stub: bytes = b"", call: int = 2, flags: int = 3) -> bytes:
    return pdu(2, bytes(8) + stub, call, flags)


def challenge(computer: str = "SRV", tree: str = "corp.example") -> bytes:
    info = b"".join(
        kind.to_bytes(2, "little") + (2 * len(text)).to_bytes(2, "little") + text.encode("utf-16-le")
        for kind, text in ((1, computer), (5, tree))
    )
    info += bytes(4)
    return (
        b"NTLMSSP\0\2\0\0\0"
        + bytes(28)
        + len(info).to_bytes(2, "little") * 2
        + (56).to_bytes(4, "little")
        + bytes(8)
        + info
    )


def authenticate(domain: str = "CORP", user: str = "alice", host: str = "PC1") -> bytes:
    fields, payload = b"", b""
    for text in ("", "", domain, user, host, ""):
        raw = text.encode("utf-16-le")
        fields += len(raw).to_bytes(2, "little") * 2 + (72 + len(payload)).to_bytes(4, "little")
        payload += raw
    return (
        b"NTLMSSP\0\3\0\0\0"
        + fields
        + (0x0200_0001).to_bytes(4, "little")
        + bytes((10, 0, 0x5A, 0x29, 0, 0, 0, 15))
        + payload
    )
