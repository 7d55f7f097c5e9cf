"""What commands print: nothing from the wire may steer a terminal or a spreadsheet, and forms read back."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.cli.output import csv_cell, display_safe, opened, rows_as_text, write_one, write_rows
from nsm.errors import SinkError

ROWS = [{"src": "10.0.0.1", "bytes": 5, "app": "tls"}, {"src": "fe80::1", "bytes": 1_000, "app": None}]


@given(st.text())
def test_what_is_displayed_has_no_control_or_direction_character(text: str) -> None:
    shown = display_safe(text)
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in shown)
    assert not any(
        unicodedata.bidirectional(char) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
        for char in shown
    )


def test_ordinary_text_is_displayed_as_it_is() -> None:
    assert display_safe("Käse → 例え.jp") == "Käse → 例え.jp"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_is_made_text(start: str) -> None:
    assert csv_cell(f"{start}cmd") == f"'{display_safe(start)}cmd"
    assert csv_cell(f"{start}cmd", raw=True) == f"{start}cmd"


def test_a_negative_number_stays_a_number() -> None:
    assert csv_cell(-5) == "-5"
    assert csv_cell(-5.5) == "-5.5"


@given(st.lists(st.text('a\r\n",= ', max_size=5), min_size=2, max_size=2))
def test_raw_csv_reads_back_exactly(cells: list[str]) -> None:
    text = io.StringIO()
    write_rows([dict(zip("xy", cells, strict=True))], form="csv", to=text, raw=True)
    assert list(csv.reader(io.StringIO(text.getvalue(), newline="")))[1:] == [cells]


@given(st.lists(st.fixed_dictionaries({"a": st.text(st.characters(codec="utf-8")), "b": st.integers()}), min_size=1))
def test_csv_reads_back_and_no_text_cell_begins_a_formula(rows: list[dict[str, object]]) -> None:
    text = rows_as_text(rows, form="csv")
    back = list(csv.DictReader(io.StringIO(text, newline="")))
    for row, read in zip(rows, back, strict=True):
        assert read["a"].removeprefix("'") == display_safe(str(row["a"])).removeprefix("'")
        assert not read["a"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert int(read["b"]) == row["b"]


def test_json_is_one_object_a_line_with_every_key() -> None:
    lines = rows_as_text(ROWS, ["src"], form="json").splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_off_a_terminal_a_table_is_plain_columns() -> None:
    assert rows_as_text(ROWS, form="table") == (
        "src       bytes  app\n"
        "10.0.0.1      5  tls\n"
        "fe80::1    1000\n"
    )  # fmt: skip


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_name_is_neither_markup_nor_an_escape() -> None:
    stream = Terminal()
    write_rows([{"name": "[red]x\x1b[31m"}], form="table", to=stream, colour=True)
    assert "[red]x\\x1b[31m" in stream.getvalue()


def test_a_csv_without_rows_has_its_header() -> None:
    assert rows_as_text([], ["a", "b"], form="csv") == "a,b\n"


def test_an_object_says_its_schema_in_json_and_is_lines_otherwise() -> None:
    stream = io.StringIO()
    write_one({"packets": 5, "name": "x"}, form="json", to=stream)
    assert json.loads(stream.getvalue()) == {"schema": 1, "packets": 5, "name": "x"}
    stream = io.StringIO()
    write_one({"packets": 5, "name": "x\n"}, to=stream)
    assert stream.getvalue() == "packets  5\nname     x\\x0a\n"


def test_output_goes_to_the_named_file_or_is_refused(tmp_path: Path) -> None:
    with opened(str(tmp_path / "out.csv")) as stream:
        write_rows(ROWS, form="csv", to=stream)
    assert (tmp_path / "out.csv").read_text().startswith("src,bytes,app\n")
    with pytest.raises(SinkError, match="cannot write"), opened(str(tmp_path / "none" / "out.csv")):
        pass
