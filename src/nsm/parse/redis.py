"""Redis: one row of redis.log a command with its reply. RESP 2 and 3, "Redis serialization protocol specification".

EVE has no event of it. Passwords are never shown: AUTH has neither key nor value in a row. Values that are not shown are skipped.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Row, Side

LINE_BYTES_MAX: Final = 65_536  # Redis, PROTO_INLINE_MAX_SIZE
SHOWN_BYTES_MAX: Final = 1024  # ours: of a value in a row
ARGUMENTS_MAX: Final = 1_048_576  # Redis, the most arguments a command may have
ARGUMENTS_KEPT: Final = 3
OPEN_MAX: Final = 4096  # ours: commands of a flow that wait for their reply
DEPTH_MAX: Final = 32  # ours: lists in a reply
LENGTH_DIGITS_MAX: Final = 12  # ours

# Commands with a key, and those whose next argument is a value: Redis, "Commands".
KEYED: Final = frozenset(
    b"APPEND BITCOUNT BITFIELD BITPOS BLPOP BRPOP DECR DECRBY DEL DUMP EXISTS EXPIRE EXPIREAT EXPIRETIME GET GETBIT GETDEL GETEX "
    b"GETRANGE GETSET HDEL HGET HGETALL HINCRBY HKEYS HLEN HMGET HMSET HSET HVALS INCR INCRBY KEYS LINDEX LLEN LPOP LPUSH LRANGE "
    b"MGET MOVE PERSIST RENAME RPOP RPUSH SADD SCARD SET SETEX SETNX SISMEMBER SMEMBERS SREM STRLEN TTL TYPE ZADD ZCARD "
    b"ZRANGE ZREM ZSCORE".split()
)
VALUED: Final = frozenset(
    b"APPEND DECRBY EXPIRE GETSET HDEL HGET HINCRBY HSET INCRBY LPUSH MOVE RPUSH SADD SET SETNX".split()
)
LISTS: Final = b"*~>%|"  # RESP 3: array, set, push, map, attribute
TEXTS: Final = b"$!="  # bulk string, bulk error, verbatim string
LINES: Final = b"+-:,#(_"  # simple string, error, number, double, boolean, big number, null


class RedisRow(Row):
    """A line of redis.log."""

    cmd__name: str
    cmd__key: str | None
    cmd__value: str | None
    success: bool | None
    reply__value: str | None


class Command:
    """A command that waits for its reply."""

    __slots__ = ("arguments", "inline", "ts_us")

    def __init__(self, ts_us: int, arguments: list[bytes], inline: bool) -> None:
        self.ts_us, self.arguments, self.inline = ts_us, arguments, inline


def _text(raw: bytes) -> str:
    return raw[:SHOWN_BYTES_MAX].decode("utf-8", "surrogateescape")


def _length(line: bytes) -> int:
    digits = line[1:]
    if not digits.removeprefix(b"-").isdigit() or len(digits) > LENGTH_DIGITS_MAX:
        raise MalformedError("redis.length")
    return int(digits)


def probe(data: bytes, side: Side, port: bool) -> Match:
    """An array of texts; a reply on the port alone; inline PING or AUTH and the like on the port."""
    if data[:1] == b"*":
        line, end, rest = data.partition(b"\r\n")
        if len(line) > 8 or (len(line) > 1 and not line[1:].isdigit()):
            return Match.NO
        if not end or not rest:
            return Match.MORE
        return (
            Match.YES if (rest[:1] == b"$" and rest[1:2].isdigit()) or (len(rest) == 1 and rest == b"$") else Match.NO
        )
    if not port or not data:
        return Match.NO
    if side is Side.SERVER:
        return Match.YES if data.startswith((b"+OK\r\n", b"+PONG\r\n", b"-ERR ", b"-NOAUTH ", b"$")) else Match.NO
    word = data.split(None, 1)[0].upper() if data.strip() else b""
    return (
        Match.YES if b"\n" in data and (word in KEYED or word in (b"PING", b"AUTH", b"INFO", b"CLIENT")) else Match.NO
    )


class RedisParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._open: deque[Command] = deque()
        self._silent = False
        self._skip_next = False
        self._kept: list[bytes] = []  # arguments of the command that is being read
        self._left = 0
        self._depth: list[int] = []  # elements left in each list of the reply that is being read
        self._texts: list[str] = []
        if not conv.rows:
            conv.done()

    def feed(self, side: Side, data: bytes) -> int:
        """Read commands or replies."""
        at = 0
        while at < len(data):
            inline = side is Side.CLIENT and not self._left and data[at] not in b"*"
            step = 1 if inline else 2  # Redis takes a line feed alone after inline commands
            end = data.find(b"\n" if inline else b"\r\n", at)
            if end < 0:
                if len(data) - at > LINE_BYTES_MAX:
                    raise MalformedError("redis.line_too_long")
                break
            line = data[at:end]
            used = self._command(line, data, end + step) if side is Side.CLIENT else self._reply(line, data, end + step)
            if used < 0:
                break
            self._conv.skip(side, used - len(data))
            at = min(used, len(data))
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Replies cannot be matched any more."""
        return False

    def finish(self) -> None:
        """Commands without a reply."""
        while self._open:
            self._row(self._open.popleft(), None, None)

    def _bulk(self, line: bytes, data: bytes, start: int) -> tuple[bytes | None, int]:
        """(text behind its length, offset behind it); offset -1 while what is shown of it is not all there."""
        size = _length(line)
        if size < 0:
            return None, start
        if start + min(size, SHOWN_BYTES_MAX) > len(data):
            return None, -1
        return data[start : start + min(size, SHOWN_BYTES_MAX)], start + size + 2

    def _command(self, line: bytes, data: bytes, start: int) -> int:
        if self._left:
            if line[:1] != b"$":
                raise MalformedError("redis.argument")
            raw, end = self._bulk(line, data, start)
            if end < 0:
                return -1
            if len(self._kept) < ARGUMENTS_KEPT:
                self._kept.append(raw or b"")
            self._left -= 1
            if not self._left:
                self._asked(self._kept, False)
            return end
        if line[:1] == b"*":
            self._left = _length(line)
            self._kept = []
            if self._left > ARGUMENTS_MAX:
                raise MalformedError("redis.arguments")
            self._left = max(0, self._left)
        elif line.strip():
            self._asked(line.rstrip().split(None, 2), True)
        return start

    def _asked(self, arguments: list[bytes], inline: bool) -> None:
        """A command is whole: does a reply follow? Redis, CLIENT REPLY."""
        command = Command(self._conv.ts_us, arguments, inline)
        words = [word.upper() for word in arguments]
        answered = not self._silent and not self._skip_next
        self._skip_next = False
        if words[:2] == [b"CLIENT", b"REPLY"] and len(words) > 2:
            mode = words[2].strip()
            if mode == b"OFF":
                self._silent, answered = True, False
            elif mode == b"SKIP":
                self._skip_next, answered = not self._silent, False
            elif mode == b"ON":
                self._silent, answered = False, True
        if not answered:
            self._row(command, None, None)
            return
        if len(self._open) >= OPEN_MAX:
            self._row(self._open.popleft(), None, None)
        self._open.append(command)

    def _reply(self, line: bytes, data: bytes, start: int) -> int:
        kind = line[:1]
        if not kind or kind not in LISTS + TEXTS + LINES:
            raise MalformedError("redis.reply")
        push = kind == b">" and not self._depth
        if kind in LISTS:
            count = _length(line) * (2 if kind in b"%|" else 1)
            if count > 0:
                if len(self._depth) >= DEPTH_MAX:
                    raise MalformedError("redis.depth")
                self._depth.append(-count if push else count)
                return start
            shown: str | None = None
        elif kind in TEXTS:
            raw, end = self._bulk(line, data, start)
            if end < 0:
                return -1
            start = end
            shown = None if raw is None else _text(raw)
        else:
            shown = None if kind == b"_" else _text(line[1:])
        self._value(kind, shown)
        return start

    def _value(self, kind: bytes, shown: str | None) -> None:
        """A value that is no list: the reply is whole when no list waits for more."""
        depth = self._depth
        if not depth:
            self._answered(kind not in b"-!", shown)
            return
        if shown is not None and len(self._texts) < ARGUMENTS_KEPT:
            self._texts.append(shown)
        pushed = False
        while depth:
            pushed = depth[-1] < 0
            depth[-1] += 1 if pushed else -1
            if depth[-1]:
                return
            depth.pop()
        texts, self._texts = self._texts, []
        if not pushed:  # what is pushed answers nothing
            self._answered(True, f"[{', '.join(texts)}]")

    def _answered(self, success: bool, shown: str | None) -> None:
        if self._open:
            self._row(self._open.popleft(), success, shown)

    def _row(self, command: Command, success: bool | None, shown: str | None) -> None:
        words = command.arguments
        name = words[0].upper() if words else b""
        key = _text(words[1]) if name in KEYED and len(words) > 1 else None
        value = _text(words[2]) if name in VALUED and len(words) > 2 else None
        self._conv.row(RedisRow(_text(words[0]) if words else "", key, value, success, shown), command.ts_us)


SPEC: Final = ProtocolSpec(
    name="redis", transports=("tcp",), ports=(6379,), probe=probe, parser=RedisParser, service="redis", weight=2,
    buffer_max=LINE_BYTES_MAX + 4096,
)  # fmt: skip
