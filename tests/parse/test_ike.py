"""IKE: messages built by hand after RFC 2408 and RFC 7296."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.ike import SPEC
from tests.parse.checks import mutated, survives
from tests.parse.drive import C, Piece, S, Told, talk


def message(payload: int, version: int, exchange: int, flags: int, body: bytes) -> bytes:
    return struct.pack("!QQBBBBII", 0x11 << 56 | 1, 2, payload, version, exchange, flags, 0, 28 + len(body)) + body


def payload(following: int, body: bytes) -> bytes:
    return struct.pack("!BBH", following, 0, len(body) + 4) + body


TRANSFORM = payload(0, b"\1\1\0\0" + b"\x80\1\0\7" + b"\0\x0c\0\4\0\1\x51\x80")
SA = struct.pack("!II", 1, 1) + payload(0, b"\1\1\0\1" + TRANSFORM)
MAIN = message(1, 0x10, 2, 0, payload(13, SA) + payload(4, b"vend") + payload(10, b"key") + payload(0, b"nonce"))
SA2 = payload(0, b"\1\1\0\2" + payload(3, b"\1\0\0\3") + payload(0, b"\4\0\0\2"))
INIT = message(33, 0x20, 34, 8, payload(41, SA2) + payload(0, b"\0\0\x40\x04"))


def test_version_1() -> None:
    event = talk(SPEC, [(C, MAIN), (S, MAIN)], Told("udp")).events[0][1]["ike"]
    assert (event["_v"], event["exchange_type_verbose"], event["init_spi"]) == (
        2,
        "Identity Protection",
        "1100000000000001",
    )
    assert event["payload"] == ["SecurityAssociation", "Proposal", "Transform", "VendorID", "KeyExchange", "Nonce"]
    assert event["ikev1"] == {
        "encrypted_payloads": False, "doi": 1, "vendor_ids": [b"vend".hex()],
        "client": {
            "key_exchange_payload": b"key".hex(), "key_exchange_payload_length": 3, "nonce_payload": b"nonce".hex(),
            "nonce_payload_length": 5,
            "proposals": [
                {"key": "alg_enc", "value": "EncAesCbc", "raw": 7},
                {"key": "sa_life_duration", "value": "Unknown", "raw": 86400},
            ],
        },
    }  # fmt: skip


def test_what_the_server_of_version_1_chose() -> None:
    event = talk(SPEC, [(S, MAIN)], Told("udp")).events[0][1]["ike"]
    assert event["attributes"][0] == {"key": "alg_enc", "value": "EncAesCbc", "raw": 7}
    assert event["ikev1"]["server"]["nonce_payload_length"] == 5


def test_version_2_and_weak_algorithms() -> None:
    told = talk(SPEC, [(C, b"\0\0\0\0" + INIT)], Told("udp"))
    event = told.events[0][1]["ike"]
    assert (event["role"], event["payload"]) == ("initiator", ["SecurityAssociation", "Notify", "NoNextPayload"])
    assert event["ikev2"] == {"errors": 0, "notify": ["NatDetectionSourceIp"]}
    assert told.anomalies == ["weak_crypto_dh", "weak_crypto_enc"]


def test_what_is_too_short_is_an_anomaly_and_esp_is_none() -> None:
    told = talk(SPEC, [(C, INIT[:-1]), (C, b"\1\2\3\4" + bytes(60))], Told("udp"))
    assert (told.anomalies, told.events) == (["malformed_data"], [])


def test_probe() -> None:
    esp = b"\1\2\3\4\0\0\0\1" + bytes(56)
    assert [SPEC.probe(data, C, False) for data in (MAIN, INIT, b"\0\0\0\0" + INIT, esp)] == [Match.YES] * 3 + [
        Match.NO
    ]
    assert [SPEC.probe(data, C, True) for data in (esp, b"\xff", INIT[:20])] == [Match.YES, Match.NO, Match.NO]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")


@settings(max_examples=50)
@given(st.sampled_from([MAIN, INIT]), st.integers(16, 99), st.integers(0, 255))
def test_any_change(golden: bytes, at: int, byte: int) -> None:
    survives(SPEC, [(C, mutated(golden, at, byte, 0)), (S, mutated(golden, at, byte, 0))], "udp")
