"""Users, links, sessions, audit, page settings and saved sessions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsm.errors import AccountError, AuthError, StoreError
from nsm.store import accounts as module
from nsm.store.accounts import Accounts
from tests.store.conftest import Clock


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    opened = Accounts(tmp_path, clock)
    yield opened
    opened.close()


def test_the_first_visit_finds_nobody_and_a_link_works_once(accounts: Accounts) -> None:
    assert accounts.users() == []
    token = accounts.make_login_link("admin")
    assert accounts.login_link(token) == "admin"
    assert accounts.take_login_link(token) == "admin"
    with pytest.raises(AuthError, match="not valid any more"):
        accounts.take_login_link(token)


def test_a_new_link_ends_the_older_one_and_time_ends_both(accounts: Accounts, clock: Clock) -> None:
    old = accounts.make_login_link("admin")
    new = accounts.make_login_link("admin")
    with pytest.raises(AuthError):
        accounts.login_link(old)
    clock.seconds += 86_401
    with pytest.raises(AuthError):
        accounts.take_login_link(new)


def test_a_password_is_checked_and_never_kept(accounts: Accounts, tmp_path: Path) -> None:
    accounts.add_user("ann", "correct horse")
    assert accounts.verify("ann", "correct horse").role == "admin"
    for name, password in (("ann", "wrong horse"), ("bob", "correct horse"), ("ann", ""), ("ann", "x" * 5_000)):
        with pytest.raises(AuthError, match="wrong name or password"):
            accounts.verify(name, password)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("nsm.db*"))
    assert b"correct horse" not in stored
    assert b"$argon2id$" in stored


@pytest.mark.parametrize(("name", "password", "role", "message"), [
    ("ann", "short", "admin", "at least 8"), ("", "long enough", "admin", "1 to 64"),
    ("a\nb", "long enough", "admin", "printable"), ("ann", "long enough", "root", "unknown role"),
])  # fmt: skip
def test_a_bad_user_is_refused(accounts: Accounts, name: str, password: str, role: str, message: str) -> None:
    with pytest.raises(AuthError, match=message):
        accounts.add_user(name, password, role)
    assert accounts.users() == []


def test_a_name_is_taken_once_and_the_last_admin_stays(accounts: Accounts) -> None:
    accounts.add_user("ann", "correct horse")
    accounts.add_user("vic", "correct horse", "viewer")
    with pytest.raises(AuthError, match="already"):
        accounts.add_user("ann", "another horse")
    with pytest.raises(AuthError, match="last admin"):
        accounts.remove_user("ann")
    accounts.remove_user("vic")
    assert [user.name for user in accounts.users()] == ["ann"]


def test_a_session_lasts_until_it_is_closed_or_its_time_is_over(accounts: Accounts, clock: Clock) -> None:
    accounts.add_user("ann", "correct horse")
    one, two = accounts.open_session("ann", hours=1), accounts.open_session("ann", hours=1)
    found = accounts.session(one.token)
    assert found is not None
    assert (found.name, found.csrf, found.token) == ("ann", one.csrf, "")
    accounts.close_session(one.token)
    assert accounts.session(one.token) is None
    assert accounts.session(two.token) is not None
    clock.seconds += 3_601
    assert accounts.session(two.token) is None
    with pytest.raises(AuthError):
        accounts.open_session("nobody")


def test_a_new_password_ends_all_sessions(accounts: Accounts) -> None:
    accounts.add_user("ann", "correct horse")
    session = accounts.open_session("ann")
    accounts.set_password("ann", "battery staple")
    assert accounts.session(session.token) is None
    assert accounts.verify("ann", "battery staple").name == "ann"
    with pytest.raises(AuthError):
        accounts.set_password("nobody", "battery staple")


def test_a_copy_of_the_file_opens_no_session(accounts: Accounts, tmp_path: Path) -> None:
    accounts.add_user("ann", "correct horse")
    session, link = accounts.open_session("ann"), accounts.make_login_link("ann")
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("nsm.db*"))
    assert session.token.encode() not in stored
    assert link.encode() not in stored


def test_sessions_and_audit_are_bounded(accounts: Accounts, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 3)
    monkeypatch.setattr(module, "AUDIT_ROWS_MAX", 4)
    accounts.add_user("ann", "correct horse")
    tokens = []
    for number in range(5):
        clock.seconds += 1
        tokens.append(accounts.open_session("ann").token)
        accounts.audit("ann", "log-in", str(number))
        accounts.audit("ann", "look", str(number))
    assert [accounts.session(token) is not None for token in tokens] == [False, False, True, True, True]
    assert [entry["detail"] for entry in accounts.audit_log()] == ["4", "4", "3", "3"]


def test_saved_sessions_come_back_whole(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = [{"timestamp": "2026-11-21T12:00:00", "source_ip": "10.0.0.1", "details": "<script>"}]
    first = accounts.save_session("one", "2026-11-21T12:00:00", logs)
    second = accounts.save_session("two", "2026-11-21T12:01:00", [])
    assert [(saved.id, saved.title) for saved in accounts.saved_sessions()] == [(second, "two"), (first, "one")]
    found = accounts.saved_session(first)
    assert found is not None
    assert list(found.logs) == logs
    assert accounts.delete_saved_session(first)
    assert not accounts.delete_saved_session(first)
    assert accounts.saved_session(first) is None
    monkeypatch.setattr(module, "SAVED_SESSIONS_MAX", 1)
    with pytest.raises(StoreError, match="too many saved"):
        accounts.save_session("three", "", [])


def test_two_holders_of_one_file_do_not_meet_each_other(accounts: Accounts, tmp_path: Path) -> None:
    other = Accounts(tmp_path)
    accounts.add_user("ann", "correct horse")
    assert [user.name for user in other.users()] == ["ann"]
    other.close()
    assert sqlite3.connect(tmp_path / "nsm.db").execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_role_can_be_changed_but_one_admin_stays(accounts: Accounts) -> None:
    accounts.add_user("ann", "correct horse")
    accounts.add_user("vic", "correct horse", "viewer")
    session = accounts.open_session("vic")
    accounts.set_role("vic", "analyst")
    told = accounts.session(session.token)
    assert told is not None
    assert told.role == "analyst"
    with pytest.raises(AccountError, match="last admin"):
        accounts.set_role("ann", "viewer")
    with pytest.raises(AccountError, match="no user"):
        accounts.set_role("zoe", "viewer")


def test_an_invited_user_cannot_log_in_before_the_link_was_opened(accounts: Accounts) -> None:
    accounts.add_user("ann", "correct horse")
    accounts.invite("vic", "viewer")
    for guess in ("", "correct horse"):
        with pytest.raises(AuthError, match="wrong name or password"):
            accounts.verify("vic", guess)
    accounts.set_password(accounts.take_login_link(accounts.make_login_link("vic")), "battery staple")
    assert accounts.verify("vic", "battery staple").role == "viewer"


def test_a_token_does_what_its_scope_and_its_user_both_may_until_it_ends(accounts: Accounts, clock: Clock) -> None:
    accounts.add_user("ann", "correct horse")
    accounts.add_user("vic", "correct horse", "analyst")
    made = accounts.make_token("vic", "a script", "analyst", 30)
    session = accounts.token_session(made.token)
    assert session is not None
    assert (session.name, session.role) == ("vic", "analyst")
    accounts.set_role("vic", "viewer")
    session = accounts.token_session(made.token)
    assert session is not None
    assert session.role == "viewer"
    with pytest.raises(AccountError, match="cannot do more"):
        accounts.make_token("vic", "", "admin", 1)
    (listed,) = accounts.tokens("vic")
    assert listed.used_us > 0
    assert listed.token == ""
    clock.seconds += 31 * 86_400
    assert accounts.token_session(made.token) is None
    assert accounts.tokens() == []


def test_a_token_ends_when_it_is_revoked_or_its_user_goes(accounts: Accounts) -> None:
    accounts.add_user("ann", "correct horse")
    accounts.add_user("vic", "correct horse", "viewer")
    first, second = (accounts.make_token("vic", "", "viewer", 1) for _ in range(2))
    assert not accounts.revoke_token(first.id, "ann")
    assert accounts.revoke_token(first.id, "vic")
    assert accounts.token_session(first.token) is None
    accounts.remove_user("vic")
    assert accounts.token_session(second.token) is None
    assert accounts.token_session("nsm_guess") is None


def test_tokens_are_bounded_and_none_is_in_the_file(
    accounts: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOKENS_MAX", 2)
    accounts.add_user("ann", "correct horse")
    made = [accounts.make_token("ann", "", "viewer", 1) for _ in range(2)]
    with pytest.raises(AccountError, match="too many"):
        accounts.make_token("ann", "", "viewer", 1)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert not any(token.token.encode() in stored for token in made)
