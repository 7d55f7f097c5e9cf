"""Mail, against a real server of SMTP."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nsm.errors import DeliveryError, PartlyDeliveredError
from nsm.model.notice import Attachment
from nsm.notify.mail import SPEC, Mail, MailSettings, longest
from nsm.run.notice_courier import HANGS_S
from tests.notify.notices import HOSTILE, alert, notice
from tests.notify.receivers import Mailbox, mail_receiver, refused_port


def settings(box: Mailbox, **more: Any) -> MailSettings:
    values: dict[str, Any] = {"host": "localhost", "port": box.port, "sender": "nsm@example.org", "security": "none"}
    return MailSettings(**{**values, "to": ("ann@example.org", "bob@example.org"), **more})


def test_a_mail_has_plain_text_and_plain_html() -> None:
    with mail_receiver() as box:
        Mail(settings(box)).send(notice())
    (mail,) = box.mails
    assert mail["Subject"] == "[nsm sensor-1] High: Port scan"
    assert mail["To"] == "ann@example.org, bob@example.org"
    assert mail["Message-ID"] == "<n1@example.org>"
    plain, rich = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert rich is not None
    for body in (plain.get_content(), rich.get_content()):
        assert "laptop-7 tried 214 ports on nas." in body
        assert "Ask the owner." in body


def test_files_are_attached_and_what_is_too_large_or_gone_is_said(tmp_path: Path) -> None:
    files = []
    for name, media, size in (
        ("a.pdf", "application/pdf", 1_000),
        ("b.html", "text/html", 1_001),
        ("c.pdf", "application/pdf", 5),
    ):
        path = tmp_path / name
        path.write_bytes(b"x" * size)
        files.append(Attachment(name, media, str(path), size))
    (tmp_path / "c.pdf").unlink()
    files.append(Attachment("d.pdf", "application/pdf", str(tmp_path), 5))
    with mail_receiver() as box:
        chosen = settings(box, attachment_bytes_max=1_000)
        Mail(chosen).send(msgspec.structs.replace(notice(), attachments=tuple(files)))
    (mail,) = box.mails
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("a.pdf", "application/pdf")
    assert attached.get_content() == b"x" * 1_000
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert "b.html is not attached: it has 0.0 MB" in plain.get_content()
    assert "c.pdf is not attached: it is not kept any more" in plain.get_content()
    assert "d.pdf is not attached: it cannot be read (Is a directory)" in plain.get_content()


def test_a_large_file_has_longer_but_never_so_long_that_the_channel_seems_to_hang() -> None:
    chosen = MailSettings(attachment_bytes_max=10_000_000, timeout_s=20)
    sizes = (0, 1_000_000, 10_000_000, 10_000_001)
    seconds = [longest(msgspec.structs.replace(notice(), attachments=(Attachment("a", "text/html", "a", size),)), chosen)
               for size in sizes]  # fmt: skip
    assert seconds[0] == seconds[3] == 20
    assert 25 < seconds[1] < 26
    assert seconds[2] < HANGS_S


def test_what_strangers_name_stays_text() -> None:
    with mail_receiver() as box:
        Mail(settings(box)).send(notice(alert(signature=HOSTILE), alert(2, signature=HOSTILE)))
    (mail,) = box.mails
    assert mail["Bcc"] is None
    rich = mail.get_body(("html",))
    assert rich is not None
    assert "<script" not in rich.get_content()
    assert "\x1b" not in rich.get_content()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_the_way_is_encrypted_and_the_certificate_checked(pair: tuple[Path, Path], security: str) -> None:
    with mail_receiver(pair, tls=security == "tls") as box:
        box.password = b"hunter2"
        chosen = settings(box, security=security, user="ann", password="hunter2")  # noqa: S106  of tests
        with pytest.raises(DeliveryError, match="the certificate is not trusted"):
            Mail(chosen).send(notice())
        assert box.logins == []
        Mail(settings(box, security=security, user="ann", password="hunter2", ca_file=str(pair[0]))).send(notice())  # noqa: S106  of tests
        assert (box.encrypted, box.logins) == ([True], [b"hunter2"])


def test_a_server_without_encryption_gets_nothing() -> None:
    with mail_receiver() as box:
        with pytest.raises(DeliveryError, match="does not offer starttls"):
            Mail(settings(box, security="starttls")).send(notice())
        assert box.mails == []


def test_a_refused_log_in_is_told_without_the_password() -> None:
    with mail_receiver() as box, pytest.raises(DeliveryError, match=r"log-in was refused \(535\)") as caught:
        Mail(settings(box, user="ann", password="hunter2")).send(notice())  # noqa: S106  of tests
    assert "hunter2" not in repr(caught.value)


def test_recipients_that_are_refused(pair: tuple[Path, Path]) -> None:
    with mail_receiver() as box:
        box.refuse = ("bob",)
        with pytest.raises(PartlyDeliveredError, match=r"1 of 2 recipients were refused \(550\)"):
            Mail(settings(box)).send(notice())
        assert len(box.mails) == 1
        box.refuse = ("bob", "ann")
        with pytest.raises(DeliveryError, match="every recipient") as caught:
            Mail(settings(box)).send(notice())
        assert not isinstance(caught.value, PartlyDeliveredError)


def test_one_that_hangs_and_one_that_refuses() -> None:
    with mail_receiver() as box:
        box.hang = True
        began = time.monotonic()
        with pytest.raises(DeliveryError, match="not done within"):
            Mail(settings(box, timeout_s=0.5)).send(notice())
        assert time.monotonic() - began < 1.5
        box.port = refused_port()
        with pytest.raises(DeliveryError, match="connection refused"):
            Mail(settings(box)).send(notice())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sender": "a@b"}, "sender and to are needed"),
        ({"sender": "a@b\nBcc: c@d", "to": ("a@b",)}, "plain addresses"),
        ({"sender": "a@b", "to": ("a@b",), "user": "a", "security": "none"}, "show the password"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MailSettings(host="mail.example.org", **values)


def test_without_a_server_there_is_no_channel() -> None:
    assert SPEC.channels(MailSettings()) == {}
