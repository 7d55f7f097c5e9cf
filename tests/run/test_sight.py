"""What the capture sees: own, group and foreign flows, directions, sizes, for ten minutes."""

from __future__ import annotations

from typing import Any

import numpy as np

from nsm.model.address import halves
from nsm.model.flow import FLOW, Report
from nsm.model.table import Rows
from nsm.run.sight import Sights

OWN, OTHER, FAR = "192.168.1.5", "192.168.1.9", "203.0.113.9"


def flows(*rows: tuple[str, str, dict[str, int]]) -> Rows:
    """(source, destination, other columns) each; TCP with an ACK and packets both ways, unless said otherwise."""
    usual = {"report": Report.ENDED, "proto": 6, "tcp_s": 0x12, "tcp_c": 0x12, "pkts_s": 2, "pkts_c": 2, "bytes_s": 200,
             "bytes_c": 400, "iface": 0, "dst_mac": 1}  # fmt: skip
    columns: dict[str, Any] = {
        name: np.array([int(more.get(name, value)) for _, _, more in rows], FLOW.column(name).dtype)
        for name, value in usual.items()
    }
    for place, side in ((0, "src"), (1, "dst")):
        ends = [halves(row[place]) for row in rows]  # type: ignore[arg-type]
        columns[f"{side}_hi"] = np.array([hi for hi, _ in ends], np.uint64)
        columns[f"{side}_lo"] = np.array([lo for _, lo in ends], np.uint64)
    return Rows(FLOW, columns, len(rows))


def sights(clock: Any = lambda: 0.0) -> Sights:
    made = Sights(clock)
    made.own([{"addresses": [f"{OWN}", "fe80::1%eth0", "::1"]}])
    return made


def test_whose_traffic_it_is() -> None:
    seen = sights()
    seen.flows(flows((OWN, FAR, {}), (OTHER, OWN, {}), (OTHER, FAR, {}), (OTHER, "224.0.0.251", {"proto": 17}),
                     (OTHER, "192.168.1.255", {"proto": 17, "dst_mac": 0xFFFFFFFFFFFF})))  # fmt: skip
    (found,) = seen.shape({0: "eth0"})
    assert (found["name"], found["flows"], found["own"], found["group"], found["foreign"]) == ("eth0", 5, 2, 2, 1)


def test_one_way_is_a_connection_that_goes_on_without_the_other_side() -> None:
    seen = sights()
    unanswered = {"tcp_s": 0x02, "tcp_c": 0, "pkts_c": 0}
    seen.flows(flows((OTHER, FAR, {}), (OTHER, FAR, {"pkts_c": 0, "tcp_c": 0}), (OTHER, FAR, unanswered)))
    (found,) = seen.shape({})
    assert (found["tcp"], found["one_way"]) == (2, 1)


def test_the_largest_mean_frame_by_interface_is_kept() -> None:
    seen = sights()
    seen.flows(flows((OTHER, FAR, {"bytes_s": 18_000}), (OTHER, FAR, {"iface": 1})))
    seen.flows(flows((OTHER, FAR, {})))
    assert [one["frame_max"] for one in seen.shape({0: "a", 1: "b"})] == [9_000, 200]


def test_only_flows_that_ended_count_and_only_for_ten_minutes() -> None:
    now = 0.0
    seen = sights(lambda: now)
    seen.flows(flows((OTHER, FAR, {"report": Report.OPENED}), (OTHER, FAR, {})))
    now = 540.0
    assert seen.shape({})[0]["flows"] == 1
    now = 601.0
    assert seen.shape({}) == []
