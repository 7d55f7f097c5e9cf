"""Settings from all their sources: what wins, what is refused, and what is said of it."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import SettingsError
from nsm.settings.document import example, field_texts, reference, toml_value
from nsm.settings.load import MASK, Settings, load
from nsm.settings.section import Secret, SettingsSection, fields_of


class ScanSettings(msgspec.Struct, frozen=True):
    """A section as a detector declares it."""

    ports_min: int = 15
    """Ports of one host."""
    window_s: float = 300.0
    """Seconds."""
    exclude: tuple[str, ...] = ()
    """Networks that are left alone."""
    enabled: bool = True
    """Whether it runs."""
    limits: dict[str, int] = {}
    """A table that is one value."""

    def __post_init__(self) -> None:
        if self.ports_min > 65_535:
            raise ValueError("ports_min is above 65535")


class MailSettings(msgspec.Struct, frozen=True):
    """A section with a secret."""

    server: str = ""
    password: Secret = ""


SECTIONS = (
    SettingsSection(name="detect.port_scan", struct=ScanSettings),
    SettingsSection(name="detect", struct=MailSettings),  # a section whose name another one begins with
    SettingsSection(name="mail", struct=MailSettings),
)


def loaded(tmp_path: Path, text: str = "", suffix: str = ".toml", **rest: Any) -> Settings:
    path = tmp_path / f"config{suffix}"
    path.write_text(text, encoding="utf-8")
    return load(SECTIONS, file=path, **{"environ": {}, **rest})


def test_without_any_source_all_is_at_its_default() -> None:
    settings = load(SECTIONS, environ={})
    assert settings.section("detect.port_scan") == ScanSettings()
    assert {settings.origin(key) for key in settings.fields} == {"default"}


def test_the_stronger_source_wins_and_is_named(tmp_path: Path) -> None:
    key = "detect.port_scan.ports_min"
    text = "[detect.port_scan]\nports_min = 1\n"
    sources: list[tuple[dict[str, Any], int, str]] = [
        ({}, 1, f"file {tmp_path / 'config.toml'} line 2"),
        ({"page": {key: 2}}, 2, "page"),
        ({"environ": {"NSM_DETECT__PORT_SCAN__PORTS_MIN": "3"}}, 3, "environment NSM_DETECT__PORT_SCAN__PORTS_MIN"),
        ({"flags": {key: 4}}, 4, "flag"),
    ]
    given_: dict[str, Any] = {}
    for more, value, origin in sources:
        given_ |= more
        settings = loaded(tmp_path, text, **given_)
        assert settings.section("detect.port_scan").ports_min == value
        assert settings.origin(key) == origin


@pytest.mark.parametrize(
    ("suffix", "text", "line"),
    [
        (".toml", "# ports_min = 9\n[detect]\nserver = 'a'\n\n[detect.port_scan]  # here\nports_min = 7\n", 6),
        (".toml", "detect.port_scan.ports_min = 7\n", 1),
        (".toml", "[detect]\nport_scan = { ports_min = 7 }\n", 2),
        (".yaml", "detect:\n  server: a\n  port_scan:\n    # ports_min\n    ports_min: 7\n", 5),
        (".json", '{"detect": {\n "port_scan": {\n  "window_s": 3,\n  "ports_min": 7}}}', 4),
    ],
)
def test_a_value_is_found_with_its_line(tmp_path: Path, suffix: str, text: str, line: int) -> None:
    settings = loaded(tmp_path, text, suffix)
    assert settings.section("detect.port_scan").ports_min == 7
    assert settings.origin("detect.port_scan.ports_min") == f"file {tmp_path / 'config'}{suffix} line {line}"


@pytest.mark.parametrize(
    ("suffix", "text", "line"),
    [
        (".toml", "[detect.port_scan]\nwindow_s = 3\nport_min = 7\n", 3),
        (".yaml", "detect:\n  port_scan:\n    port_min: 7\n", 3),
        (".json", '{"detect":\n {"port_scan":\n {"port_min": 7}}}', 3),
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_name(
    tmp_path: Path, suffix: str, text: str, line: int
) -> None:
    with pytest.raises(SettingsError, match=r"unknown setting detect\.port_scan\.port_min") as caught:
        loaded(tmp_path, text, suffix)
    assert caught.value.where.endswith(f"line {line}")
    assert "detect.port_scan.ports_min" in caught.value.mend


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown setting detct") as caught:
        loaded(tmp_path, "\n[detct]\nserver = 'x'\n")
    assert caught.value.where.endswith("line 2")


@pytest.mark.parametrize("value", ['"many"', "1.5", "true", "[1]"])
def test_a_wrong_type_names_the_key_and_the_line(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match=r"detect\.port_scan\.ports_min") as caught:
        loaded(tmp_path, f"[detect.port_scan]\nports_min = {value}\n")
    assert caught.value.where.endswith("line 2")


def test_values_that_do_not_go_together_are_refused_by_the_section(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "[detect.port_scan]\nports_min = 70000\n")
    with pytest.raises(SettingsError, match="ports_min is above 65535") as caught:
        settings.check()
    assert "line 2" in caught.value.where


@pytest.mark.parametrize(
    ("suffix", "text", "line"),
    [
        (".toml", "a = 1\nb = = 2\n", 2),
        (".yaml", "a: 1\nb: [1,\n", 3),
        (".json", '{"a": 1,\n}', 2),
        (".toml", "a = 1\na = 2", 2),
    ],
)
def test_a_broken_file_is_refused_with_the_line(tmp_path: Path, suffix: str, text: str, line: int) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text, suffix)
    assert caught.value.where.endswith(f"line {line}")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("WINDOW_S", "2.5", 2.5),
        ("ENABLED", "false", False),
        ("EXCLUDE", "10.0.0.0/8, 192.168.0.0/16", ("10.0.0.0/8", "192.168.0.0/16")),
        ("EXCLUDE", '["10.0.0.0/8"]', ("10.0.0.0/8",)),
        ("LIMITS", '{"a": 1}', {"a": 1}),
    ],
)
def test_the_environment_is_read_as_the_type_of_the_setting(name: str, text: str, value: object) -> None:
    settings = load(SECTIONS, environ={f"NSM_DETECT__PORT_SCAN__{name}": text})
    assert getattr(settings.section("detect.port_scan"), name.lower()) == value


def test_a_typing_error_in_the_environment_is_refused_but_plain_variables_are_left_alone() -> None:
    load(SECTIONS, environ={"NSM_CONFIG": "x", "NSM_CACHE_DIR": "y", "NSM_DATA": "z", "HOME": "/"})
    with pytest.raises(SettingsError, match=r"unknown setting mail\.sever") as caught:
        load(SECTIONS, environ={"NSM_MAIL__SEVER": "x"})
    assert caught.value.where == "environment NSM_MAIL__SEVER"


def test_a_page_setting_of_another_version_does_not_stop_the_start() -> None:
    assert load(SECTIONS, environ={}, page={"gone.key": 1, "mail.server": "a"}).section("mail").server == "a"


def test_secrets_are_read_by_reference_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("hidden\n")
    monkeypatch.setenv("MAIL_PASSWORD", "hidden too")
    for written, read in (
        (f"file:{tmp_path / 'secret'}", "hidden"),
        ("env:MAIL_PASSWORD", "hidden too"),
        ("plain", "plain"),
    ):
        settings = loaded(tmp_path, f"[mail]\npassword = '{written}'\n")
        assert settings.section("mail").password == read
        assert settings.values()["mail.password"] == (MASK if written == "plain" else written)


def test_a_secret_that_is_not_there_names_the_key_and_the_line(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "[mail]\npassword = 'env:NOT_THERE'\n")
    with pytest.raises(SettingsError, match=r"mail\.password: the environment has no NOT_THERE") as caught:
        settings.section("mail")
    assert caught.value.where.endswith("line 2")


def test_the_hash_is_of_the_values_not_of_their_sources(tmp_path: Path) -> None:
    plain = load(SECTIONS, environ={})
    assert loaded(tmp_path, "[detect.port_scan]\nports_min = 15\n").hash() == plain.hash()
    assert loaded(tmp_path, "[detect.port_scan]\nports_min = 16\n").hash() != plain.hash()
    assert len(plain.hash()) == 16
    assert int(plain.hash(), 16) >= 0


def test_a_file_that_is_too_long_or_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for data in (b"#" * (1 << 20) + b"\n", b"a = '\xff'"):
        path.write_bytes(data)
        with pytest.raises(SettingsError, match=r"config\.toml is"):
            load(SECTIONS, file=path, environ={})


def test_the_example_file_is_valid_and_changes_nothing_when_its_lines_are_taken_in(tmp_path: Path) -> None:
    text = example(SECTIONS)
    assert loaded(tmp_path, text).hash() == load(SECTIONS, environ={}).hash()
    names = {field.name for section in SECTIONS for field in fields_of(section)}
    lines = [
        line.removeprefix("# ") if line.removeprefix("# ").split(" = ")[0] in names else line
        for line in text.splitlines()
    ]
    taken = loaded(tmp_path, "\n".join(lines))
    assert taken.hash() == load(SECTIONS, environ={}).hash()
    assert all(taken.origin(key) != "default" for key in taken.fields)


def test_the_text_under_a_field_documents_it() -> None:
    assert field_texts(ScanSettings)["ports_min"] == "Ports of one host."
    assert {field.key: text for field, text in reference(SECTIONS)}["detect.port_scan.window_s"] == "Seconds."


PLAIN_VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(PLAIN_VALUES)
def test_every_value_is_written_as_toml_that_reads_back(value: object) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value


@given(st.text(max_size=200), st.sampled_from([".toml", ".yaml", ".json"]))
def test_any_text_gives_settings_or_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(SettingsError):  # any other exception fails the test
        load(SECTIONS, file=path, environ={})
