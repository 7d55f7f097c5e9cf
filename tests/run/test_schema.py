"""Settings are found where they are declared, once, each with a text."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec

from nsm.run.schema import collect, load_settings, sections_of
from nsm.settings.document import reference
from nsm.settings.section import SettingsSection


class SomeSettings(msgspec.Struct, frozen=True):
    """A section."""

    limit: int = 1


def test_sections_come_from_settings_and_from_specs() -> None:
    section = SettingsSection(name="some", struct=SomeSettings)
    spec = SimpleNamespace(name="port_scan", settings=SomeSettings)
    assert list(sections_of("track", SimpleNamespace(SETTINGS=section))) == [section]
    assert [found.name for found in sections_of("detect", SimpleNamespace(SPEC=spec))] == ["detect.port_scan"]
    assert not list(sections_of("detect", SimpleNamespace(SPEC=SimpleNamespace(name="x", settings=None))))


def test_the_real_parts_are_found() -> None:
    names = {section.name for section in collect()}
    assert {"flow", "decode", "store", "detect.port_scan"} <= names


def test_every_setting_says_what_it_does() -> None:
    assert not [field.key for field, text in reference(collect()) if not text]


def test_all_defaults_go_together() -> None:
    settings = load_settings(environ={"HOME": "/nowhere"})
    settings.check()
    assert len(settings.fields) > 20
