"""``nsm users``: people and tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nsm.cli import main
from nsm.store.accounts import Accounts

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["--data", str(tmp_path), "users", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_user_is_invited_given_a_role_and_removed(tmp_path: Path, run: Run) -> None:
    accounts = Accounts(tmp_path)
    accounts.add_user("ann", "correct horse")
    code, out, _ = run("add", "mia", "--role", "analyst")
    assert code == 0
    token = re.fullmatch(r"http://127\.0\.0\.1:8052/login#link=(\S+)\n", out)
    assert token is not None
    assert accounts.login_link(token.group(1)) == "mia"
    assert run("role", "mia", "viewer")[0] == 0
    listed = json.loads(run("list", "--json")[1].splitlines()[1] or "{}")
    assert (listed["name"], listed["role"]) == ("mia", "viewer")
    assert run("remove", "mia")[0] == 0
    assert [user.name for user in accounts.users()] == ["ann"]
    assert [item["action"] for item in accounts.audit_log()] == ["user removed", "role changed", "user added"]


def test_a_token_is_shown_once_listed_and_revoked(tmp_path: Path, run: Run) -> None:
    accounts = Accounts(tmp_path)
    accounts.add_user("ann", "correct horse")
    code, out, err = run("token", "add", "ann", "--days", "3", "--label", "backup")
    assert code == 0
    session = accounts.token_session(out.strip())
    assert session is not None
    assert session.role == "viewer"
    assert "not shown again" in err
    assert "backup" in run("token", "list")[1]
    assert run("token", "revoke", "1")[0] == 0
    assert accounts.token_session(out.strip()) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("role", "zoe", "viewer"), "there is no user zoe"),
        (("remove", "ann"), "ann is the last admin"),
        (("token", "revoke", "77"), "there is no token 77"),
        (("token", "add", "vic", "--scope", "admin"), "vic is viewer: a token cannot do more"),
        (("link", "zoe"), "there is no user zoe"),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, run: Run, arguments: tuple[str, ...], said: str) -> None:
    accounts = Accounts(tmp_path)
    accounts.add_user("ann", "correct horse")
    accounts.add_user("vic", "correct horse", "viewer")
    code, _, err = run(*arguments)
    assert code == 2
    assert err.splitlines()[0] == f"nsm: {said}"
