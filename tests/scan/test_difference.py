"""What changed between scans: each port against the newest scan that asked it."""

from __future__ import annotations

from nsm.model.scan import PortState, Scan, ScannedHost, ScannedPort, ScanState, Service
from nsm.scan.difference import CHANGED, CLOSED, FLAPPING, GONE, NEW_HOST, OPENED, difference
from nsm.scan.findings import findings, summary

HOST = "10.0.0.7"


def scan(number: int, *opened: int, covered: str = "1-100", up: tuple[str, ...] = (HOST,), **service: str) -> Scan:
    """A complete scan of 10.0.0.0/29 that found these TCP ports of HOST open."""
    found = tuple(
        ScannedPort(
            HOST, "tcp", port, PortState.OPEN, "syn-ack", 64, 1, 0.4,
            Service(service.get("name", "ssh"), "OpenSSH", service.get("version", "9.2"), "banner", 0.9,
                    details={"host_key": service.get("key", "k1")}),
        )
        for port in opened
    )  # fmt: skip
    hosts = tuple(ScannedHost(address, "", "", "arp", 0.4) for address in up)
    return Scan(
        f"s{number}", number, number + 1, ("10.0.0.0/29",), covered, {}, ScanState.COMPLETE, 9, 9, 0.0,
        {"tcp": covered}, hosts, found,
    )  # fmt: skip


def changes(new: Scan, *earlier: Scan) -> list[tuple[str, int, str]]:
    return [(one.what, one.port, one.since) for one in difference(new, earlier)]


def test_a_port_is_opened_and_closed() -> None:
    assert changes(scan(2, 22, 80), scan(1, 22)) == [(OPENED, 80, "s1")]
    assert changes(scan(2), scan(1, 22)) == [(CLOSED, 22, "s1")]
    assert changes(scan(2, 22), scan(1, 22)) == []


def test_what_was_not_asked_is_not_known_to_be_closed() -> None:
    assert changes(scan(3, 22, covered="1-50"), scan(2, 22, 80)) == []
    older, narrow = scan(1, 80), scan(2, covered="1-50")
    assert changes(scan(3), narrow, older) == [(CLOSED, 80, "s1")]  # against the scan that asked it


def test_a_host_that_is_gone_or_new_is_one_line() -> None:
    assert changes(scan(2, up=()), scan(1, 22, 80, 99)) == [(GONE, 0, "s1")]
    assert changes(scan(2, 22, up=(HOST,)), scan(1, up=("10.0.0.6",)))[0] == (GONE, 0, "s1")
    assert (NEW_HOST, 0, "s1") in changes(scan(2, 22), scan(1, up=()))


def test_a_changed_version_is_told_and_a_changed_key_is_an_alert() -> None:
    newer = difference(scan(2, 22, version="9.3"), [scan(1, 22)])
    assert [one.what for one in newer] == [CHANGED]
    assert "version 9.2 became 9.3" in newer[0].text
    assert list(findings(scan(2, 22), newer, frozenset())) == []
    other = difference(scan(2, 22, key="k2"), [scan(1, 22)])
    assert len(list(findings(scan(2, 22, key="k2"), other, frozenset()))) == 1


def test_a_port_that_comes_and_goes_is_grouped_and_no_alert() -> None:
    history = [scan(3), scan(2, 80), scan(1)]
    told = difference(scan(4, 80), history)
    assert [(one.what, one.port) for one in told] == [(FLAPPING, 80)]
    assert told[0].text.endswith("comes and goes: open in 2 of the last 4 scans")
    assert summary(told) == "since the scan before: 1 flapping"
    assert list(findings(scan(4, 80), told, frozenset())) == []
    assert changes(scan(4, 80), scan(3, 80), scan(2), scan(1, 80)) == []  # open as before: nothing happened now
    assert changes(scan(5, 80), scan(4), scan(3), scan(2, 80)) == [(FLAPPING, 80, "s4")]
    assert changes(scan(5, 80), scan(4), scan(3), scan(2), scan(1, 80)) == [(OPENED, 80, "s4")]  # long ago
