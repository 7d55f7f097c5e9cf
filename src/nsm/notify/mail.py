"""Mail by SMTP (RFC 5321), as plain text and as plain HTML; STARTTLS (RFC 3207) or TLS from the start (RFC 8314)."""

from __future__ import annotations

import contextlib
import html
import smtplib
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from nsm.bounded.deadline import deadline
from nsm.errors import DeliveryError, PartlyDeliveredError
from nsm.model.interfaces import Channel, ChannelSpec
from nsm.model.notice import Attachment, Notice, Part
from nsm.settings.section import Secret

PORTS: Final = {"tls": 465, "starttls": 587, "none": 25}  # RFC 8314, RFC 6409, RFC 5321
BASE64: Final = 4 / 3 * 78 / 76  # RFC 2045, section 6.8: lines of 76 characters
SLOW_BYTES_S: Final = 250_000.0  # ours: 2 Mbit/s, a slow line upwards
SECONDS_MAX: Final = 85.0  # ours: below HANGS_S of run/notice_courier.py
LOCAL: Final = ("localhost", "127.0.0.1", "::1")


class MailSettings(msgspec.Struct, frozen=True):
    """Mail through a server of yours."""

    host: str = ""
    """The mail server; empty: no mail."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    """Its port; 0: the usual one (465 for tls, 587 for starttls, 25 for none)."""
    security: Literal["tls", "starttls", "none"] = "starttls"
    """How the way to the server is protected."""
    user: str = ""
    """Name for the log-in; empty: no log-in."""
    password: Secret = ""
    """Password for the log-in."""
    sender: str = ""
    """The address that mail comes from."""
    to: tuple[str, ...] = ()
    """The addresses that mail goes to."""
    ca_file: str = ""
    """Certificates that are trusted besides the system's; empty: none."""
    severity_min: Literal["", "info", "low", "medium", "high", "critical"] = ""
    """Another least severity for this channel; empty: that of notify."""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 20.0
    """The longest a delivery may take; what is attached has a second more for each 250 kB."""
    attachment_bytes_max: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 5_000_000
    """Larger files are not attached: the mail says where they are. Many servers refuse mails above 10 MB."""

    def __post_init__(self) -> None:
        """ValueError for what cannot be sent, or would show the password on the way."""
        if not self.host:
            return
        if not self.sender or not self.to:
            raise ValueError("sender and to are needed")
        if any("@" not in text or any(bad in text for bad in "\r\n,<> ") for text in (self.sender, *self.to)):
            raise ValueError("sender and to are plain addresses, as in you@example.org")
        if self.user and self.security == "none" and self.host not in LOCAL:
            raise ValueError("security none would show the password to the network: use starttls or tls")


class Mail:
    """One server and its recipients; a connection for each message, since there are few."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    def send(self, notice: Notice) -> None:
        """Deliver to all recipients, or raise DeliveryError (PartlyDeliveredError when some got it).

        What the server says is reduced to its number.
        """
        settings = self._settings
        held: list[smtplib.SMTP] = []
        made = message(notice, settings)
        with _told(settings), deadline(longest(notice, settings), lambda: held[0].sock if held else None):
            server = self._server(held)
            try:
                if settings.security == "starttls":
                    server.starttls(context=self._context())
                if settings.user:
                    server.login(settings.user, settings.password)
                refused = server.send_message(made)
            finally:
                server.close()
        if refused:
            codes = ", ".join(sorted({str(code) for code, _ in refused.values()}))
            raise PartlyDeliveredError(f"mail: {len(refused)} of {len(settings.to)} recipients were refused ({codes})")

    def _server(self, held: list[smtplib.SMTP]) -> smtplib.SMTP:
        settings = self._settings
        port = settings.port or PORTS[settings.security]
        server: smtplib.SMTP
        if settings.security == "tls":
            server = smtplib.SMTP_SSL(timeout=settings.timeout_s, context=self._context())
        else:
            server = smtplib.SMTP(timeout=settings.timeout_s)
        held.append(server)
        server._host = settings.host  # type: ignore[attr-defined]
        server.connect(settings.host, port)
        return server

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._settings.ca_file:
            context.load_verify_locations(self._settings.ca_file)
        return context


@contextlib.contextmanager
def _told(settings: MailSettings) -> Iterator[None]:
    """Errors of the library as DeliveryError; their texts may repeat what we sent, so they are not kept."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise DeliveryError(f"mail: the log-in was refused ({error.smtp_code})", where="notify.mail.user") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = ", ".join(sorted({str(code) for code, _ in error.recipients.values()}))
        raise DeliveryError(f"mail: every recipient was refused ({codes})", where="notify.mail.to") from None
    except smtplib.SMTPNotSupportedError:
        raise DeliveryError(f"mail: the server does not offer {settings.security} or a log-in") from None
    except smtplib.SMTPResponseException as error:
        raise DeliveryError(f"mail: the server answered {error.smtp_code}") from None
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"mail: the certificate is not trusted ({error.verify_message})") from None
    except TimeoutError:
        raise DeliveryError(f"mail: not done within {settings.timeout_s:g} s") from None
    except smtplib.SMTPException as error:
        raise DeliveryError(f"mail: the talk with the server broke off ({type(error).__name__})") from None
    except OSError as error:
        raise DeliveryError(f"mail: {(error.strerror or type(error).__name__).lower()}") from None


def longest(notice: Notice, settings: MailSettings) -> float:
    """Seconds that a delivery may take; below those after which a courier is said to hang."""
    attached = sum(one.size_bytes for one in notice.attachments if one.size_bytes <= settings.attachment_bytes_max)
    return min(SECONDS_MAX, settings.timeout_s + attached * BASE64 / SLOW_BYTES_S)


def message(notice: Notice, settings: MailSettings) -> EmailMessage:
    """The mail; its Message-ID is that of the notice, so a repetition can be told."""
    files, notice = _attached(notice, settings.attachment_bytes_max)
    made = EmailMessage()
    made["Subject"] = f"[nsm {notice.sensor}] {notice.title}"[:200]
    made["From"], made["To"] = settings.sender, ", ".join(settings.to)
    made["Date"] = format_datetime(datetime.fromtimestamp(notice.ts / 1e6, UTC))
    made["Message-ID"] = f"<{notice.id}@{settings.sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer of an absent person comes back
    made.set_content(notice.text)
    made.add_alternative(as_html(notice), subtype="html")
    for one, data in files:
        main, _, sub = one.media.partition("/")
        # Texts of ours are UTF-8; said in the header too, for readers that do not look inside.
        params = {"charset": "utf-8"} if main == "text" else {}
        made.add_attachment(data, maintype=main, subtype=sub, filename=one.name, params=params)
    return made


def _attached(notice: Notice, bytes_max: int) -> tuple[list[tuple[Attachment, bytes]], Notice]:
    """(what is attached with its bytes, the message with a word on what is not): a mail is better than none."""
    files, left_out = list[tuple[Attachment, bytes]](), list[str]()
    for one in notice.attachments:
        try:
            with Path(one.path).open("rb") as stream:
                data = stream.read(bytes_max + 1)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            why = "it is not kept any more" if gone else f"it cannot be read ({error.strerror})"
            left_out.append(f"{one.name} is not attached: {why}")
            continue
        if len(data) > bytes_max:
            left_out.append(f"{one.name} is not attached: it has {one.size_bytes / 1e6:.1f} MB,"
                            f" and notify.mail.attachment_bytes_max allows {bytes_max / 1e6:.1f} MB")  # fmt: skip
        else:
            files.append((one, data))
    if not left_out:
        return files, notice
    return files, msgspec.structs.replace(notice, parts=(*notice.parts, Part("Not attached", tuple(left_out))))


def as_html(notice: Notice) -> str:
    """Headings and lists, everything escaped; no style, no image, nothing that is loaded."""
    blocks = [f"<h2>{html.escape(notice.title)}</h2>"]
    for part in notice.parts:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in part.lines)
        blocks.append(f"<h3>{html.escape(part.heading)}</h3><ul>{lines}</ul>")
    if notice.link:
        blocks.append(f'<p><a href="{html.escape(notice.link)}">{html.escape(notice.link)}</a></p>')
    return f"<!DOCTYPE html><html><body>{''.join(blocks)}</body></html>\n"


def channels(settings: MailSettings) -> Mapping[str, Callable[[], Channel]]:
    """The one server, when it is set."""
    return {"mail": lambda: Mail(settings)} if settings.host else {}


SPEC: Final = ChannelSpec(name="mail", settings=MailSettings, channels=channels)
