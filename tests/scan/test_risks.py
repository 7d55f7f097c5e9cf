"""Risks are called for what was seen, and for nothing else."""

from __future__ import annotations

import datetime as dt

import pytest

from nsm.model.scan import Service
from nsm.scan.risks import CALLS, RISKS, risks_of

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def called(name: str, address: str = "10.0.0.1", **details: str) -> list[str]:
    return [risk.id for risk in risks_of(Service(name=name, how="handshake", details=details), address, NOW)]


@pytest.mark.parametrize(
    ("name", "details", "risk"),
    [
        ("telnet", {}, "telnet-open"),
        ("ftp", {"features_told": "yes"}, "ftp-clear"),
        ("ftp", {"anonymous": "let in"}, "ftp-anonymous"),
        ("microsoft-ds", {"smb1": "yes"}, "smb1"),
        ("microsoft-ds", {"signing": "optional"}, "smb-unsigned"),
        ("ms-wbt-server", {"nla": "no"}, "rdp-no-nla"),
        ("rfb", {"open_to_all": "yes"}, "vnc-open"),
        ("x11", {"open_to_all": "yes"}, "x11-open"),
        ("redis", {"open_to_all": "yes"}, "database-open"),
        ("memcache", {"open_to_all": "yes"}, "database-open"),
        ("elasticsearch", {"open_to_all": "yes"}, "database-open"),
        ("docker", {"open_to_all": "yes"}, "docker-open"),
        ("socks", {"open_to_all": "yes"}, "proxy-open"),
        ("snmp", {"community": "public"}, "snmp-public"),
        ("rsync", {"listed": "yes"}, "rsync-open"),
        ("sunrpc", {"programs": "mountd 1-3, portmapper 2-4"}, "nfs-listed"),
        ("mqtt", {"open_to_all": "yes"}, "mqtt-open"),
        ("http", {"tls_version": "TLS 1.0"}, "tls-old"),
        ("http", {"cert_not_after": "2026-02-01T00:00:00Z"}, "cert-expired"),
        ("http", {"cert_not_after": "2026-03-10T00:00:00Z"}, "cert-soon"),
        ("ssh", {"protocol": "1.99"}, "ssh-1"),
        ("ssh", {"protocol": "2.0", "weak": "3des-cbc"}, "ssh-weak"),
        ("imap", {"capabilities": "IMAP4rev1"}, "mail-clear"),
        ("pdl-datastream", {}, "printer-raw"),
        ("tftp", {}, "tftp-open"),
        ("ntp", {"control_open": "yes"}, "ntp-control"),
        ("distcc", {}, "distcc-open"),
    ],
)
def test_a_weakness_that_was_seen_is_called(name: str, details: dict[str, str], risk: str) -> None:
    assert called(name, **details) == [risk]


@pytest.mark.parametrize(
    ("name", "details"),
    [
        ("ssh", {"protocol": "2.0"}),
        ("ftp", {"features_told": "yes", "auth_tls": "yes"}),
        ("ftp", {}),
        ("microsoft-ds", {"signing": "required"}),
        ("ms-wbt-server", {"nla": "yes"}),
        ("redis", {"login": "required"}),
        ("rfb", {"security": "VNC password"}),
        ("socks", {"login": "name and password"}),
        ("http", {"tls_version": "TLS 1.2", "cert_not_after": "2027-01-01T00:00:00Z"}),
        ("http", {"cert_not_after": "soon"}),
        ("imap", {"capabilities": "IMAP4rev1", "starttls": "yes"}),
        ("dns", {"recursion": "offered"}),
        ("mysql", {}),
    ],
)
def test_what_is_as_it_should_be_is_not_called(name: str, details: dict[str, str]) -> None:
    assert called(name, **details) == []


def test_what_is_harmless_inside_is_called_on_public_addresses() -> None:
    assert called("mysql", "8.8.8.8") == ["database-outside"]
    assert called("dns", "8.8.8.8", recursion="offered") == ["dns-open"]
    assert called("mysql", "fd00::1") == []
    assert called("mysql", "no address") == []


def test_a_guess_by_number_has_no_weakness() -> None:
    assert risks_of(Service(name="telnet", how="port"), "10.0.0.1", NOW) == ()


def test_telnet_inside_tls_is_not_in_clear() -> None:
    assert risks_of(Service(name="telnet", how="banner", tls=True), "10.0.0.1", NOW) == ()


def test_every_risk_says_in_sentences_why_and_how_to_mend_it() -> None:
    for risk in RISKS.values():
        assert risk.severity in {"low", "medium", "high", "critical"}
        assert risk.why.endswith(".")
        assert risk.mend.endswith(".")
        assert not risk.title.endswith(".")
    assert {risk for risk, _ in CALLS} <= set(RISKS)
