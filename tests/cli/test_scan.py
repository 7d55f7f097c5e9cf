"""``nsm scan``: what it takes, what it prints, how it ends. Against this machine's loopback alone."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nsm.cli import main
from nsm.cli.scan import rate
from nsm.scan import journal as journals
from nsm.scan.runner import Tools, begin
from nsm.scan.settings import ScanSettings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("NSM_DATA", str(home / "data"))  # root's is the machine's own

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["scan", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that listens on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


CONNECT = ("--method", "connect")


def test_a_table_says_what_is_open_and_one_line_what_was_done(run: Run, listener: int, closed: int) -> None:
    code, out, err = run("127.0.0.1", "--ports", f"{listener},{closed}", *CONNECT)
    assert code == 0
    lines = {line.split()[1]: line for line in out.splitlines()[1:]}
    assert " open " in lines[f"{listener}/tcp"]
    assert " closed " in lines[f"{closed}/tcp"]
    assert err.startswith("1 open of 2 ports on 1 host; ")
    assert "method connect" in err
    assert len(err.splitlines()) == 1


def test_json_has_one_object_a_line(run: Run, listener: int, home: Path) -> None:
    code, out, _ = run("127.0.0.1", "-p", str(listener), *CONNECT, "--format", "json")
    row = json.loads(out)
    assert (code, row["address"], row["port"], row["state"]) == (0, "127.0.0.1", f"{listener}/tcp", "open")
    code, out, _ = run("127.0.0.1", "-p", str(listener), *CONNECT, "--format", "csv", "-o", str(home / "out.csv"))
    assert not out
    assert (home / "out.csv").read_text().splitlines()[0].startswith("address,name,port,state")


def test_a_complete_scan_leaves_no_journal(run: Run, listener: int, home: Path) -> None:
    run("127.0.0.1", "-p", str(listener), *CONNECT)
    assert not list(home.rglob("*.journal"))


def test_a_name_is_shown_beside_its_address(run: Run, listener: int) -> None:
    code, out, _ = run("localhost", "-p", str(listener), *CONNECT, "--format", "json")
    assert code == 0
    assert json.loads(out)["name"] == "localhost"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name what to scan"),
        (("127.0.0.1", "--ports", "0"), 2, "0 is no port"),
        (("127.0.0.1", "--rate", "fast"), 2, "fast is no rate"),
        (("127.0.0.1", "--rate", "20001"), 2, "20001 is no rate"),
        (("127.0.0.1", "--method", "xmas"), 2, "'xmas' is not"),
        (("10.0.0.0/16",), 2, "more than 4,096"),
        (("224.0.0.1",), 2, "multicast"),
        (("fd00::/64",), 2, "too many addresses"),
        (("8.8.8.8",), 4, "owner's permission"),
        (("--resume", "missing.journal"), 2, "cannot read missing.journal"),
        (("127.0.0.1", "--resume", "x"), 2, "its own targets"),
    ],
)
def test_what_is_wrong_is_said_in_three_lines(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    found, out, err = run(*arguments)
    assert found == code
    assert not out
    assert said in err
    lines = err.splitlines()
    assert len(lines) <= 3
    assert lines[0].startswith("nsm: ")
    assert lines[-1].startswith("  mend:  ")


def test_help_has_examples_and_a_word_on_permission(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert out.count("nsm scan ") >= 4
    assert "permission" in out
    assert "130 interrupted" in " ".join(out.split())


def test_a_scan_goes_on_from_its_journal_and_takes_it_away(run: Run, listener: int, home: Path) -> None:
    request = journals.Request(("127.0.0.1",), str(listener), method="connect")
    path = home / "x.journal"
    journals.write(path, begin(request, ScanSettings(), Tools()))
    code, out, _ = run("--resume", str(path), "--json")
    assert code == 0
    assert json.loads(out)["state"] == "open"
    assert not path.exists()


def test_a_rate_is_a_number_or_max() -> None:
    assert (rate("5"), rate("20000"), rate("max"), rate("MAX")) == (5, 20_000, 0, 0)
