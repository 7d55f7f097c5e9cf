"""``nsm doctor``: each check on a state of the machine that the test makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nsm.cli import main
from nsm.cli.context import Context
from nsm.cli.doctor import configuration, data, has_capability


@pytest.mark.parametrize(
    ("line", "expected"),
    [("CapEff:\t0000000000002000", True), ("CapEff:\t0000000000001000", False), ("CapEff:\tzz", False), ("", False)],
)
def test_the_right_to_capture_is_read_from_the_kernel(tmp_path: Path, line: str, expected: bool) -> None:
    (tmp_path / "status").write_text(f"Name:\tx\n{line}\n")
    assert has_capability(tmp_path / "status", 13) is expected


def test_without_a_proc_there_is_no_right(tmp_path: Path) -> None:
    assert not has_capability(tmp_path / "none", 13)


def test_a_data_directory_that_others_can_write_fails_with_its_mend(tmp_path: Path) -> None:
    assert data(tmp_path / "new" / "data").state == "ok"
    tmp_path.chmod(0o777)
    assert data(tmp_path).mend == f"chmod 700 {tmp_path}"


def test_a_file_in_the_place_of_the_data_directory_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert data(tmp_path / "file" / "data").state == "fail"


def test_a_faulty_configuration_fails_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[flow]\nnothing = 1\n")
    context = Context({"HOME": str(tmp_path)})
    context.config = str(path)
    check = configuration(context)
    assert check.state == "fail"
    assert "line 2" in check.found


def test_it_lists_every_check_and_ends_with_0_on_a_fit_machine(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--data", str(home / "data"), "doctor", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["name"] for row in rows} == {
        "python", "kernel cache", "capture", "libpcap", "data", "disk", "configuration", "probes", "clock",
    }  # fmt: skip
    assert all(row["mend"] for row in rows if row["state"] != "ok")


def test_the_self_test_says_where_a_marker_was_sent_and_whether_it_was_seen(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main.run(["--data", str(home / "data"), "doctor", "--self-test", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    row = next(row for row in rows if row["name"] == "self-test")
    assert row["state"] in ("ok", "warn")
    assert "private network namespace" in row["found"] or "loopback" in row["found"]
    assert row["state"] == "ok" or row["mend"]


def test_what_a_running_service_says_is_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from nsm.cli import doctor
    from nsm.run import control

    verdicts = [{"id": "drops", "state": "warn", "text": "t", "mend": "m"}, {"id": "clock", "state": "note", "text": "n",
                "mend": ""}]  # fmt: skip
    monkeypatch.setattr(control, "ask", lambda *_args, **_more: {"figures": {"verdicts": verdicts}})
    found = list(doctor.service(tmp_path))
    assert [(check.name, check.state) for check in found] == [("service: drops", "warn"), ("service: clock", "note")]


def test_without_a_service_nothing_is_said_of_it(tmp_path: Path) -> None:
    from nsm.cli import doctor

    assert list(doctor.service(tmp_path)) == []
