"""Gateways and resolvers from the texts of the kernel and of resolv.conf."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nsm.health.gateway import Target, gateways_v4, gateways_v6, resolvers, targets

ROUTE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0
"""
ZERO = "0" * 32
ROUTE6 = f"""{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200 lo
fd770000000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001 eth0
"""
RESOLV = (
    "# made by hand\nsearch lan\nnameserver 192.168.1.1\nnameserver nonsense\nnameserver 192.168.1.1\nnameserver ::1\n"
)


def test_the_gateway_with_the_lowest_metric_is_first() -> None:
    assert gateways_v4(ROUTE) == ["192.168.1.1", "192.168.2.1"]
    assert gateways_v6(ROUTE6) == ["fe80::1%eth0"]


def test_resolvers_are_addresses_once_each() -> None:
    assert resolvers(RESOLV) == ["192.168.1.1", "::1"]


def test_nothing_but_gateway_and_resolver_unless_it_was_added(tmp_path: Path) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "proc/net/route").write_text(ROUTE)
    (tmp_path / "etc/resolv.conf").write_text("nameserver 192.0.2.53\n")
    own = [Target("gateway", "192.168.1.1", "gateway"), Target("resolver", "192.0.2.53", "resolver")]
    assert list(targets((), tmp_path)) == own
    added = targets(("198.51.100.1", "192.168.1.1", "no address"), tmp_path)
    assert list(added) == [*own, Target("198.51.100.1", "198.51.100.1", "added")]


def test_a_machine_without_any_has_no_targets(tmp_path: Path) -> None:
    assert targets((), tmp_path) == ()


@given(st.text(max_size=300))
def test_any_text_gives_a_list(text: str) -> None:
    for read in (gateways_v4, gateways_v6, resolvers):
        assert isinstance(read(text), list)
