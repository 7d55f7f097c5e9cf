"""CSV: a spreadsheet reads it, and nothing in it is run."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.model.address import halves
from nsm.model.flow import FLOW
from nsm.model.table import Rows
from nsm.model.traffic import ANOMALY, ARP, SECOND, TARGET
from nsm.output.csv import csv_header, csv_lines, neutral


def read(rows: Rows) -> list[dict[str, str]]:
    text = csv_header(rows.table) + "".join(csv_lines(rows))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_flow_is_a_line_that_people_can_read() -> None:
    hi, lo = halves("2001:db8::1")
    rows = Rows(FLOW, {
        "ts": np.array([1_700_000_000_000_001], np.int64), "src_hi": np.array([hi], np.uint64),
        "src_lo": np.array([lo], np.uint64), "flow_id": np.array([(1 << 51) - 1], np.uint64),
        "app": np.array(["tls"], object), "tick": np.array([9]),
    }, 1)  # fmt: skip
    (line,) = read(rows)
    assert line["ts"] == "2023-11-14T22:13:20.000001Z"
    assert (line["src_ip"], line["dest_ip"]) == ("2001:db8::1", "::")
    assert (line["flow_id"], line["app"]) == (str((1 << 51) - 1), "tls")
    assert not {"src_hi", "src_lo", "tick"} & set(line)


@pytest.mark.parametrize("table", [FLOW, TARGET, ARP, ANOMALY, SECOND], ids=lambda table: str(table.name))
def test_every_record_type_has_as_many_cells_as_names(table: Any) -> None:
    lines = read(Rows(table, {}, 3))
    assert len(lines) == 3
    assert all(None not in line and None not in line.values() for line in lines)
    assert read(Rows(table, {}, 0)) == []


@given(st.text())
def test_no_text_is_run_splits_a_row_or_reaches_the_terminal(text: str) -> None:
    rows = Rows(ANOMALY, {"event": np.array([text, "x"], object)}, 2)
    lines = read(rows)
    assert len(lines) == 2
    cell = lines[0]["event"]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert not any(ord(character) < 32 or character in "\x7f\x9b\u202e\u2028" for character in cell)
    assert lines[1]["event"] == "x"


@pytest.mark.parametrize("text", ["tls", "decoder.ipv4.trunc_pkt", "naïve", ""])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert neutral(text) == text


def test_a_formula_gets_an_apostrophe() -> None:
    assert neutral("=1+1") == "'=1+1"
    assert neutral('=HYPERLINK("x")') == '"\'=HYPERLINK(""x"")"'
