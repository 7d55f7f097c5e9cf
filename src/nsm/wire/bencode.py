"""Bencoding, as BitTorrent's messages have it: numbers, byte strings, lists, dictionaries. BEP 3, "bencoding"."""

from __future__ import annotations

from typing import Any, Final

DEPTH_MAX: Final = 8  # ours: messages of the DHT nest three deep
ITEMS_MAX: Final = 1024  # ours: of one message
DIGITS_MAX: Final = 20  # ours: of a number


class BencodeError(Exception):
    """The bytes are no bencoding."""


def decode(data: bytes) -> dict[bytes, Any]:
    """The dictionary at the start of ``data``; what stands behind it is not looked at."""
    if data[:1] != b"d":
        raise BencodeError
    root: dict[bytes, Any] = {}
    stack: list[Any] = [root]
    keys: list[bytes | None] = [None]
    at = 1
    for _ in range(2 * ITEMS_MAX):
        mark = data[at : at + 1]
        if mark == b"e":
            if keys[-1] is not None:
                raise BencodeError
            stack.pop()
            keys.pop()
            at += 1
            if not stack:
                return root
            continue
        made: Any
        if mark in (b"d", b"l"):
            made = {} if mark == b"d" else []
            at += 1
        else:
            made, at = _scalar(data, at)
        top = stack[-1]
        if isinstance(top, dict):
            key = keys[-1]
            if key is None:
                if not isinstance(made, bytes):
                    raise BencodeError
                keys[-1] = made
                continue
            top[key] = made
            keys[-1] = None
        else:
            top.append(made)
        if isinstance(made, dict | list):
            if len(stack) >= DEPTH_MAX:
                raise BencodeError
            stack.append(made)
            keys.append(None)
    raise BencodeError


def _scalar(data: bytes, at: int) -> tuple[Any, int]:
    if data[at : at + 1] == b"i":
        end = data.find(b"e", at, at + DIGITS_MAX + 2)
        digits = data[at + 1 : end] if end > 0 else b""
        if not digits.removeprefix(b"-").isdigit():
            raise BencodeError
        return int(digits), end + 1
    colon = data.find(b":", at, at + 8)
    if colon < 0 or not data[at:colon].isdigit():
        raise BencodeError
    end = colon + 1 + int(data[at:colon])
    if end > len(data):
        raise BencodeError
    return data[colon + 1 : end], end
