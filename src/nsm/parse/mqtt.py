"""MQTT 3.1, 3.1.1 and 5: one ``mqtt`` event an exchange (a request with what acknowledges it), rows of Zeek's three logs.

OASIS MQTT 3.1.1 and 5.0, sections 2 and 3. Of long payloads only what is shown is looked at. Long because of fourteen packet
types in two forms.
"""

from __future__ import annotations

from typing import Any, Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Enum, Match, ProtocolSpec, Row, Side
from nsm.wire.dns_message import text

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7  # MQTT 5.0, section 2.1.2
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15
NAMES: Final = (
    "", "connect", "connack", "publish", "puback", "pubrec", "pubrel", "pubcomp", "subscribe", "suback", "unsubscribe",
    "unsuback", "pingreq", "pingresp", "disconnect", "auth",
)  # fmt: skip
VERSION_5: Final = 5  # MQTT 5.0, section 3.1.2.2
MESSAGE_BYTES_MAX: Final = 1_048_576  # Suricata's default of max-msg-length
WHOLE_BYTES_MAX: Final = 65_000  # ours: of a message other than PUBLISH
TEXT_BYTES_MAX: Final = 1024  # Suricata's default of string_log_limit
PAYLOAD_ROW_BYTES: Final = 100  # Zeek, MQTT::max_payload_size
OPEN_MAX: Final = 256  # ours: exchanges of a flow that wait
STRANGERS_MAX: Final = 32  # ours: anomalies of a flow whose start was not seen
TOPICS_MAX: Final = 256  # ours: of one message
PROPERTIES_MAX: Final = 64  # ours: of one message
CONNECT_KEY: Final = -1  # exchanges without a packet identifier
PING_KEY: Final = -2

# MQTT 5.0, section 2.2.2.2: name, and how many bytes (-1 variable length number, -2 text or bytes, -3 a pair of texts).
PROPERTIES: Final = {
    1: ("payload_format_indicator", 1), 2: ("message_expiry_interval", 4), 3: ("content_type", -2),
    8: ("response_topic", -2), 9: ("correlation_data", -2), 11: ("subscription_identifier", -1),
    17: ("session_expiry_interval", 4), 18: ("assigned_client_identifier", -2), 19: ("server_keep_alive", 2),
    21: ("authentication_method", -2), 22: ("authentication_data", -2), 23: ("request_problem_information", 1),
    24: ("will_delay_interval", 4), 25: ("request_response_information", 1), 26: ("response_information", -2),
    28: ("server_reference", -2), 31: ("reason_string", -2), 33: ("receive_maximum", 2), 34: ("topic_alias_maximum", 2),
    35: ("topic_alias", 2), 36: ("maximum_qos", 1), 37: ("retain_available", 1), 38: ("user_property", -3),
    39: ("maximum_packet_size", 4), 40: ("wildcard_subscription_available", 1),
    41: ("subscription_identifiers_available", 1), 42: ("shared_subscription_available", 1),
}  # fmt: skip
VERSION_NAMES: Final = {3: "3.1", 4: "3.1.1", 5: "5.0"}
QOS_NAMES: Final = ("at most once", "at least once", "exactly once", "")
STATUS_NAMES: Final = (
    "Connection Accepted", "Refused: unacceptable protocol version", "Refused: identifier rejected",
    "Refused: server unavailable", "Refused: bad user name or password", "Refused: not authorized",
)  # fmt: skip # MQTT 3.1.1, table 3.1
UNITS: Final = {"kb": 1024, "mb": 1_048_576, "gb": 1_073_741_824}
MISSING: Final = {
    CONNACK: "missing_connect", SUBACK: "missing_subscribe", UNSUBACK: "missing_unsubscribe", PUBACK: "missing_publish",
    PUBREC: "missing_publish", PUBREL: "missing_publish", PUBCOMP: "missing_publish",
}  # fmt: skip
ENDS: Final = frozenset((CONNACK, PUBACK, PUBCOMP, SUBACK, UNSUBACK, PINGRESP))


class MqttConnectRow(Row):
    """A line of mqtt_connect.log."""

    proto_name: str | None
    proto_version: str | None
    client_id: str | None
    connect_status: str | None
    will_topic: str | None
    will_payload: str | None


class MqttPublishRow(Row):
    """A line of mqtt_publish.log."""

    from_client: bool
    retain: bool
    qos: str
    status: str
    topic: str
    payload: str
    payload_len: int


class MqttSubscribeRow(Row):
    """A line of mqtt_subscribe.log."""

    action: Enum
    topics: list[str] | None
    qos_levels: list[int] | None
    granted_qos_level: int | None
    ack: bool


class Exchange:
    """Messages that belong together, and what Zeek says of them."""

    def __init__(self, ts_us: int) -> None:
        self.ts_us = ts_us
        self.said: dict[str, Any] = {}
        self.publish: tuple[bool, bool, int, str, str, int] | None = None
        self.topics: list[str] = []
        self.levels: list[int] = []
        self.connect: tuple[str, str, str, str | None, str | None] | None = None


class ShortError(Exception):
    """A field goes beyond the message."""


def limit_of(value: Any) -> int:
    """Bytes of a size as settings have it: a number, or text with a unit."""
    if isinstance(value, int):
        return value
    digits = str(value).strip().lower()
    number = digits.rstrip("kmgb ")
    return int(number) * UNITS.get(digits[len(number) :].strip(), 1) if number.isdecimal() else TEXT_BYTES_MAX


def length_at(data: bytes, at: int) -> tuple[int, int]:
    """(variable length number, offset behind it); (-1, at) when it is not all there. MQTT 5.0, section 1.5.5."""
    value = 0
    for shift in range(4):
        if at + shift >= len(data):
            return -1, at
        byte = data[at + shift]
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    raise MalformedError("malformed_traffic")


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """A field with its length of two bytes before it."""
    if at + 2 > len(data):
        raise ShortError
    end = at + 2 + (data[at] << 8 | data[at + 1])
    if end > len(data):
        raise ShortError
    return data[at + 2 : end], end


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise ShortError
    return int.from_bytes(data[at : at + size], "big")


def properties_at(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """(properties by name, offset behind them)."""
    size, at = length_at(data, at)
    if size < 0 or at + size > len(data):
        raise ShortError
    end = at + size
    found: dict[str, Any] = {}
    while at < end and len(found) < PROPERTIES_MAX:
        name, width = PROPERTIES.get(data[at], ("", 0))
        at += 1
        if width > 0:
            found[name] = _number(data, at, width)
            at += width
        elif width == -1:
            found[name], at = length_at(data, at)
        elif width == -2:
            raw, at = _bytes(data, at)
            found[name] = text(raw)
        elif width == -3:
            key, at = _bytes(data, at)
            raw, at = _bytes(data, at)
            found[text(key)] = text(raw)
        else:
            raise MalformedError("malformed_traffic")
        if at > end:
            raise ShortError
    return found, end


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A CONNECT; on the port any message whose length fits."""
    if not data:
        return Match.NO
    kind, flags = data[0] >> 4, data[0] & 15
    if kind == CONNECT and not flags:
        head = data.find(b"\0\4MQTT", 2, 12) if b"MQTT" in data[:14] else data.find(b"\0\6MQIsdp", 2, 14)
        if head > 0:
            return Match.YES
        return Match.MORE if len(data) < 11 else Match.NO
    if not port or not kind or (flags and kind not in (PUBLISH, PUBREL, SUBSCRIBE, UNSUBSCRIBE)):
        return Match.NO
    if len(data) < 2:
        return Match.MORE
    if data[1] & 0x80:
        return Match.YES if kind == PUBLISH and len(data) > 100 else Match.NO
    return Match.YES if len(data) >= 2 + data[1] or kind == CONNACK else Match.NO


class MqttParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("mqtt")
        self._message_max = limit_of(conv.option("max_msg_length", MESSAGE_BYTES_MAX))
        self._text_max = limit_of(conv.option("string_log_limit", TEXT_BYTES_MAX))
        self._passwords = bool(conv.option("passwords", True))
        self._version = 4
        self._connected = False
        self._strangers = 0
        self._open: dict[int, Exchange] = {}
        self._count = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Read messages."""
        at = 0
        while len(data) - at >= 2:
            size, start = length_at(data, at + 1)
            if size < 0:
                break
            if size > self._message_max or (data[at] >> 4 != PUBLISH and size > WHOLE_BYTES_MAX):
                skipped = size + start - at
                self._cut(side, data[at], skipped)
                self._conv.skip(side, start + size - len(data))
                at = min(len(data), start + size)
                continue
            want = self._wanted(data, at, start, size)
            if want < 0 or start + want > len(data):
                break
            try:
                self._message(side, data[at], data[start : start + want], size)
            except ShortError:
                raise MalformedError("malformed_traffic") from None
            self._conv.skip(side, start + size - len(data))
            at = min(len(data), start + size)
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Where the next message begins is not to be told."""
        return False

    def finish(self) -> None:
        """Write what was not acknowledged."""
        for key in list(self._open):
            self._close(key)

    def _wanted(self, data: bytes, at: int, start: int, size: int) -> int:
        """How many bytes of the message are looked at; -1 while that is not known."""
        if data[at] >> 4 != PUBLISH or size <= self._text_max:
            return size
        if start + 2 > len(data):
            return -1
        end = start + 2 + (data[start] << 8 | data[start + 1]) + (2 if data[at] & 6 else 0)
        if self._version == VERSION_5:
            more, end = length_at(data, end)
            if more < 0:
                return -1
            end += more
        return min(size, end - start + max(self._text_max, PAYLOAD_ROW_BYTES))

    def _text(self, raw: bytes, size: int, limit: int) -> str:
        """Bytes as text, at most so many; ``size``: how many there are."""
        if size <= limit:
            return text(raw)
        return f"{text(raw[:limit])}[truncated {size - limit} additional bytes]"

    def _anomaly(self, event: str, side: Side) -> None:
        self._conv.anomaly(event, side=side, tx_id=self._count)

    def _cut(self, side: Side, first: int, skipped: int) -> None:
        """A message that is too long to be read."""
        exchange = Exchange(self._conv.ts_us)
        exchange.said[NAMES[first >> 4] or "publish"] = {**_flags(first), "truncated": True, "skipped_length": skipped}
        self._emit(exchange)

    def _message(self, side: Side, first: int, body: bytes, size: int) -> None:
        kind = first >> 4
        if not kind or (kind == AUTH and self._version != VERSION_5):
            self._anomaly("unassigned_msg_type", side)
            return
        if first >> 1 & 3 == 3:
            self._anomaly("invalid_qos_level", side)
        if kind == CONNECT:
            if self._connected:
                self._anomaly("double_connect", side)
            self._connect(first, body)
            return
        if not self._connected and kind != CONNACK and side is Side.CLIENT and self._strangers < STRANGERS_MAX:
            self._strangers += 1
            self._anomaly("unintroduced_message", side)
        if kind == PUBLISH:
            self._publish(side, first, body, size)
        elif kind in (SUBSCRIBE, UNSUBSCRIBE):
            self._subscribe(side, kind, first, body)
        elif kind in (PINGREQ, DISCONNECT, AUTH):
            exchange = Exchange(self._conv.ts_us)
            exchange.said[NAMES[kind]] = self._short(kind, first, body)
            if kind == PINGREQ:
                self._keep(PING_KEY, exchange)
            else:
                self._emit(exchange)
        else:
            self._answer(side, kind, first, body)

    def _connect(self, first: int, body: bytes) -> None:
        protocol, at = _bytes(body, 0)
        if at + 4 > len(body):
            raise ShortError
        self._version, flags = body[at], body[at + 1]
        at += 4
        said: dict[str, Any] = {
            **_flags(first),
            "protocol_string": text(protocol),
            "protocol_version": self._version,
            "flags": {
                "username": flags & 0x80 != 0, "password": flags & 0x40 != 0, "will_retain": flags & 0x20 != 0,
                "will": flags & 0x04 != 0, "clean_session": flags & 0x02 != 0,
            },
        }  # fmt: skip
        found: dict[str, Any] = {}
        if self._version == VERSION_5:
            found, at = properties_at(body, at)
        client, at = _bytes(body, at)
        said["client_id"] = self._text(client, len(client), self._text_max)
        topic: bytes | None = None
        message: bytes | None = None
        if flags & 0x04:
            will_found: dict[str, Any] = {}
            if self._version == VERSION_5:
                will_found, at = properties_at(body, at)
            topic, at = _bytes(body, at)
            message, at = _bytes(body, at)
            said["will"] = {"topic": text(topic), "message": self._text(message, len(message), self._text_max)}
            if will_found:
                said["will"]["properties"] = will_found
        if flags & 0x80:
            user, at = _bytes(body, at)
            said["username"] = text(user)
        if flags & 0x40:
            secret, at = _bytes(body, at)
            if self._passwords:
                said["password"] = text(secret)
        if found:
            said["properties"] = found
        self._connected = True
        exchange = Exchange(self._conv.ts_us)
        exchange.said["connect"] = said
        version = VERSION_NAMES.get(self._version, str(self._version))
        exchange.connect = (
            _raw(protocol), version, _raw(client), None if topic is None else _raw(topic),
            None if message is None else _raw(message),
        )  # fmt: skip
        self._keep(CONNECT_KEY, exchange)

    def _publish(self, side: Side, first: int, body: bytes, size: int) -> None:
        topic, at = _bytes(body, 0)
        qos = first >> 1 & 3
        said: dict[str, Any] = {**_flags(first), "topic": self._text(topic, len(topic), self._text_max)}
        ident = 0
        if qos:
            ident = _number(body, at, 2)
            at += 2
            said["message_id"] = ident
        found: dict[str, Any] = {}
        if self._version == VERSION_5:
            found, at = properties_at(body, at)
        length = size - at
        said["message"] = self._text(body[at:], length, self._text_max)
        if found:
            said["properties"] = found
        exchange = Exchange(self._conv.ts_us)
        exchange.said["publish"] = said
        payload = _raw(body[at : at + PAYLOAD_ROW_BYTES]) if self._conv.rows else ""
        exchange.publish = (side is Side.CLIENT, first & 1 == 1, qos, _raw(topic), payload, length)
        if qos:
            self._keep(ident, exchange)
        else:
            self._emit(exchange)
            self._publish_row(exchange, "ok")

    def _subscribe(self, side: Side, kind: int, first: int, body: bytes) -> None:
        ident = _number(body, 0, 2)
        at = 2
        said: dict[str, Any] = {**_flags(first), "message_id": ident}
        if self._version == VERSION_5:
            found, at = properties_at(body, at)
            if found:
                said["properties"] = found
        exchange = Exchange(self._conv.ts_us)
        topics: list[Any] = []
        left = self._text_max
        while at < len(body) and len(topics) < TOPICS_MAX:
            raw, at = _bytes(body, at)
            topic = self._text(raw, len(raw), left)
            left = max(0, left - len(raw))
            exchange.topics.append(_raw(raw))
            if kind == SUBSCRIBE:
                level = _number(body, at, 1)
                at += 1
                topics.append({"topic": topic, "qos": level & 3})
                exchange.levels.append(level & 3)
            else:
                topics.append(topic)
        said["topics"] = topics
        exchange.said[NAMES[kind]] = said
        self._keep(ident, exchange)

    def _short(self, kind: int, first: int, body: bytes) -> dict[str, Any]:
        """A message of a packet identifier or nothing, in version 5 with a reason and properties."""
        said: dict[str, Any] = _flags(first)
        at = 0
        if kind == CONNACK:
            said["session_present"] = _number(body, 0, 1) & 1 == 1
            said["return_code"] = _number(body, 1, 1)
            at = 2
        elif kind not in (DISCONNECT, AUTH, PINGREQ, PINGRESP):
            said["message_id"] = _number(body, 0, 2)
            at = 2
        if kind in (SUBACK, UNSUBACK):
            if self._version == VERSION_5:
                _, at = properties_at(body, at)
            codes = list(body[at : at + TOPICS_MAX])
            if kind == SUBACK:
                said["qos_granted"] = codes
            elif codes:
                said["reason_codes"] = codes
        elif self._version == VERSION_5:
            if kind != CONNACK and kind not in (PINGREQ, PINGRESP):
                if kind == DISCONNECT and len(body) < 2:
                    said["reason_code"] = 0  # MQTT 5.0, section 3.14.2.1; Suricata reads no reason without properties
                    at = len(body)
                elif at < len(body):
                    said["reason_code"] = body[at]
                    at += 1
            if at < len(body):
                found, at = properties_at(body, at)
                if found:
                    said["properties"] = found
        return said

    def _answer(self, side: Side, kind: int, first: int, body: bytes) -> None:
        said = self._short(kind, first, body)
        key = {CONNACK: CONNECT_KEY, PINGRESP: PING_KEY}.get(kind)
        if key is None:
            key = said["message_id"]
        exchange = self._open.get(key)
        if exchange is None:
            if kind in MISSING:
                self._anomaly(MISSING[kind], side)
            exchange = Exchange(self._conv.ts_us)
            exchange.said[NAMES[kind]] = said
            self._emit(exchange)
            return
        exchange.said[NAMES[kind]] = said
        if kind in ENDS:
            self._rows(exchange, kind, body)
            self._close(key, done=True)

    def _keep(self, key: int, exchange: Exchange) -> None:
        if key in self._open:
            self._close(key)
        if len(self._open) >= OPEN_MAX:
            self._conv.anomaly("too_many_transactions", tx_id=self._count)
            self._close(next(iter(self._open)))
        self._open[key] = exchange

    def _close(self, key: int, done: bool = False) -> None:
        exchange = self._open.pop(key)
        self._emit(exchange)
        if not done:
            self._rows(exchange, 0, b"")

    def _emit(self, exchange: Exchange) -> None:
        self._count += 1
        if self._events:
            self._conv.emit("mqtt", {"mqtt": exchange.said})

    def _rows(self, exchange: Exchange, kind: int, body: bytes) -> None:
        """Zeek's line of an exchange that ended with that message, 0: with none."""
        conv = self._conv
        if not conv.rows:
            return
        if exchange.connect is not None:
            protocol, version, client, topic, message = exchange.connect
            code = body[1] if kind else -1
            status = None if code < 0 else STATUS_NAMES[code] if code < len(STATUS_NAMES) else f"unknown-{code}"
            conv.row(MqttConnectRow(protocol, version, client, status, topic, message), exchange.ts_us)
        elif exchange.topics:
            levels = exchange.levels or None
            action = "MQTT::SUBSCRIBE" if "subscribe" in exchange.said else "MQTT::UNSUBSCRIBE"
            granted = body[2] if kind == SUBACK and len(body) > 2 else None
            conv.row(MqttSubscribeRow(Enum(action), exchange.topics, levels, granted, kind != 0), exchange.ts_us)
        elif exchange.publish is not None:
            self._publish_row(exchange, "ok" if kind else "incomplete_qos")

    def _publish_row(self, exchange: Exchange, status: str) -> None:
        if self._conv.rows and exchange.publish is not None:
            client, retain, qos, topic, payload, size = exchange.publish
            self._conv.row(MqttPublishRow(client, retain, QOS_NAMES[qos], status, topic, payload, size), exchange.ts_us)


def _raw(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _flags(first: int) -> dict[str, Any]:
    return {"qos": first >> 1 & 3, "retain": first & 1 == 1, "dup": first & 8 != 0}


SPEC: Final = ProtocolSpec(
    name="mqtt", transports=("tcp",), ports=(1883,), probe=probe, parser=MqttParser, service="mqtt", kinds=("mqtt",),
    buffer_max=MESSAGE_BYTES_MAX + 65_536, weight=6,
)  # fmt: skip
