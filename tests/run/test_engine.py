"""From settings to the parts of the engine: profiles, overrides, networks."""

from __future__ import annotations

from typing import Any

import pytest

from nsm.errors import SettingsError
from nsm.pipeline import HOME_NET, detector_specs
from nsm.run.engine import Engine, engine_sections
from nsm.settings.read_settings import read_settings
from nsm.track.settings import SURICATA, ZEEK, FlowSettings


def engine(**settings: Any) -> Engine:
    return Engine.of(read_settings(settings, engine_sections()))


@pytest.mark.parametrize(("profile", "flow"), [("default", FlowSettings()), ("suricata", SURICATA), ("zeek", ZEEK)])
def test_a_profile_brings_its_time_outs(profile: str, flow: FlowSettings) -> None:
    assert engine(profile=profile).worker_settings().flow == flow


def test_what_is_set_outweighs_the_profile() -> None:
    flow = engine(profile="zeek", flow={"tcp_new_s": 7}).worker_settings().flow
    assert (flow.tcp_new_s, flow.udp_new_s) == (7, ZEEK.udp_new_s)


def test_detectors_run_in_the_default_profile_alone() -> None:
    assert set(engine().analyst().saturated) == set(detector_specs())
    assert engine(profile="suricata").analyst().saturated == {}


def test_settings_of_a_detector_reach_it() -> None:
    settings = engine(detect={"port_scan": {"burst_ports": 77}})
    assert settings.settings.section("detect.port_scan").burst_ports == 77
    assert settings.settings.hash() != engine().settings.hash()


def test_home_networks_are_checked() -> None:
    assert engine().home == HOME_NET
    assert engine(home_net=["198.51.100.0/24"]).worker_settings().home_net == ("198.51.100.0/24",)
    with pytest.raises(SettingsError):
        engine(home_net=["somewhere"])


def test_history_is_kept_for_zeek_alone() -> None:
    assert engine(profile="zeek").worker_settings().options.history
    assert not engine().worker_settings().options.history


def test_netflow_is_written_when_it_is_asked_for() -> None:
    assert not engine().eve_options().wants("netflow")
    assert engine(log={"netflow": {}}).eve_options().types == frozenset({"netflow"})
