"""The webhook, against a real server."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nsm.errors import DeliveryError
from nsm.notify.webhook import SPEC, Webhook, WebhookSettings, signature
from tests.notify.notices import NOW, notice
from tests.notify.receivers import http_receiver, refused_port

TOKEN = "hunter2-in-the-path"  # noqa: S105  of tests alone


def settings(port: int, **more: object) -> WebhookSettings:
    return WebhookSettings(url=f"http://127.0.0.1:{port}/hook/{TOKEN}?x=1", **more)  # type: ignore[arg-type]


def test_a_message_arrives_signed() -> None:
    with http_receiver() as hook:
        chosen = settings(hook.port, secret="s3cret", authorization="Bearer abc")  # noqa: S106  of tests
        Webhook(chosen, clock=lambda: NOW).send(notice())
    ((headers, body),) = hook.got
    assert headers["X-Nsm-Signature"] == signature("s3cret", str(int(NOW)), body)
    assert headers["X-Nsm-Signature"] != signature("s3cret", str(int(NOW) + 1), body)
    assert (headers["X-Nsm-Notice"], headers["Authorization"]) == ("n1", "Bearer abc")
    told = hook.bodies()[0]
    assert (told["kind"], told["severity"], told["alerts"][0]["id"]) == ("alert", "high", "A1")
    assert "laptop-7 tried 214 ports" in told["text"]


def test_over_tls_the_certificate_is_checked(pair: tuple[Path, Path]) -> None:
    with http_receiver(pair=pair) as hook:
        url = f"https://localhost:{hook.port}/"
        with pytest.raises(DeliveryError, match="the certificate is not trusted"):
            Webhook(WebhookSettings(url=url)).send(notice())
        Webhook(WebhookSettings(url=url, ca_file=str(pair[0]))).send(notice())
        assert len(hook.got) == 1


@pytest.mark.parametrize(("answer", "said"), [(500, "answered 500"), (302, "answered 302"), (404, "answered 404")])
def test_what_is_no_success_is_a_failure_and_redirections_are_not_followed(answer: int, said: str) -> None:
    with http_receiver(answer) as hook, pytest.raises(DeliveryError, match=said) as caught:
        Webhook(settings(hook.port)).send(notice())
    assert TOKEN not in str(caught.value) + caught.value.where + caught.value.mend
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("answer", [0, -1])
def test_one_that_hangs_or_drips_is_left_after_its_time(answer: int) -> None:
    with http_receiver(answer) as hook:
        began = time.monotonic()
        with pytest.raises(DeliveryError, match="no answer within"):
            Webhook(settings(hook.port, timeout_s=0.5)).send(notice())
        assert time.monotonic() - began < 1.5


def test_a_refusal_is_told_without_the_address() -> None:
    with pytest.raises(DeliveryError, match="connection refused") as caught:
        Webhook(settings(refused_port())).send(notice())
    assert TOKEN not in repr(caught.value)


@pytest.mark.parametrize("url", ["ftp://host/", "nonsense", "http://", "http://host:99999/"])
def test_an_address_that_is_none_is_refused_without_saying_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"address|Port") as caught:
        WebhookSettings(url=url)
    assert "host" not in str(caught.value)


def test_without_an_address_there_is_no_channel() -> None:
    assert SPEC.channels(WebhookSettings()) == {}
    assert list(SPEC.channels(settings(1))) == ["webhook"]
