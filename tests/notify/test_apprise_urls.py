"""The library apprise, against a real server; its addresses are secrets."""

from __future__ import annotations

import logging
import sys

import pytest

from nsm.errors import DeliveryError
from nsm.notify.apprise_urls import AppriseSettings, AppriseUrl, channels
from tests.notify.notices import notice
from tests.notify.receivers import http_receiver, refused_port

# apprise loads a module that Python 3.11 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def test_a_message_arrives() -> None:
    with http_receiver() as hook:
        AppriseUrl(f"json://127.0.0.1:{hook.port}/topic", 5.0).send(notice())
    (told,) = hook.bodies()
    assert (told["title"], told["type"]) == ("High: Port scan", "warning")
    assert "laptop-7 tried 214 ports" in told["message"]


def test_each_address_is_a_channel_named_by_its_service() -> None:
    settings = AppriseSettings(urls="ntfy://a/b\nslack://x/y/z  ntfy://c/d nonsense")
    assert list(channels(settings)) == ["apprise_ntfy", "apprise_slack", "apprise_ntfy_2", "apprise_apprise"]
    assert channels(AppriseSettings()) == {}


@pytest.mark.parametrize("answer", [500, 0])
def test_a_failure_is_told_without_the_address(
    answer: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    with http_receiver(answer) as hook, pytest.raises(DeliveryError, match="did not take the message") as caught:
        AppriseUrl(f"json://user:hunter2@127.0.0.1:{hook.port}/t0ken", 0.4).send(notice())
    with pytest.raises(DeliveryError, match="did not take the message"):
        AppriseUrl(f"json://user:hunter2@127.0.0.1:{refused_port()}/t0ken", 0.4).send(notice())
    said = repr(caught.value) + caplog.text + "".join(capfd.readouterr())
    assert "hunter2" not in said
    assert "t0ken" not in said


def test_an_address_that_it_does_not_know() -> None:
    with pytest.raises(DeliveryError, match="does not know an address like bogus://") as caught:
        AppriseUrl("bogus://hunter2", 1.0).send(notice())
    assert "hunter2" not in repr(caught.value)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(DeliveryError, match="the library apprise is not installed"):
        AppriseUrl("json://127.0.0.1:1/", 1.0).send(notice())
