"""What is sent to UDP ports, read by another implementation where there is one."""

from __future__ import annotations

import dpkt
import pytest
from scapy.all import ISAKMP, NTP

from nsm.scan import payloads
from nsm.scan.payloads import BY_PORT, payload_of


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (payloads.DNS, "", 2),
        (payloads.MDNS, "_services._dns-sd._udp.local", 12),
        (payloads.LLMNR, "localhost", 1),
        (payloads.NETBIOS, "CK" + "A" * 30, 0x21),
    ],
)
def test_questions_of_the_dns_family_are_whole(data: bytes, name: str, kind: int) -> None:
    read = dpkt.dns.DNS(data)
    assert [(question.name, question.type) for question in read.qd] == [(name, kind)]


def elements(data: bytes) -> list[int]:
    """The tags of values in a row, which fill the data."""
    tags, at = [], 0
    while at < len(data):
        tags.append(data[at])
        at += 2 + data[at + 1]
    assert at == len(data)
    return tags


def test_snmp_is_a_discovery_that_names_nobody() -> None:
    data = payloads.SNMP
    assert elements(data[2:]) == [2, 0x30, 4, 0x30]
    assert data[1] == len(data) - 2
    assert b"public" not in data


def test_lengths_that_are_in_the_data_are_right() -> None:
    assert int.from_bytes(payloads.IKE[24:28]) == len(payloads.IKE)
    assert ISAKMP(payloads.IKE).exch_type == 34
    assert NTP(payloads.NTP).mode == 3
    assert len(payloads.STUN) == 20
    assert len(payloads.QUIC) == 1_200
    assert int.from_bytes(payloads.L2TP[2:4]) == len(payloads.L2TP)
    assert payloads.CLDAP[1] == len(payloads.CLDAP) - 2
    assert elements(payloads.CLDAP[2:]) == [2, 0x63]


def test_every_payload_fits_any_path_and_unknown_ports_get_nothing() -> None:
    assert all(len(data) <= 1_232 for data in BY_PORT.values())  # the least MTU of IPv6, without its headers
    assert payload_of(40_001) == b""
