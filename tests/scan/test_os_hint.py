"""A hint of a host's system says why, and says nothing where nothing speaks for it."""

from __future__ import annotations

import pytest

from nsm.model.scan import PortState, ScannedPort, Service
from nsm.scan.os_hint import os_hint


def port(number: int, ttl: int = 64, state: PortState = PortState.OPEN, service: Service | None = None) -> ScannedPort:
    reason = "syn-ack" if state is PortState.OPEN else "rst"
    return ScannedPort("10.0.0.7", "tcp", number, state, reason, ttl, 1, 0.4, service)


def speaks(name: str, product: str = "", banner: str = "", how: str = "banner", **details: str) -> Service:
    return Service(name, product, "", how, 0.9, banner=banner, details=details)


@pytest.mark.parametrize(
    ("service", "hint"),
    [
        (speaks("ssh", "OpenSSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3"), "Debian Linux: ssh on 22/tcp says so"),
        (speaks("ssh", "OpenSSH", "SSH-2.0-OpenSSH_8.9p1 Ubuntu-3ubuntu0.6"), "Ubuntu Linux: ssh on 22/tcp says so"),
        (speaks("ssh", "ROSSSH", "SSH-2.0-ROSSSH"), "MikroTik RouterOS: ssh on 22/tcp says so"),
        (speaks("http", "Microsoft IIS", server="Microsoft-IIS/10.0"), "Windows: http on 22/tcp says so"),
        (speaks("microsoft-ds", how="handshake"), "Windows: it offers microsoft-ds on 22/tcp"),
    ],
)
def test_what_a_service_says_of_its_system_is_the_hint(service: Service, hint: str) -> None:
    assert os_hint([port(22, 128, service=service)]) == hint


@pytest.mark.parametrize(
    "service",
    [
        speaks("microsoft-ds", "Samba", how="handshake"),
        speaks("ms-wbt-server", how="port"),  # a guess by the number says nothing
        speaks("http", "nginx", banner="<title>Windows for everyone</title>"),  # a page may be about anything
        speaks("ssh", "OpenSSH", "SSH-2.0-OpenSSH_9.2 OpenBSD-portable"),
    ],
)
def test_what_says_nothing_of_the_system_leaves_the_time_to_live(service: Service) -> None:
    assert os_hint([port(22, 64, service=service)]).startswith("perhaps Linux, macOS or another Unix")


@pytest.mark.parametrize(
    ("ttls", "start"),
    [([64], "64"), ([58, 58], "64"), ([128, 127], "128"), ([250], "255"), ([], ""), ([64, 128], ""), ([90], "")],
)
def test_the_time_to_live_tells_families_apart(ttls: list[int], start: str) -> None:
    hint = os_hint([port(number, ttl, PortState.CLOSED) for number, ttl in enumerate(ttls, 1)])
    assert hint.endswith(f"begins at {start}") if start else hint == ""
