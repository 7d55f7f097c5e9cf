"""Every talk: right on what real servers sent, however it is cut, and harmless with any other bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.errors import MalformedError
from nsm.model.scan import BANNER_BYTES_MAX, Service
from nsm.scan.examination import LIKELY
from nsm.scan.fingerprint import all_services
from nsm.scan.talking import ANSWER_BYTES_MAX, ASKS_MAX, DETAIL_CHARS_MAX
from tests.scan.playing import PLACE, held, play, recorded

RECORDED = recorded()
SERVICES = all_services()
DATAGRAMS = {key for key, spec in SERVICES.items() if spec.transport == "udp"}


def turns_of(case: dict[str, Any]) -> list[bytes]:
    return [came.encode("latin-1") for _, came in case["turns"]]


def service_of(case: dict[str, Any]) -> Service:
    return msgspec.convert(case["service"], Service)


def test_there_are_recordings_of_most_services() -> None:
    assert len({case["module"] for case in RECORDED.values()}) >= 30


@pytest.mark.parametrize("name", RECORDED)
def test_a_real_server_is_recognised_from_what_it_sent(name: str) -> None:
    case = RECORDED[name]
    assert play(SERVICES[case["module"]].talk(PLACE), turns_of(case)) == service_of(case)


@pytest.mark.parametrize("piece", [300, 997])
@pytest.mark.parametrize("name", [name for name, case in RECORDED.items() if case["module"] not in DATAGRAMS])
def test_a_real_server_is_recognised_when_its_answers_come_in_pieces(name: str, piece: int) -> None:
    case = RECORDED[name]
    assert play(SERVICES[case["module"]].talk(PLACE), turns_of(case), piece) == service_of(case)


@pytest.mark.parametrize("name", [name for name, case in RECORDED.items() if case["module"] not in DATAGRAMS])
def test_the_name_is_right_when_the_first_bytes_come_one_by_one(name: str) -> None:
    case = RECORDED[name]
    turns = turns_of(case)
    if sum(map(len, turns)) < ASKS_MAX - 8:
        assert play(SERVICES[case["module"]].talk(PLACE), turns, 1) == service_of(case)
    else:  # more steps than a talk may take: it ends, and names nothing else
        found = play(SERVICES[case["module"]].talk(PLACE), turns, 1)
        assert found is None or found.name in {service_of(case).name, SERVICES[case["module"]].name}


@pytest.mark.parametrize("name", RECORDED)
def test_an_answer_that_is_cut_anywhere_names_the_same_service_or_none(name: str) -> None:
    case = RECORDED[name]
    turns = turns_of(case)
    for end in range(0, min(600, max(map(len, turns)) + 1), 3):
        found = play(SERVICES[case["module"]].talk(PLACE), turns, end=end)
        assert found is None or found.name in {service_of(case).name, SERVICES[case["module"]].name}


@pytest.mark.parametrize("name", RECORDED)
def test_no_other_talk_takes_a_real_server_for_its_own(name: str) -> None:
    case = RECORDED[name]
    own = SERVICES[case["module"]]
    for key, spec in SERVICES.items():
        if spec.name == own.name or spec.transport != own.transport:
            continue
        found = play(spec.talk(PLACE), turns_of(case))
        assert found is None, f"{key} takes {name} for {found}"


def check_harmless(found: Service | None) -> None:
    if found is None:
        return
    texts = (found.name, found.product, found.version, found.banner, *found.details, *found.details.values())
    assert all(text.isprintable() for text in texts)
    assert all(len(text) <= DETAIL_CHARS_MAX for text in found.details.values())
    assert len(found.banner) <= BANNER_BYTES_MAX
    assert 0 < found.confidence <= 1


@pytest.mark.parametrize("key", SERVICES)
@settings(max_examples=60)
@given(turns=st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_give_a_service_or_none(key: str, turns: list[bytes]) -> None:
    check_harmless(play(SERVICES[key].talk(PLACE), turns))


@pytest.mark.parametrize("name", RECORDED)
@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_answer_gives_a_service_or_none(name: str, data: st.DataObject) -> None:
    case = RECORDED[name]
    turns = [bytearray(turn) for turn in turns_of(case)]
    for _ in range(data.draw(st.integers(1, 4))):
        turn = data.draw(st.sampled_from(turns))
        if turn:
            turn[data.draw(st.integers(0, len(turn) - 1))] = data.draw(st.integers(0, 255))
    check_harmless(play(SERVICES[case["module"]].talk(PLACE), [bytes(turn) for turn in turns]))


@pytest.mark.parametrize(
    "byte", [b"A", b"\n", b"\0", b"\xff", b"220-x\r\n", b"* OK\r\n", b"HTTP/1.1 200 OK\r\n", b"(", b"+OK\r\n"]
)
@pytest.mark.parametrize("key", SERVICES)
def test_a_server_without_end_is_left_within_the_bounds(key: str, byte: bytes) -> None:
    talk = SERVICES[key].talk(PLACE)
    steps = 0
    try:
        next(talk)
        while True:
            steps += 1
            talk.send(byte * 4_096)
    except (StopIteration, MalformedError):
        pass
    assert steps <= ASKS_MAX + 1
    assert steps * 4_096 <= 20 * ANSWER_BYTES_MAX


def test_specs_are_complete() -> None:
    for key, spec in SERVICES.items():
        assert spec.name == spec.name.lower(), key
        assert spec.ports, key
        assert spec.transport in {"tcp", "udp"}, key
    assert set(LIKELY) <= set(SERVICES)


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        (b"220 (vsFTPd 3.0.3)\r\n", "ftp"),
        (b"220 mail.example ESMTP Postfix (Debian/GNU)\r\n", "smtp"),
        (b"+OK Dovecot ready.\r\n", "pop3"),
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "imap"),
        (b"200 news.example InterNetNews NNRP server INN 2.7.1 ready\r\n", "nntp"),
        (b"SSH-2.0-Unheard_1.0\r\n", "ssh"),
        (b"@RSYNCD: 31.0\n", "rsync"),
        (b"RFB 003.008\n", "rfb"),
    ],
)
def test_a_greeting_alone_is_enough_for_exactly_one_service(greeting: bytes, expected: str) -> None:
    named = {
        found.name for key in SERVICES if SERVICES[key].speaks_first and (found := held(key, greeting)) is not None
    }
    assert named <= {expected}


def test_talks_that_say_something_like_a_credential_need_a_consent() -> None:
    consents = {key: spec.consent for key, spec in SERVICES.items() if spec.consent}
    assert consents == {"ftp_anonymous": "anonymous", "snmp_community": "community", "modbus": "ics", "distcc": "run"}


@pytest.mark.parametrize(
    "answer", [b"ERROR\r\n", b"-ERR unknown command\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"500 what?\r\n"]
)
def test_an_error_that_many_protocols_have_names_no_chat_or_mail(answer: bytes) -> None:
    assert held("irc", b"", answer * 3) is None
    assert held("smtp", answer * 3) is None
