"""``nsm notify``: list and test, against real receivers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nsm.cli import main
from tests.notify.receivers import datagram_collector, http_receiver, refused_port, until

Run = Callable[..., tuple[int, str, str]]
SECRET = "t0ken-of-the-webhook"  # noqa: S105  of tests alone


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["--data", str(tmp_path / "data"), "notify", *arguments])
        out, err = capsys.readouterr()
        assert SECRET not in out + err
        return code, out, err

    return call


def test_without_a_channel_it_says_how_to_set_one(run: Run) -> None:
    assert run("list")[0] == 0
    code, _, err = run("test")
    assert (code, err.splitlines()[0]) == (2, "nsm: no channel is set")


def test_a_test_reaches_every_channel(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiver() as hook, datagram_collector() as collector:
        monkeypatch.setenv("THE_URL", f"http://127.0.0.1:{hook.port}/{SECRET}")
        monkeypatch.setenv("NSM_NOTIFY__WEBHOOK__URL", "env:THE_URL")
        monkeypatch.setenv("NSM_NOTIFY__SYSLOG__HOST", "127.0.0.1")
        monkeypatch.setenv("NSM_NOTIFY__SYSLOG__PORT", str(collector.port))
        assert run("test") == (0, "syslog: sent\nwebhook: sent\n", "")
        assert until(lambda: collector.lines)
        assert [body["kind"] for body in hook.bodies()] == ["test"]
        code, out, _ = run("list", "--json")
        rows = [json.loads(line) for line in out.splitlines()]
        assert (code, [(row["name"], row["state"]) for row in rows]) == (0, [("syslog", "off"), ("webhook", "off")])
        assert run("test", "pigeon")[0] == 2


def test_a_failure_is_three_lines_and_5(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSM_NOTIFY__WEBHOOK__URL", f"http://127.0.0.1:{refused_port()}/{SECRET}")
    code, _, err = run("test", "webhook")
    assert code == 5
    assert err.splitlines()[-3:] == [
        "nsm: webhook: connection refused", "  where: notify", "  mend:  nsm config show notify"
    ]  # fmt: skip


def test_a_secret_that_cannot_be_read_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSM_NOTIFY__WEBHOOK__URL", "file:/nowhere/url")
    code, _, err = run("list")
    assert code == 2
    assert "notify.webhook.url: cannot read /nowhere/url" in err
