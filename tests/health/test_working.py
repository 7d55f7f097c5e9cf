"""Each judgement is provoked, and stays silent where nothing is wrong."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from nsm.health.forecast import Forecast
from nsm.health.working import Facts, Sight, Trouble, judge

GOOD = Sight("eth0", flows=500, own=100, group=50, foreign=350, tcp=300, one_way=10, frame_max=1514, sums=800)
FINE: dict[str, Any] = {
    "capture": "running", "watched_s": 4_000.0, "sights": (GOOD,), "packets": 1_000_000, "store_state": "ok",
    "clock_synchronised": True, "forecast": Forecast(300.0, 1e9, "ok", ""),
}  # fmt: skip

SILENT: Final = Trouble(
    ("silent", "10.0.0.1"), "The gateway 10.0.0.1 answers neither echoes (ping) nor TCP connections; it used to.",
    "Look whether it has power, and at the cable to it   or   ping 10.0.0.1",
)  # fmt: skip
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "stopped": ({"capture": "stopped"}, "capture", "fail"),
    "failed": (
        {"capture": "failed", "fault": "there is no interface eth0", "fault_mend": "interfaces here: eth1, lo"},
        "capture",
        "fail",
    ),
    "silent": ({"packets": 0}, "capture", "fail"),
    "no analysis": ({"analysis": False}, "capture", "fail"),
    "own traffic only": ({"sights": (Sight("eth0", flows=80, own=60, group=20),)}, "mirror:eth0", "note"),
    "quiet": ({"sights": (Sight("eth0", flows=3, own=3),)}, "mirror:eth0", "unknown"),
    "one way": ({"sights": (Sight("eth0", flows=80, foreign=80, tcp=80, one_way=79),)}, "directions:eth0", "warn"),
    "drops": ({"drops": 20_000}, "drops", "warn"),
    "offload": ({"sights": (Sight("eth0", flows=80, foreign=80, frame_max=9_000),)}, "offload:eth0", "note"),
    "checksums of our own": ({"sights": (msgspec.structs.replace(GOOD, sums_open=90),)}, "checksums:eth0", "note"),
    "damaged": ({"sights": (msgspec.structs.replace(GOOD, sums_open=90, sums_bad=20),)}, "checksums:eth0", "warn"),
    "cut": ({"cut": 3}, "cut", "warn"),
    "clock not set": ({"clock_synchronised": False}, "clock", "note"),
    "clock slow": ({"clock_offset_s": 0.3}, "clock", "warn"),
    "packets late": ({"packet_offset_s": 7.5}, "clock", "warn"),
    "packets early": ({"packet_offset_s": -7.5}, "clock", "warn"),
    "file old": ({"files": (("/etc/list", 40.0),)}, "files:/etc/list", "warn"),
    "file gone": ({"files": (("/etc/list", None),)}, "files:/etc/list", "warn"),
    "gateway silent": ({"troubles": (SILENT,)}, "silent:10.0.0.1", "warn"),
    "clock stepped": ({"clock_stepped_s": -3_600.0}, "clock", "warn"),
    "disk full": ({"store_state": "full", "store_reason": "10 MiB free"}, "disk", "fail"),
    "disk early": ({"store_state": "early", "store_reason": "900 MiB free"}, "disk", "warn"),
    "disk soon": ({"forecast": Forecast(5.0, 1e9, "warn", "")}, "disk", "warn"),
    "disk low": ({"forecast": Forecast(None, None, "critical", "too new")}, "disk", "warn"),
    "gaps": ({"gaps": ((12.0, "Detection was interrupted."),)}, "gaps", "warn"),
}


def test_when_all_is_well_nothing_is_to_be_done() -> None:
    found = judge(Facts(**FINE))
    assert {verdict.state for verdict in found} == {"ok"}
    assert {verdict.id.partition(":")[0] for verdict in found} == {
        "capture", "mirror", "directions", "drops", "checksums", "clock", "disk", "gaps"
    }  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_its_mend(name: str) -> None:
    changed, wanted, state = WRONG[name]
    found = {verdict.id: verdict for verdict in judge(Facts(**{**FINE, **changed}))}
    assert found[wanted].state == state
    assert found[wanted].text.endswith(".")
    assert bool(found[wanted].mend) == (state != "unknown")


def test_the_worst_is_said_first() -> None:
    found = judge(Facts(**{**FINE, "capture": "stopped", "drops": 90_000, "clock_synchronised": False}))
    assert [verdict.state for verdict in found][:3] == ["fail", "warn", "note"]


def test_the_demo_and_loopback_are_not_judged_as_mirrors() -> None:
    demo = judge(Facts(**{**FINE, "capture": "demo", "sights": (Sight("demo", flows=90, own=90),)}))
    loop = judge(Facts(**{**FINE, "sights": (Sight("lo", flows=90, own=90, mtu=65_536),)}))
    assert not [verdict for verdict in (*demo, *loop) if verdict.id.startswith("mirror")]
