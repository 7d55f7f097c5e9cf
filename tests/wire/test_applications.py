"""The table of applications by host name: each suffix once, the longest decides, whole labels only."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.wire.applications import LABELS_MAX, Applications

TEXT = files("nsm.wire").joinpath("applications.txt").read_text(encoding="utf-8")
ROWS = [line.split() for line in TEXT.splitlines() if line and not line.startswith("#")]
SHIPPED = Applications.shipped()


def test_no_suffix_is_there_twice() -> None:
    suffixes = [suffix for _, _, *found in ROWS for suffix in found]
    assert sorted(suffixes) == sorted(set(suffixes))
    names = [name for name, *_ in ROWS]
    assert names == sorted(set(names))


def test_names_and_suffixes_are_lower_case_and_can_match() -> None:
    for name, category, *suffixes in ROWS:
        assert suffixes
        for word in (name, category, *suffixes):
            assert word == word.lower()
        for suffix in suffixes:
            assert "." in suffix
            assert not suffix.startswith(".")
            assert not suffix.endswith(".")
            assert len(suffix.split(".")) <= LABELS_MAX


@pytest.mark.parametrize(
    ("host", "app"),
    [
        ("www.facebook.com", "facebook"),
        ("WWW.Facebook.COM.", "facebook"),
        ("facebook.com", "facebook"),
        ("notfacebook.com", ""),
        ("facebook.com.example.org", ""),
        ("mail.google.com", "gmail"),
        ("www.google.com", "google"),
        ("fonts.gstatic.com", "google"),
        ("rr3---sn-h0j7.googlevideo.com", "youtube"),
        ("scontent.fxyz1-1.fna.fbcdn.net", "facebook"),
        ("instagram.fxyz1-1.fna.fbcdn.net", "instagram"),
        ("api.teams.skype.com", "teams"),
        ("teams.microsoft.com", "teams"),
        ("update.microsoft.com", "windowsupdate"),
        ("com", ""),
        ("", ""),
        ("192.0.2.1", ""),
    ],
)
def test_the_longest_suffix_of_whole_labels_decides(host: str, app: str) -> None:
    assert SHIPPED.of_host(host) == app
    assert SHIPPED.of_host(host) == app  # remembered


def test_a_first_label_with_a_star() -> None:
    table = Applications("a games a.*.example.com\nb web example.com")
    assert [table.of_host(name) for name in ("a.x.example.com", "a.x.y.example.com", "a.example.com", "b.x.example.com")] == [
        "a", "a", "b", "b",
    ]  # fmt: skip
    assert (table.category("a"), table.category("none")) == ("games", "")


@settings(max_examples=50)
@given(st.text(max_size=300))
def test_any_text(host: str) -> None:
    assert SHIPPED.of_host(host) in {"", *(name for name, *_ in ROWS)}
