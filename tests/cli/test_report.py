"""``nsm report`` and ``nsm plot``: files, formats, errors in three lines, exit codes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from nsm.cli import main
from nsm.report import pdf as of_pdf
from nsm.store.notices import NoticeStore
from tests.report.kit import build

Run = Callable[..., tuple[int, str, str]]
DAY = ("--from", "2025-10-26 00:00", "--to", "2025-10-27 00:00", "--tz", "Europe/Berlin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("store"))


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(home)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["--data", str(folder), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_page_is_written(run: Run, home: Path) -> None:
    code, out, err = run("report", *DAY, "-o", "day.html")
    assert (code, out) == (0, "")
    assert "day.html: " in err
    made = (home / "day.html").read_text()
    assert made.startswith("<!doctype html>")
    assert "2025-10-26 00:00 +02:00 to 2025-10-27 00:00 +01:00, Europe/Berlin" in made


def test_several_formats_take_the_name_with_their_own_endings(run: Run, home: Path) -> None:
    assert run("report", *DAY, "--format", "html,json,csv", "-o", "week.html")[0] == 0
    assert json.loads((home / "week.json").read_bytes())["schema"] == 1
    assert "alerts.csv" in zipfile.ZipFile(io.BytesIO((home / "week.zip").read_bytes())).namelist()


def test_the_ending_names_the_format_and_stdout_takes_one(run: Run, home: Path) -> None:
    assert run("report", *DAY, "-o", "day.json")[0] == 0
    assert json.loads((home / "day.json").read_bytes())["kind"] == "nsm.report"
    code, _, err = run("report", *DAY, "--format", "html,json", "-o", "-")
    assert code == 2
    assert err.startswith("nsm: stdout takes one format\n")


def test_pseudonyms_and_the_short_form(run: Run, home: Path) -> None:
    assert run("report", *DAY, "--redact", "--short", "-o", "day.html")[0] == 0
    made = (home / "day.html").read_text()
    assert "192.168." not in made
    assert "Appendix" not in made


def test_a_report_of_some_hosts(run: Run, home: Path) -> None:
    assert run("report", *DAY, "--scope", "desk, 198.51.100.0/24", "-o", "day.json")[0] == 0
    made = json.loads((home / "day.json").read_bytes())
    assert [part["network"] for part in made["scope"]] == ["192.168.1.20", "198.51.100.0/24"]
    assert [group["alert_ids"] for group in made["alerts"]] == [["A4"]]


def test_a_report_is_put_into_the_outbox_of_the_service(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run("report", *DAY, "--mail")
    assert code == 2
    assert "no mail channel is set" in err
    assert "nsm config set notify.mail.host" in err
    for name, value in (("HOST", "mail.lan"), ("SENDER", "nsm@b.org"), ("TO", "c@d.org")):
        monkeypatch.setenv(f"NSM_NOTIFY__MAIL__{name}", value)
    code, _, err = run("report", *DAY, "--mail", "--short")
    assert code == 0, err
    assert "the service does not run: it sends the mail when it does" in err
    assert "its mail waits to be sent" in err
    outbox = NoticeStore(folder)
    taken = outbox.take("mail")
    outbox.close()
    assert taken is not None
    assert taken.notice.title.startswith(
        "Report, 2025-10-26 00:00 +02:00 to 2025-10-27 00:00 +01:00: 1 grave alert group open"
    )
    assert [Path(one.path).suffix for one in taken.notice.attachments] == [".html"]
    assert Path(taken.notice.attachments[0].path).exists()


def test_without_pdf_the_page_is_written_and_the_exit_code_says_partial(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_pdf, "missing", lambda: True)
    code, _, err = run("report", *DAY, "-o", "day.pdf")
    assert code == 6
    assert err.splitlines()[-3].startswith("nsm: no PDF: WeasyPrint is not installed; the report was written as HTML")
    assert err.splitlines()[-1].startswith("  mend:  pip install")
    assert (home / "day.html").exists()
    assert not (home / "day.pdf").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--scope", "10.0.0.0/99", "-o", "x.html"), 2, "not an address, network or name: '10.0.0.0/99'"),
        (("--scope", "", "-o", "x.html"), 2, "the scope names nothing"),
        (("--scope", "nas", "-o", "x.html"), 2, "no host is called 'nas'"),
        (("--last", "soon", "-o", "x.html"), 2, "not a duration"),
        (("--tz", "Mars/Olympus", "-o", "x.html"), 2, "there is no time zone"),
        (("--format", "docx", "-o", "x.html"), 2, "there is no format 'docx'"),
        (("--last", "1d", "-o", "/nowhere/x.html"), 3, "cannot write"),
        ((), 2, "missing option"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_three_lines(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    got, _, err = run("report", *arguments)
    assert got == code
    assert said in err


def test_without_a_store_there_is_no_report(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--data", str(home / "none"), "report", "-o", str(home / "x.html")]) == 3
    assert "there is no store yet" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["traffic", "alerts", "hosts", "protocols", "score", "coverage"])
def test_a_chart_is_a_picture_of_its_own(run: Run, home: Path, what: str) -> None:
    code, _, _ = run("plot", what, *DAY, "-o", "t.svg")
    assert code == 0
    made = (home / "t.svg").read_text()
    assert made.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "prefers-color-scheme:dark" in made
    assert "<title>" in made


@pytest.mark.parametrize("what", ["traffic", "coverage"])
def test_a_chart_is_a_png_where_the_file_is_named_so(run: Run, home: Path, what: str) -> None:
    assert run("plot", what, *DAY, "-o", "t.svg")[0] == 0
    code, _, _ = run("plot", what, *DAY, "-o", "t.png")
    assert code == 0
    with Image.open(home / "t.png") as picture:
        svg = (home / "t.svg").read_text()
        assert f'width="{picture.width // 2}" height="{picture.height // 2}"' in svg
        colours = picture.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 20  # lines, areas and letters with smooth edges
    assert (255, 255, 255) in {colour for _, colour in colours}  # the light theme


def test_other_endings_are_refused(run: Run, home: Path) -> None:
    code, _, err = run("plot", "traffic", *DAY, "-o", "t.jpg")
    assert code == 2
    assert err.startswith("nsm: a chart is drawn as SVG or PNG\n  where: -o t.jpg\n  mend:  -o t.svg   or t.png")
    assert run("plot", "traffic", "--last", "1h", "-o", "t.svg")[0] == 2
