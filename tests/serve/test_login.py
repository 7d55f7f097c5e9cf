"""First visit, log-in, wrong tries, log-out."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from nsm.errors import AuthError, ServiceError, SettingsError
from nsm.serve.auth import Gate, Throttle
from nsm.serve.problems import TooManyError
from nsm.serve.settings import ServeSettings, bind, listen_address, login_address, page_address
from tests.serve.kit import PASSWORD, backend, running


class Clock:
    """A clock turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_one_time_link_sets_the_password_once_and_a_short_one_does_not_cost_it(tmp_path: Path) -> None:
    with (
        backend(tmp_path) as service,
        running(service) as live,
        httpx.Client(base_url=live.url, trust_env=False) as client,
    ):
        token = service.accounts.make_login_link("admin")
        assert client.post("/api/v1/link", json={"token": token}).json() == {"name": "admin"}
        assert client.post("/api/v1/link", json={"token": token, "password": "short"}).status_code == 400
        made = client.post("/api/v1/link", json={"token": token, "password": PASSWORD})
        assert made.json()["role"] == "admin"
        cookie = made.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.post("/api/v1/link", json={"token": token, "password": "another one"}).status_code == 401
        assert client.get("/api/v1/alerts").status_code == 200
        assert client.post("/api/v1/login", json={"password": PASSWORD}).status_code == 200


def test_wrong_tries_have_to_wait_longer_and_longer_and_other_addresses_do_not() -> None:
    clock = Clock()
    throttle = Throttle(ServeSettings(tries_free=5, wait_max_s=60), clock)
    for _ in range(5):
        throttle.check("a")
        throttle.wrong("a")
    with pytest.raises(TooManyError) as first:
        throttle.check("a")
    throttle.check("b")
    clock.now += first.value.wait_s
    throttle.check("a")
    for _ in range(20):
        throttle.wrong("a")
    with pytest.raises(TooManyError) as later:
        throttle.check("a")
    assert first.value.wait_s < later.value.wait_s <= 61
    throttle.right("a")
    throttle.check("a")


def test_remembered_addresses_are_bounded() -> None:
    throttle = Throttle(ServeSettings(), Clock())
    for number in range(5_000):
        throttle.wrong(str(number))
    assert len(throttle._wrong) == 4_096


def test_the_sixth_wrong_try_is_told_to_wait_even_with_the_right_password(tmp_path: Path) -> None:
    with backend(tmp_path) as service:
        service.accounts.add_user("admin", PASSWORD)
        gate = Gate(service.accounts, ServeSettings(), Throttle(ServeSettings(), Clock()))
        for _ in range(5):
            with pytest.raises(AuthError):
                gate.log_in("admin", "wrong wrong", "a")
        with pytest.raises(TooManyError):
            gate.log_in("admin", PASSWORD, "a")
        assert gate.log_in("admin", PASSWORD, "b").name == "admin"


def test_log_out_ends_the_session_on_the_server(tmp_path: Path) -> None:
    with (
        backend(tmp_path) as service,
        running(service) as live,
        httpx.Client(base_url=live.url, trust_env=False) as client,
    ):
        service.accounts.add_user("admin", PASSWORD)
        told = client.post("/api/v1/login", json={"password": PASSWORD}).json()
        kept = dict(client.cookies)
        assert client.post("/api/v1/logout", headers={"X-CSRF-Token": told["csrf"]}).status_code == 200
        assert httpx.get(f"{live.url}/api/v1/alerts", cookies=kept, trust_env=False).status_code == 401
        assert client.get("/api/v1/me").json()["name"] is None


def test_a_port_in_use_is_one_line_with_a_way_out() -> None:
    taken = bind(ServeSettings(listen="127.0.0.1:0"))
    port = taken.getsockname()[1]
    with pytest.raises(
        ServiceError, match=f"cannot serve the page on 127.0.0.1:{port}: Address already in use"
    ) as told:
        bind(ServeSettings(listen=f"127.0.0.1:{port}"))
    taken.close()
    assert f"--listen 127.0.0.1:{port + 1}" in told.value.mend


def test_no_answer_waits_for_an_acknowledgement() -> None:
    bound = bind(ServeSettings(listen="127.0.0.1:0"))
    assert bound.proto == socket.IPPROTO_TCP  # what asyncio asks before it sets TCP_NODELAY
    bound.close()


@pytest.mark.parametrize("listen", ["", "8052", "127.0.0.1:99999", "example.org:80", "127.0.0.1:x", "[::1:80:"])
def test_a_bad_address_to_listen_on_is_an_error_of_the_settings(listen: str) -> None:
    with pytest.raises(SettingsError):
        listen_address(ServeSettings(listen=listen))


def test_addresses_that_people_can_open() -> None:
    assert page_address(ServeSettings(listen="0.0.0.0:8052")) == "http://127.0.0.1:8052/"
    assert page_address(ServeSettings(listen="[::]:80", https=True)) == "https://[::1]:80/"
    assert login_address(ServeSettings(), "t0k") == "http://127.0.0.1:8052/login#link=t0k"
