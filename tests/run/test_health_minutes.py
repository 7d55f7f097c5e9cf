"""Findings and kept values of minutes, with targets that answer as the test says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nsm.health.findings import DISK_ID, INTERFACE_ID, LATENCY_ID, LOSS_ID, RESOLVER_ID
from nsm.health.forecast import Forecast
from nsm.health.gateway import Target
from nsm.health.interfaces import Counters, InterfaceHealth
from nsm.health.machine import Machine
from nsm.health.prober import Asked, plain
from nsm.health.settings import HealthSettings
from nsm.model.finding import Finding
from nsm.run.health_facts import Counts, ages, answered_of, counters_of, facts_of, offset_of
from nsm.run.health_minutes import Minutes, samples

TARGET = Target("gateway", "192.0.2.1", "gateway")
MACHINE = Machine(0.5, 1.0, 10, 20, 30, 40, 70, None, True, 0.0, 0.0)


def interface(name: str = "eth0", up: bool = True, count: int = 0) -> InterfaceHealth:
    return InterfaceHealth(name, up, True, 1500, 1000, Counters(*[count] * 8), None)


def minute_of(asked: Asked, begin: float, lost: int, rtt: float = 0.01) -> None:
    """60 probes, of which the first ones are lost."""
    for n in range(60):
        number = asked.probes.ask(begin + n)
        if n >= lost:
            asked.heard(number, begin + n + rtt)


def told(lost: list[int], rtts: list[float] | None = None) -> list[tuple[int, int]]:
    """(minute, number) of the findings."""
    asked, minutes = Asked(TARGET, None, 1.0), Minutes(HealthSettings())
    found = []
    for n, count in enumerate(lost):
        minute_of(asked, 60.0 * n, count, (rtts or [0.01] * len(lost))[n])
        now = 60.0 * n + 60
        found += [(n, one.signature_id) for one in minutes.targets([asked], now, int(now * 1e6))]
    return found


def test_loss_is_told_after_three_bad_minutes() -> None:
    assert told([0, 6, 6, 0, 6, 0]) == [(4, LOSS_ID)]
    assert told([2] * 10) == []  # 3 % is not above 5 %


def test_a_target_that_never_answered_is_not_told() -> None:
    assert told([60] * 10) == []


def minutes_of(minutes: Minutes, asked: Asked, lost: list[int], first: int = 0) -> list[tuple[int, Finding]]:
    found = []
    for n, count in enumerate(lost, first):
        minute_of(asked, 60.0 * n, count)
        found += [(n, one) for one in minutes.targets([asked], 60.0 * n + 60, (60 * n + 60) * 1_000_000)]
    return found


def test_that_it_is_over_is_told_once_with_how_long_it_took() -> None:
    minutes, asked = Minutes(HealthSettings()), Asked(TARGET, None, 1.0)
    found = minutes_of(minutes, asked, [6, 6, 6, *[0] * 12])
    assert [(n, one.signature_id, one.key, one.over) for n, one in found] == [
        (2, LOSS_ID, ("loss", "192.0.2.1"), False), (7, 0, ("loss", "192.0.2.1"), True)
    ]  # fmt: skip
    assert found[1][1].explain.what == (
        "It is over after 5 min. Probes to the gateway 192.0.2.1 are answered again: 0.0% lost in the last minute."
    )
    assert not minutes.open


def test_a_silent_gateway_is_one_alert_and_no_loss() -> None:
    minutes, asked = Minutes(HealthSettings()), Asked(TARGET, None, 1.0)
    found = minutes_of(minutes, asked, [0, 0, 60, 60, 60, 60, *[0] * 6])
    assert [(n, one.key[0], one.over) for n, one in found] == [(4, "silent", False), (10, "silent", True)]
    assert found[0][1].signature == "Gateway does not answer"
    assert minutes.raised("192.0.2.1") == []


def test_what_is_not_looked_at_any_more_is_over() -> None:
    minutes, asked = Minutes(HealthSettings()), Asked(TARGET, None, 1.0)
    minutes_of(minutes, asked, [6, 6, 6])
    (over,) = minutes.targets([], 240.0, 240_000_000)
    assert (over.key, over.over) == (("loss", "192.0.2.1"), True)
    assert "192.0.2.1 is not looked at now" in over.explain.what
    assert not minutes_of(minutes, asked, [0] * 8, 4)


def test_alerts_of_an_earlier_process_end_in_the_next() -> None:
    before, asked = Minutes(HealthSettings()), Asked(TARGET, None, 1.0)
    minutes_of(before, asked, [60, 6, 6, 6])
    before.resolver("192.0.2.2", [None], 0.0, 0)
    later = Minutes(HealthSettings())
    later.resume(before.open.values(), 240.0)
    assert later.raised("192.0.2.1") == ["loss"]
    assert [(n, one.over) for n, one in minutes_of(later, Asked(TARGET, None, 1.0), [0] * 8, 4)] == [(8, True)]


def test_slow_is_what_is_slow_for_the_target() -> None:
    assert told([0] * 5, [0.15] * 5) == [(2, LATENCY_ID)]
    usual = [0.08] * 12
    assert told([0] * 15, [*usual, 0.2, 0.2, 0.2]) == []  # four times 80 ms is 320 ms
    assert told([0] * 15, [*usual, 0.4, 0.4, 0.4]) == [(14, LATENCY_ID)]


def test_a_resolver_is_told_when_half_of_the_questions_fail() -> None:
    minutes = Minutes(HealthSettings())
    one_lost, dead = [0.01, 0.01, 0.01, 0.01, 0.01, None], [None] * 6
    found = [minutes.resolver("192.0.2.2", times, 60.0 * n, 0) for n, times in enumerate([one_lost] * 5 + [dead] * 3)]
    assert [one.signature_id for each in found for one in each] == [RESOLVER_ID]
    assert found[-1]


def test_an_interface_is_told_once_and_only_when_it_is_wanted() -> None:
    minutes, wanted = Minutes(HealthSettings()), frozenset({"eth0"})
    found = []
    for n, up in enumerate([True, False, False]):
        items = [interface("eth0", up), interface("veth1", up)]
        found += minutes.interfaces(items, wanted, wanted, float(n), n)
    assert [(one.signature_id, one.key) for one in found] == [(INTERFACE_ID, ("interface", "eth0"))]


def test_the_disk_is_told_when_it_gets_worse_and_once_a_day() -> None:
    minutes = Minutes(HealthSettings())
    warn, critical = Forecast(10.0, 1e9, "warn", ""), Forecast(2.0, 1e9, "critical", "")
    ok = Forecast(None, None, "ok", "")
    steps = [
        (0, ok),
        (600, warn),
        (1_200, warn),
        (1_800, critical),
        (2_400, critical),
        (90_000, critical),
        (90_600, ok),
    ]
    found = [(at, one.signature_id) for at, level in steps for one in minutes.disk(level, MACHINE, "", float(at), 0)]
    assert found == [(600, DISK_ID), (1_800, DISK_ID), (90_000, DISK_ID)]
    (over,) = minutes.disk(ok, MACHINE, "", 91_200.0, 0)
    assert (over.over, over.key) == (True, ("disk",))
    assert not minutes.disk(ok, MACHINE, "", 91_800.0, 0)


def test_values_of_a_minute_have_their_names_and_no_invented_zeros() -> None:
    asked = Asked(TARGET, None, 1.0)
    minute_of(asked, 0.0, 6)
    status: dict[str, Any] = {
        "processes": [{"name": "web", "rss_bytes": 0, "cpu_pct": None}],
        "second": {"store": {"bulk_bytes": 7}, "queues": {"store": {"waiting": 2}}},
    }
    before = {"eth0": interface(count=0), "eth1": interface("eth1", count=900)}
    items = [interface(count=600), interface("eth1", count=5)]
    values = samples(MACHINE, items, before, [asked], [0.01, None], status, 60.0)
    assert values["machine.temperature_c"] is None
    assert (values["interface.eth0.bytes_in"], values["interface.eth1.bytes_in"]) == (10.0, None)
    assert values["probe.192.0.2.1.loss"] == pytest.approx(0.1)
    assert (values["resolver.p50_ms"], values["resolver.failed"]) == (10.0, 0.5)
    assert (values["process.web.rss_bytes"], values["store.bulk_bytes"], values["store.waiting"]) == (None, 7, 2)
    assert samples(None, (), {}, (), (), {}, 0.0)["resolver.failed"] is None


def test_counters_of_a_process_that_began_anew_are_no_loss() -> None:
    counts = Counts()
    for at, packets in ((0.0, 1_000), (10.0, 1_500), (20.0, 100), (30.0, 150)):
        counts.add(at, counters_of({"workers": {"w": {"packets": packets, "drops": 0}}}))
    assert counts.total("packets") == 500 + 100 + 50
    counts.add(700.0, {"packets": 160})
    assert counts.total("packets") == 10
    young = Counts()
    young.add(0.0, {"packets": 70}, fresh=True)
    young.add(10.0, {"packets": 90})
    assert young.total("packets") == 90


def test_sums_are_counted_by_interface_and_a_pause_is_no_fault_of_the_clock() -> None:
    worker = {"iface": "eth0", "packets": 0, "sums": 0, "sums_bad": 0, "offset_s": 0.02}
    counts = Counts()
    for n, late in enumerate((0.02, 30.0, 0.03, 0.02, 0.02, 0.02)):
        second = {"workers": {"w": {**worker, "sums": 8 * n, "sums_bad": n, "offset_s": late}}}
        counts.add(10.0 * n, counters_of(second))
        counts.offset(offset_of(second))
    assert (counts.total("sums:eth0"), counts.total("sums_bad:eth0"), counts.packet_offset_s) == (40, 5, 0.02)
    for _ in range(6):
        counts.offset(-4.0)
    assert counts.packet_offset_s == -4.0


def test_files_have_their_age_or_none(tmp_path: Path) -> None:
    old = tmp_path / "list"
    old.touch()
    os.utime(old, (0, 86_400 * 10))
    assert ages([str(old), str(tmp_path / "none"), "a\0b"], 86_400 * 40.0) == (
        (str(old), 30.0), (str(tmp_path / "none"), None), ("a\0b", None)
    )  # fmt: skip
    assert answered_of({"probe.fd77::1.p50_ms": [], "probe.fd77::1.loss": [], "probe.10.0.0.9.loss": []}) == (
        "fd77::1",
    )


def test_facts_are_read_from_what_the_service_says() -> None:
    status = {
        "capture": {"state": "running", "error": None, "since": 50.0,
                    "interfaces": [{"name": "eth0", "selected": True}, {"name": "lo", "selected": False}]},
        "second": {"sight": [{"name": "eth0", "flows": 9, "own": 9}], "store": {"state": "ok", "reason": ""}},
    }  # fmt: skip
    facts = facts_of(status, Counts(), MACHINE, [interface()], None, [(0, 2_000_000, "web", "w")], 100.0)
    assert (facts.watched_s, facts.gaps, facts.analysis) == (50.0, ((2.0, "w"),), True)
    assert [(one.name, one.flows, one.mtu) for one in facts.sights] == [("eth0", 9, 1500)]
    away = facts_of({**status, "second": {}}, Counts(), None, (), None, (), 100.0)
    assert (away.analysis, away.clock_synchronised) == (False, None)


def test_an_address_has_one_spelling() -> None:
    assert plain("fd77:0:0::0001") == plain("fd77::1")
    assert plain("fe80::1%eth0") == "fe80::1"
