"""Rates of interfaces."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.health.interfaces import Counters, InterfaceReader, rates_between

counts = st.builds(Counters, *[st.integers(0, 1 << 40)] * 8)


@given(counts, counts, st.floats(0.1, 10))
def test_rates_are_differences_or_a_new_start(before: Counters, now: Counters, span: float) -> None:
    rates = rates_between(before, now, span)
    back = any(getattr(now, name) < getattr(before, name) for name in Counters.__struct_fields__)
    assert (rates is None) == back
    if rates is not None:
        assert rates.bytes_in == pytest.approx((now.bytes_in - before.bytes_in) / span)
        lost = now.drops_in - before.drops_in + now.drops_out - before.drops_out
        assert rates.drops == pytest.approx(lost / span)


def test_an_interface_that_went_and_came_back_begins_anew() -> None:
    reader, stat = InterfaceReader(), SimpleNamespace(isup=True, mtu=1500, speed=1000)
    one = Counters(*[1_000] * 8)
    reader.judge(0.0, {"x0": stat}, {"x0": one})
    assert reader.judge(1.0, {}, {}) == []
    back = reader.judge(2.0, {"x0": stat}, {"x0": Counters(*[5_000] * 8)})
    assert back[0].rates is None
    again = reader.judge(4.0, {"x0": stat}, {"x0": Counters(*[6_000] * 8)})[0]
    assert again.rates is not None
    assert again.rates.packets_in == 500
    assert (again.mtu, again.speed_mbit, again.enabled) == (1500, 1000, True)


def test_the_machines_own_interfaces_are_read() -> None:
    found = {item.name: item for item in InterfaceReader().read(0.0)}
    assert found["lo"].mtu > 0
