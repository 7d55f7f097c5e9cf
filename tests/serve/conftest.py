"""A running server over a real store, and ways to ask it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from nsm.model.finding import Severity
from tests.serve.kit import PASSWORD, Service, backend, make_alert, make_flows, running

FORMULA = "=cmd|' /C calc'!A0"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """500 flows and three alerts of the last half hour."""
    now = time.time()
    with backend(tmp_path_factory.mktemp("store")) as made:
        made.accounts.add_user("admin", PASSWORD)
        made.accounts.add_user("looker", PASSWORD, "viewer")
        made.store.add(
            make_flows([now - 1800 + i for i in range(400)]), make_flows([now - 900 + i for i in range(100)], "dns"),
            alerts=[
                make_alert(1, now - 60),
                make_alert(2, now - 120, severity=Severity.MEDIUM, kind="flood", signature="SYN flood"),
                make_alert(3, now - 180, severity=Severity.LOW, kind="external_connection", signature=FORMULA),
            ],
        )  # fmt: skip
        with running(made, tries_free=1000) as live:
            yield live


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """A client that is logged in and sends the CSRF header."""
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        told = client.post("/api/v1/login", json={"name": "admin", "password": PASSWORD}).json()
        client.headers["X-CSRF-Token"] = told["csrf"]
        yield client


def cookie_of(client: httpx.Client) -> str:
    """The Cookie header of a client, for a socket."""
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())
