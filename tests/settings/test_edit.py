"""One setting changed in a text: the rest stays as it was, and what is written reads back."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import SettingsError
from nsm.settings.edit import with_value, write

TEXT = """\
# top
[a]
x = 1  # one
# y = 2

[a.b]
x = 3
"""


@pytest.mark.parametrize(
    ("section", "name", "expected"),
    [
        ("a", "x", TEXT.replace("x = 1  # one", "x = 9")),
        ("a", "y", TEXT.replace("# y = 2", "y = 9")),
        ("a", "z", TEXT.replace("# y = 2", "# y = 2\nz = 9")),
        ("a.b", "x", TEXT.replace("x = 3", "x = 9")),
        ("c", "x", TEXT + "\n[c]\nx = 9\n"),
    ],
)
def test_only_the_one_line_changes(section: str, name: str, expected: str) -> None:
    assert with_value(TEXT, section, name, 9) == expected


def test_a_text_with_other_separators_of_lines_stays_one_line() -> None:
    text = with_value(with_value(TEXT, "a", "x", "one\x85two\u2028three"), "a", "y", 2)
    assert tomllib.loads(text)["a"]["x"] == "one\x85two\u2028three"


def test_a_value_over_several_lines_is_left_alone() -> None:
    with pytest.raises(SettingsError, match="several lines"):
        with_value("[a]\nx = [\n  1,\n]\n", "a", "x", [2])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "a.b", "c"]),
            st.sampled_from(["x", "y", "xx"]),
            st.integers() | st.text(st.characters(codec="utf-8")) | st.lists(st.booleans(), max_size=3),
        ),
        max_size=6,
    )
)
def test_what_is_set_reads_back_whatever_was_set_before(changes: list[tuple[str, str, object]]) -> None:
    text, expected = TEXT, {("a", "x"): 1, ("a.b", "x"): 3}
    for section, name, value in changes:
        text = with_value(text, section, name, value)
        expected[section, name] = value  # type: ignore[assignment]  # any plain value
    read = tomllib.loads(text)
    tables = {"a": read["a"], "a.b": read["a"]["b"], "c": read.get("c", {})}
    assert {(section, name): tables[section][name] for section, name in expected} == expected


def test_writing_replaces_the_file_in_one_step_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "nsm" / "config.toml"
    write(path, "a = 1\n")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    write(path, "a = 2\n")
    assert path.read_text() == "a = 2\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [item.name for item in path.parent.iterdir()] == ["config.toml"]
