"""Syslog over UDP, TCP and TLS, against real collectors; its forms, read back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import DeliveryError
from nsm.model.finding import Explain
from nsm.notify.syslog import SPEC, UDP_BYTES_MAX, Syslog, SyslogSettings, cef
from tests.notify.notices import HOSTILE, alert, notice
from tests.notify.receivers import datagram_collector, refused_port, stream_collector, until

# RFC 5424, section 6: PRI, version, time, host, program, process, kind, structured data, message.
HEADER = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (\S{1,255}) (\S{1,48}) (\S+) (\S{1,32}) - (.*)", re.DOTALL
)


def message_of(line: bytes) -> bytes:
    found = HEADER.fullmatch(line)
    assert found, line
    assert found.groups()[2:6] == (b"sensor-1", b"nsm", b"-", b"network_scan")
    assert int(found[1]) == 16 * 8 + 3
    return found[7]


def test_each_alert_is_a_datagram() -> None:
    with datagram_collector() as collector:
        Syslog(SyslogSettings(host="127.0.0.1", port=collector.port)).send(notice(alert(1), alert(2)))
        assert until(lambda: len(collector.lines) == 2)
    assert message_of(collector.lines[0]) == b"high Port scan: laptop-7 tried 214 ports on nas. (alert A1, risk 60)"


@pytest.mark.parametrize("secure", [False, True])
def test_over_a_stream_each_has_its_length_before_it(pair: tuple[Path, Path], secure: bool) -> None:
    many = [alert(number, explain=Explain("ä\n" * number, "")) for number in range(1, 40)]
    with stream_collector(pair if secure else None) as collector:
        settings = SyslogSettings(
            host="127.0.0.1", port=collector.port, transport="tls" if secure else "tcp", ca_file=str(pair[0])
        )
        from nsm.run.notice_desk import Parcel
        from nsm.run.notice_words import Scene, notice_of

        for one in many:
            Syslog(settings).send(notice_of(Parcel("alert", (one,)), one.id, 0.0, Scene("sensor-1")))
            if secure and one.id == "A3":
                break
        count = 3 if secure else 39
        assert until(lambda: len(collector.lines) == count)
    assert all(message_of(line).startswith(b"\xef\xbb\xbf") for line in collector.lines)


def test_an_unknown_certificate_is_refused(pair: tuple[Path, Path]) -> None:
    with stream_collector(pair) as collector, pytest.raises(DeliveryError, match="certificate is not trusted"):
        Syslog(SyslogSettings(host="127.0.0.1", port=collector.port, transport="tls")).send(notice())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_collector_that_is_not_there_is_noticed(transport: Any) -> None:
    with pytest.raises(DeliveryError, match="connection refused"):
        Syslog(SyslogSettings(host="127.0.0.1", port=refused_port(), transport=transport)).send(notice())


def test_json_has_the_names_of_elastic() -> None:
    with datagram_collector() as collector:
        Syslog(SyslogSettings(host="127.0.0.1", port=collector.port, form="json")).send(notice())
        assert until(lambda: collector.lines)
    document = json.loads(message_of(collector.lines[0]))
    assert document["source"] == {"ip": "192.168.1.23"}
    assert document["destination"] == {"ip": "192.168.1.5", "port": 22}
    assert (document["event"]["id"], document["event"]["severity"]) == ("A1.1", 8)
    assert document["rule"]["name"] == "Port scan"
    assert document["threat"] == {"technique": {"id": ["T1046"]}}
    assert document["network"] == {"transport": "tcp"}


@pytest.mark.parametrize("form", ["plain", "cef", "json"])
def test_a_datagram_is_never_too_long_and_json_stays_whole(form: Any) -> None:
    long = notice(alert(signature="é" * 900, explain=Explain("ü" * 9_000, "")))
    with datagram_collector() as collector:
        Syslog(SyslogSettings(host="127.0.0.1", port=collector.port, form=form)).send(long)
        assert until(lambda: collector.lines)
    assert len(collector.lines[0]) <= UDP_BYTES_MAX
    collector.lines[0].decode()


def parsed(line: str) -> tuple[list[str], dict[str, str]]:
    """CEF as a collector reads it."""
    parts = re.split(r"(?<!\\)(?:\\\\)*\|", line, maxsplit=7)
    fields = re.findall(r"(\w+)=((?:\\.|[^\\=])*?)(?= \w+=|$)", parts[7], re.DOTALL)
    return parts[:7], {name: re.sub(r"\\(.)", r"\1", value) for name, value in fields}


def test_cef_is_read_back() -> None:
    head, fields = parsed(cef(notice(), alert()))
    assert head[:3] == ["CEF:0", "netsecmonitor", "nsm"]
    assert head[4:] == ["9000001", "Port scan", "8"]
    assert (fields["src"], fields["dpt"], fields["cnt"], fields["externalId"]) == ("192.168.1.23", "22", "3", "A1")


def test_cef_of_ipv6_and_of_hostile_names() -> None:
    made = cef(notice(), alert(src_ip="fd77::1", signature=HOSTILE, explain=Explain(HOSTILE, "")))
    assert "\n" not in made
    assert "c6a2=fd77::1" in made
    assert " src=" not in made
    head, fields = parsed(made)
    assert len(head) == 7
    assert fields["c6a2"] == "fd77::1"


@given(st.text(max_size=200), st.sampled_from(["plain", "cef", "json"]))
def test_any_text_is_one_line_with_a_right_header(text: str, form: Any) -> None:
    made = notice(alert(signature=text, explain=Explain(text, text)))
    line = Syslog(SyslogSettings(form=form))._line(made, made.alerts[0])
    assert b"\n" not in line
    assert b"\r" not in line
    assert len(line) <= UDP_BYTES_MAX
    body = message_of(line)
    if form == "json":
        json.loads(body)


def test_without_a_collector_there_is_no_channel() -> None:
    assert SPEC.channels(SyslogSettings()) == {}
    assert SPEC.each
