"""JSON, CSV, pseudonyms, the folder of reports, and what is said when there can be no PDF."""

from __future__ import annotations

import csv
import io
import json
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from nsm.errors import QueryError, SinkError
from nsm.report import pdf as of_pdf
from nsm.report.facts import Facts
from nsm.report.html import page
from nsm.report.numbers import change, count, length, share, size
from nsm.report.redact import KEY_FILE, key_of, redacted
from nsm.report.render import render
from nsm.report.shelf import About, Shelf, formats_of
from nsm.report.table import tables
from nsm.report.tables import csv_text, csv_zip, json_document
from tests.report.kit import EVIL


def test_one_json_document_has_every_table(facts: Facts) -> None:
    document = json.loads(json_document(facts))
    assert document["schema"] == 1
    assert document["period"] == {
        "from": "2025-10-25T22:00:00.000000Z",
        "to": "2025-10-26T23:00:00.000000Z",
        "zone": "Europe/Berlin",
    }
    assert set(document["tables"]) == {table.name for table in tables(facts)}
    assert document["alerts"][0]["explain"]["next"][0].startswith("Ask the owner")
    assert document["tables"]["scans"]["rows"][0][-1] == 2


def test_every_table_is_a_csv_that_a_spreadsheet_does_not_run(facts: Facts) -> None:
    archive = zipfile.ZipFile(io.BytesIO(csv_zip(facts)))
    assert set(archive.namelist()) == {f"{table.name}.csv" for table in tables(facts)}
    hosts = list(csv.DictReader(io.StringIO(archive.read("hosts_new.csv").decode())))
    assert [row["address"] for row in hosts] == ["192.168.1.77"]
    assert "\u202e" not in hosts[0]["name"]
    assert csv_zip(facts) == csv_zip(facts)
    evil = msgspec.structs.replace(
        facts, hosts_new=(msgspec.structs.replace(facts.hosts_new[0], name="=cmd|' /C calc'!A0"),)
    )
    (table,) = [one for one in tables(evil) if one.name == "hosts_new"]
    assert list(csv.reader(io.StringIO(csv_text(table))))[1][1].startswith("'=")


def test_what_is_not_measured_is_an_empty_cell_and_null(facts: Facts) -> None:
    blind = next(one for one in tables(facts) if one.name == "blind")
    assert csv_text(blind).splitlines()[1].endswith(",")
    assert json.loads(json_document(facts))["tables"]["blind"]["rows"][0][3] is None


def test_pseudonyms_are_stable_and_nothing_real_is_left(facts: Facts, tmp_path: Path) -> None:
    key = key_of(tmp_path)
    assert key == key_of(tmp_path)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0
    hidden = redacted(facts, key)
    assert hidden == redacted(facts, key)
    assert hidden != redacted(facts, b"other" * 8)
    for made in (page(hidden), json_document(hidden).decode()):
        for real in ("192.168.", "203.0.113.", "198.51.100.", "02:00:00:00:00", "desk", EVIL[:20]):
            assert real not in made
        assert "host-" in made
    assert hidden.traffic is not None
    assert facts.traffic is not None
    assert hidden.traffic.totals == facts.traffic.totals


def test_names_that_were_scanned_are_hidden(facts: Facts) -> None:
    scan = msgspec.structs.replace(facts.scans[0], targets="printer.lan 192.168.7.0/24 fe80::1")
    made = redacted(msgspec.structs.replace(facts, scans=(scan,)), b"k" * 32)
    words = made.scans[0].targets.split()
    assert words[0].startswith("name-")
    assert words[1].startswith("host-")
    assert words[1].endswith("/24")
    assert words[2].startswith("host-")


def test_times_and_versions_are_no_addresses(facts: Facts) -> None:
    said = msgspec.structs.replace(
        facts.alerts.groups[0].explain, what="at 10:20:30, TLS 1.2, 1.2.3 to fe80::1%eth0, 1.2.3.4."
    )
    group = msgspec.structs.replace(facts.alerts.groups[0], explain=said)
    made = redacted(
        msgspec.structs.replace(facts, alerts=msgspec.structs.replace(facts.alerts, groups=(group,))), b"k" * 32
    )
    what = made.alerts.groups[0].explain.what
    assert what.startswith("at 10:20:30, TLS 1.2, 1.2.3 to host-")
    assert "fe80" not in what
    assert what.endswith(".")
    assert "1.2.3.4" not in what


def about(number: str) -> About:
    return About(number, "day", "ann", 1, 2, 3, "UTC", "fine", 90, {})


def test_the_folder_keeps_the_newest_and_opens_only_its_own(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    ids = [f"2025112{n}T000000Z-abcdef" for n in range(4)]
    for number in ids:
        shelf.keep(about(number), {"html": b"<p>", "zip": b"PK"}, most=3)
    assert [one.id for one in shelf.reports()] == ids[:0:-1]
    assert shelf.reports()[0].files == {"html": 3, "zip": 2}
    assert shelf.path(ids[3], "html") is not None
    assert shelf.path(ids[0], "html") is None
    for number, ending in (("../nsm", "db"), (ids[3], "about"), (f"../reports/{ids[3]}", "html"), (ids[3], "../x")):
        assert shelf.path(number, ending) is None
    assert shelf.remove(ids[3])
    assert not shelf.remove(ids[3])
    assert not shelf.remove("../../x")
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "reports").iterdir())


def test_a_full_disk_leaves_no_half_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path)

    def full(_self: Shelf, name: str, _data: bytes) -> None:
        if name.endswith(".zip"):
            raise OSError(28, "No space left on device")
        (tmp_path / "reports" / name).write_bytes(b"")

    monkeypatch.setattr(Shelf, "_write", full)
    with pytest.raises(SinkError, match="No space left"):
        shelf.keep(about("20251121T000000Z-abcdef"), {"html": b"a", "zip": b"b"}, 9)
    assert list((tmp_path / "reports").iterdir()) == []


def test_formats_are_known() -> None:
    assert formats_of("pdf, html,pdf") == ("pdf", "html")
    for wrong in ("docx", "", ","):
        with pytest.raises(QueryError):
            formats_of(wrong)


def test_without_weasyprint_the_error_says_how_to_get_it(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pdf, "missing", lambda: True)
    with pytest.raises(of_pdf.PdfMissingError, match="WeasyPrint is not installed") as raised:
        render(facts, "pdf")
    assert "netsecmonitor[pdf]" in raised.value.mend


@pytest.mark.parametrize(
    ("program", "said", "kind"),
    [
        ("import time; time.sleep(9)", "longer than 0.2 s", SinkError),
        ("raise OSError('cannot load library libpango')", "a library of WeasyPrint is missing", of_pdf.PdfMissingError),
        ("raise ValueError('broken')", "broken", SinkError),
    ],
)
def test_a_pdf_that_fails_or_takes_too_long_is_an_error(
    program: str, said: str, kind: type[SinkError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setattr(of_pdf, "missing", lambda: False)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(kind, match=said):
        of_pdf.pdf("<p>", 0.2 if "sleep" in program else 5)


def test_numbers_are_read_by_people() -> None:
    assert [count(n) for n in (None, 0, 1_234, 12_345)] == ["not measured", "0", "1,234", "12.3 k"]
    assert [size(n) for n in (0, 1_023, 4_089_446)] == ["0 B", "1023 B", "3.9 MiB"]
    assert [share(n) for n in (1, 0.99996, 0.5, 0.0001, 0)] == ["100.0 %", "> 99.9 %", "50.0 %", "< 0.1 %", "0.0 %"]
    assert [change(*n) for n in ((110, 100), (5, 0), (None, 3), (7, 7))] == ["+10.0 %", "new", "not measured", "0.0 %"]
    assert [length(n * 60_000_000) for n in (1, 30, 150, 1_440, 10_080)] == ["60 s", "30 min", "150 min", "24 h", "7 d"]
