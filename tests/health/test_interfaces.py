"""Rates of interfaces."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.health.interfaces import Counters, InterfaceReader, has_carrier, is_enabled, rates_between

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


def test_switched_off_is_not_without_a_carrier(tmp_path: Path) -> None:
    for name, flags, carrier in (("on0", "0x1003", "1"), ("loose0", "0x1003", "0"), ("odd0", "what", "1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flags").write_text(flags)
        (tmp_path / name / "carrier").write_text(carrier)
    (tmp_path / "off0").mkdir()
    (tmp_path / "off0" / "flags").write_text("0x1002")  # its carrier cannot be read
    names = ("on0", "loose0", "odd0", "off0", "none0")
    assert [is_enabled(name, otherwise=False, root=tmp_path) for name in names] == [True, True, False, False, False]
    assert [has_carrier(name, root=tmp_path) for name in names] == [True, False, True, True, True]


def test_the_machines_own_interfaces_are_read() -> None:
    found = {item.name: item for item in InterfaceReader().read(0.0)}
    assert found["lo"].mtu > 0
