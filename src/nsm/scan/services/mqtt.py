"""MQTT: is a client without a name let in, and what does the broker say of itself? MQTT 3.1.1, sections 3.1, 3.2, 3.8."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Asking, Heard, clean, details, product_of, recognised

CONNECT: Final = bytes.fromhex("100c00044d515454040200050000")  # clean session, keep-alive 5 s, no identity
TOPIC: Final = b"$SYS/broker/version"  # by custom, not by the standard
SUBSCRIBE: Final = bytes((0x82, 5 + len(TOPIC))) + b"\0\1" + len(TOPIC).to_bytes(2, "big") + TOPIC + b"\0"
DISCONNECT: Final = bytes.fromhex("e000")
CONNACK, PUBLISH = 0x20, 0x30
CODES: Final = {
    0: "let in",
    1: "other version",
    2: "identity refused",
    3: "unavailable",
    4: "bad login",
    5: "login required",
}
PACKETS_MAX: Final = 8  # ours: packets until the version comes
PRODUCTS: Final = (
    ("Mosquitto", r"^mosquitto version ([\d.]+)"),
    ("EMQX", r"^(?:EMQX?|emqx)[ /-]?v?([\d.]+)?"),
    ("HiveMQ", r"HiveMQ ?([\d.]+)?"),
    ("NanoMQ", r"^(?:NanoMQ|nanomq)[ -]?v?([\d.]+)?"),
)


def _packet(heard: Heard) -> Asking[tuple[int, bytes]]:
    """(kind with flags, contents) of the next packet. MQTT 3.1.1, section 2.2."""
    kind = (yield from heard.exactly(1))[0]
    size, shift = 0, 0
    while True:
        byte = (yield from heard.exactly(1))[0]
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return kind, (yield from heard.exactly(size))
        if shift > 21:
            raise MalformedError("scan.mqtt_length")


def _version(heard: Heard) -> Asking[str]:
    """What the broker publishes about its version, when it does."""
    yield from heard.ask(SUBSCRIBE)
    try:
        for _ in range(PACKETS_MAX):
            kind, data = yield from _packet(heard)
            if kind & 0xF0 == PUBLISH and data[2 : 2 + len(TOPIC)] == TOPIC:
                return clean(data[2 + len(TOPIC) :])
    except MalformedError:
        pass
    return ""


def talk(place: Place) -> Talk:
    """Connect without a name or password."""
    heard = Heard()
    answer = yield from heard.exactly(4, CONNECT)
    if answer[0] != CONNACK or answer[1] != 2 or answer[2] > 1 or answer[3] > 5:
        return None
    text = ""
    if answer[3] == 0:
        text = yield from _version(heard)
        yield from heard.ask(DISCONNECT)
    product, version = product_of(text, PRODUCTS)
    facts = details(login=CODES[answer[3]], open_to_all=answer[3] == 0, software=text)
    return recognised("mqtt", product, version, confidence=1.0, banner=text.encode(), facts=facts)


SPEC: Final = ServiceSpec(name="mqtt", talk=talk, ports=(1883, 8883))
