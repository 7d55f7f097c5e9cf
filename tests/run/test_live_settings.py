"""A setting that is changed on the page is checked as a start would check it, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nsm.errors import SettingsError
from nsm.run.live_settings import EFFECTS, LiveSettings
from nsm.run.schema import collect
from nsm.settings.load import load


@pytest.fixture
def live(tmp_path: Path) -> LiveSettings:
    file = tmp_path / "nsm.toml"
    file.write_text("[detect.port_scan]\nminute_ports = 33\n")
    settings = load(collect(), file=file, environ={"NSM_SCAN__RATE": "500"}, flags={"capture.filter": "tcp"})
    return LiveSettings(settings, tmp_path)


def field(live: LiveSettings, key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        entry for section in live.shapes() for entry in section["fields"] if entry["key"] == key
    )
    return found


def test_a_change_is_in_effect_kept_and_can_be_taken_back(live: LiveSettings, tmp_path: Path) -> None:
    key = "detect.port_scan.minute_ports"
    assert field(live, key)["origin"].endswith("line 2")
    assert live.change(key, 44) == "analyst"
    shown = field(live, key)
    assert (shown["value"], shown["default"] != 44, shown["origin"], shown["on_page"]) == (44, True, "page", True)
    again = LiveSettings(load(collect(), environ={}, page={key: 44}), tmp_path)
    assert again.now.value(key) == 44
    live.change(key, 45)
    live.change(key, None)
    assert (live.now.value(key), field(live, key)["on_page"]) == (33, False)  # as the file says


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("detect.port_scan.minute_port", 3, "unknown setting"),
        ("detect.port_scan.minute_ports", "many", "Expected `int`"),
        ("detect.port_scan.minute_ports", -1, ">= 0"),
        ("scan.rate", 100, "set by environment NSM_SCAN__RATE"),
        ("capture.filter", "udp", "set by flag"),
        ("capture.interfaces", ["nosuch0"], "nosuch0"),
        ("output.eve_file.path", "/proc/no/such.json", "no"),
        ("notify.mail.password", "swordfish", "is a secret"),
        ("notify.mail.password", "env:NSM_NOT_THERE", "NSM_NOT_THERE"),
        ("notify.mail.port", 70_000, "65535"),
    ],
)
def test_what_a_start_would_refuse_is_refused_and_not_kept(live: LiveSettings, key: str, value: Any, said: str) -> None:
    before = live.now.values()
    with pytest.raises(SettingsError, match=said):
        live.change(key, value)
    assert live.now.values() == before


def test_every_section_says_when_a_change_takes_effect(live: LiveSettings) -> None:
    assert {section["name"].partition(".")[0] for section in live.shapes()} == set(EFFECTS)


def test_every_setting_says_what_it_is(live: LiveSettings) -> None:
    for section in live.shapes():
        assert section["about"], section["name"]
        for entry in section["fields"]:
            assert entry["about"], entry["key"]
            assert {"type", "enum", "anyOf"} & set(entry["schema"]), entry["key"]


def test_what_needs_a_new_start_says_that_it_waits(live: LiveSettings) -> None:
    assert live.change("serve.session_hours", 3.0) == "next start"
    assert field(live, "serve.session_hours")["waits"]
    live.change("serve.session_hours", None)
    assert not field(live, "serve.session_hours")["waits"]


def test_a_secret_is_never_shown(live: LiveSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSM_SECRET_TEST", "swordfish")
    live.change("notify.mail.password", "env:NSM_SECRET_TEST")
    assert field(live, "notify.mail.password")["value"] == "env:NSM_SECRET_TEST"
    assert "swordfish" not in str(live.shapes())
    with pytest.raises(SettingsError):
        live.change("notify.mail.password", "plain")
