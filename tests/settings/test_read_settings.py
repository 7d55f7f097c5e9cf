"""What ``nsm.read(settings=...)`` accepts: the corpus' own settings, our sections, and nothing misspelt."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import SettingsError
from nsm.settings.read_settings import EFFECTIVE, KNOWN, ReadSettings, read_settings
from nsm.settings.section import SettingsSection


class ScanSettings(msgspec.Struct, frozen=True):
    """A section as a detector declares it."""

    ports_min: int = 15


SECTIONS = (SettingsSection(name="detect.port_scan", struct=ScanSettings),)


def test_nothing_given_is_all_defaults() -> None:
    assert read_settings(None) == read_settings({}) == ReadSettings()


def test_what_has_an_effect_arrives_typed() -> None:
    found = read_settings(
        {
            "home_net": ["10.0.0.1/8"], "batch_packets": 100, "workers": 2, "profile": "suricata",
            "checksum_validation": False, "stream": {"midstream": True}, "log": {"dns": {"types": ["a"]}, "flow": {}},
            "community_id": True, "community_id_seed": 7, "ethernet": True, "pcap_file": True, "ipv6_compress": True,
            "bpf": "port 22",
        }
    )  # fmt: skip
    assert found == ReadSettings(
        home_net=("10.0.0.0/8",), batch_packets=100, workers=2, profile="suricata", checksum_validation=False,
        midstream=True, log={"dns": {"types": ["a"]}, "flow": {}}, community_id=True, community_id_seed=7,
        ethernet=True, pcap_file=True, ipv6_compress=True, bpf="port 22", protocol_options={"dns.types": ["a"]},
    )  # fmt: skip


@pytest.mark.parametrize(
    "given_",
    [
        {"detect": {"port_scan": {"ports_min": 3}}},
        {"detect.port_scan": {"ports_min": 3}},
        {"detect.port_scan.ports_min": 3},
    ],
)
def test_our_sections_are_reached_by_nested_and_by_dotted_names(given_: dict[str, Any]) -> None:
    assert read_settings(given_, SECTIONS).overrides == {"detect.port_scan.ports_min": 3}


@pytest.mark.parametrize(
    ("given_", "key", "near"),
    [
        ({"home_nets": []}, "home_nets", "home_net"),
        ({"stream": {"midstreem": True}}, "stream.midstreem", "stream.midstream"),
        ({"app_layer": {"dns": {"enabeld": True}}}, "app_layer.dns.enabeld", "app_layer.dns.enabled"),
        ({"log": {"dnss": {}}}, "log.dnss", "log.dns"),
        ({"detect": {"port_scan": {"port_min": 3}}}, "detect.port_scan.port_min", "detect.port_scan.ports_min"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(given_: dict[str, Any], key: str, near: str) -> None:
    with pytest.raises(SettingsError, match=f"unknown setting {key}$") as caught:
        read_settings(given_, SECTIONS)
    assert near in caught.value.mend


@pytest.mark.parametrize(
    ("given_", "key"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": "two"}, "workers"),
        ({"batch_packets": 65_537}, "batch_packets"),
        ({"profile": "snort"}, "profile"),
        ({"home_net": ["10.0.0.0/33"]}, "home_net"),
        ({"stream": 3}, "stream"),
        ({"stream": {"depth": -1.5}}, "stream.depth"),
        ({"detect.port_scan.ports_min": "3"}, "detect.port_scan.ports_min"),
        ({"community_id": 1}, "community_id"),
    ],
)
def test_a_wrong_value_names_its_key(given_: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(given_, SECTIONS)
    assert str(caught.value).startswith(f"{key}:")


def test_known_keys_without_effect_give_one_warning_for_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = read_settings(
            {"packet_alert_max": 32, "stream": {"urgent": {"policy": "drop"}, "midstream": True}, "log": {"dns": {}}}
        )
    assert found.unused == ("packet_alert_max", "stream.urgent.policy")
    assert [record.getMessage() for record in caplog.records] == [
        "settings without effect yet: keys=packet_alert_max,stream.urgent.policy"
    ]


def test_every_key_that_has_an_effect_is_known() -> None:
    for key in EFFECTIVE:
        node = KNOWN
        for part in key.split("."):
            node = node[part]


def settings_of_tests(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and "pcap" in value and "settings" in value:
        yield value["settings"] or {}
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from settings_of_tests(item)


def test_every_setting_of_the_reference_suite_is_accepted(corpus: Path) -> None:
    manifest = corpus / "suricata-verify" / "manifest.json"
    found = list(settings_of_tests(json.loads(manifest.read_bytes())))
    assert len(found) > 700
    for given_ in found:
        read_settings({"profile": "suricata", **given_}, SECTIONS)


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.dictionaries(st.sampled_from([*KNOWN, "dns", "x", "midstream"]), inner, max_size=3)
        | st.lists(inner, max_size=2)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*KNOWN, "detect", "detect.port_scan", "y"]), NESTED, max_size=4))
def test_anything_gives_settings_or_a_settings_error(given_: dict[str, Any]) -> None:
    with contextlib.suppress(SettingsError):  # any other exception fails the test
        read_settings(given_, SECTIONS)


@pytest.mark.parametrize(
    ("dns", "off"),
    [
        ({"enabled": False}, ("dns",)), ({"enabled": False, "tcp": {"enabled": True}}, ("dns/udp",)),
        ({"udp": {"enabled": False}}, ("dns/udp",)), ({"tcp": {"enabled": "no"}, "udp": {"enabled": "no"}}, ("dns",)),
        ({"enabled": False, "tcp": {"enabled": True}, "udp": {"enabled": True}}, ()), ({"enabled": True}, ()),
    ],
)  # fmt: skip
def test_a_protocol_is_switched_off_by_itself_or_on_one_transport(dns: dict[str, Any], off: tuple[str, ...]) -> None:
    assert read_settings({"app_layer": {"dns": dns}}).protocols_off == off
