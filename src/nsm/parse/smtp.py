"""SMTP: one smtp event and row for each mail, its parts as files. RFC 5321; BDAT RFC 3030, STARTTLS RFC 3207, AUTH RFC 4954.

Texts of mails are not kept: only what their heads say, the names of attachments and addresses of web pages.
Long because commands, answers and mails are one state: which bytes are a mail is decided by the other side.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from nsm.model.protocol import Addr, Conversation, FileSink, Match, ProtocolSpec, Record, Row, Side
from nsm.wire.http_head import text
from nsm.wire.mime import MailFields, MimeReader, Part, Said, addresses, field, unfolded

LINE_BYTES_MAX: Final = 4096  # Suricata's limit of a command line
REPLY_BYTES_MAX: Final = 8192  # ours: of an answer's line
PENDING_MAX: Final = 256  # ours: commands without answer
RCPTS_MAX: Final = 256  # ours: recipients, addresses and attachments that a mail's event lists
URLS_MAX: Final = 256  # ours
URL_BYTES_MAX: Final = 2048  # ours
TEXT_TAIL_BYTES: Final = 2048  # ours: of a text, held to see addresses that a packet's end cuts

COMMAND, WAIT, DATA, BDAT, SECRET, OVERLONG = range(6)
"""What the client's next bytes are: WAIT until the server has answered."""

VERBS: Final = frozenset((
    b"HELO", b"EHLO", b"MAIL", b"RCPT", b"DATA", b"RSET", b"QUIT", b"NOOP", b"VRFY", b"EXPN", b"HELP", b"AUTH", b"BDAT",
    b"STARTTLS", b"LHLO", b"ETRN", b"TURN", b"XCLIENT", b"X-EXPS",
))  # fmt: skip # RFC 5321 section 4.1.1 and the extensions above
QUIET: Final = frozenset((b"QUIT", b"NOOP", b"RSET", b"HELP", b"VRFY", b"EXPN", b"ETRN", b"TURN"))  # begin no mail
CODES: Final = frozenset((
    b"211", b"214", b"220", b"221", b"235", b"250", b"251", b"252", b"334", b"354", b"421", b"432", b"450", b"451", b"452",
    b"454", b"455", b"500", b"501", b"502", b"503", b"504", b"521", b"530", b"534", b"535", b"538", b"550", b"551", b"552",
    b"553", b"554", b"555", b"556",
))  # fmt: skip # RFC 5321 section 4.2.3, RFC 4954 section 6, RFC 7504
SCHEMES: Final = ("http", "https", "ftp", "mailto")  # Suricata's extract-urls-schemes
URL_END: Final = bytes(code for code in range(256) if code <= 32 or code >= 127 or code in b"\"'<>()[]{}|^`\\")
_TO_END: Final = bytes.maketrans(URL_END, b" " * len(URL_END))

# EVE's email fields that ``extended`` adds, by the names in a mail's head.
EXTENDED: Final = (("subject", b"subject"), ("date", b"date"), ("message_id", b"message-id"), ("x_mailer", b"x-mailer"))


class SmtpRecord(Record):
    """The smtp object of EVE."""

    helo: str | None = None
    mail_from: str | None = None
    rcpt_to: list[str] | None = None


class SmtpRow(Row):
    """A line of Zeek's smtp.log. ``from_`` is its ``from``."""

    trans_depth: int
    helo: str | None
    mailfrom: str | None
    rcptto: frozenset[str] | None
    date: str | None
    from_: str | None
    to: frozenset[str] | None
    cc: frozenset[str] | None
    reply_to: str | None
    msg_id: str | None
    in_reply_to: str | None
    subject: str | None
    x_originating_ip: Addr | None
    first_received: str | None
    second_received: str | None
    last_reply: str | None
    path: list[Addr]
    user_agent: str | None
    tls: bool
    fuids: list[str]


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A greeting that says SMTP, or a client's HELO."""
    if side is Side.CLIENT:
        verb = data[:5].upper()
        if verb in {b"EHLO ", b"HELO ", b"LHLO "}:
            return Match.YES
        if port and (data[:4].upper() in {b"EHLO", b"QUIT", b"HELO"}) and data[4:5] in {b"\r", b"\n"}:
            return Match.YES
        return (
            Match.MORE if data and any(word.startswith(verb) for word in (b"EHLO ", b"HELO ", b"QUIT\r")) else Match.NO
        )
    line, end, _ = data[:REPLY_BYTES_MAX].partition(b"\n")
    if line[:4] not in {b"220 ", b"220-"}:
        return Match.MORE if b"220".startswith(line[:3]) and len(line) < 4 and not end else Match.NO
    if port or b"SMTP" in line.upper():
        return Match.YES
    return Match.NO if end or len(line) == REPLY_BYTES_MAX else Match.MORE


class Mail:
    """A transaction: from a greeting or MAIL to the answer to its end."""

    __slots__ = (
        "depth", "files", "name", "names", "number", "rcpts", "reader", "refused", "sender", "sink", "tail", "text", "tls", "ts_us",
        "urls",
    )  # fmt: skip

    def __init__(self, number: int, ts_us: int) -> None:
        self.number, self.ts_us = number, ts_us
        self.sender: str | None = None
        self.rcpts: list[str] = []
        self.reader: MimeReader | None = None
        self.sink: FileSink | None = None
        self.files: list[FileSink] = []
        self.names: list[str] = []
        self.urls: list[str] = []
        self.refused = self.text = self.tls = False
        self.tail = b""
        self.name = ""
        self.depth = 1


class SmtpParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._mode = COMMAND
        self._left = 0
        self._last_chunk = False
        self._pending: deque[tuple[bytes, Mail | None]] = deque()
        self._mail: Mail | None = None
        self._count = 0
        self._depth = 1
        self._entities = 0
        self._helo: str | None = None
        self._greeted = self._heard = self._switched = self._odd_reply = False
        self._last_reply: str | None = None
        self._extended: bool = conv.option("extended", True)
        self._md5: list[str] = conv.option("md5", [])
        self._body_md5 = bool(conv.option("mime.body_md5", False))
        self._schemes = tuple(f"{scheme}:".encode() for scheme in conv.option("mime.extract_urls_schemes", SCHEMES))
        self._with_scheme: bool = conv.option("mime.log_url_scheme", False)
        self._line_start = True

    def feed(self, side: Side, data: bytes) -> int:
        """Commands and mails of the client, answers of the server."""
        at = 0
        while at < len(data) and not self._switched:
            used = self._answer(data, at) if side is Side.SERVER else self._client(data, at)
            if not used:
                break
            at += used
        return at

    def gap(self, side: Side, size: int) -> bool:
        """A mail goes on behind it; of commands the next line is read."""
        if side is Side.CLIENT:
            mail = self._mail
            if self._mode in {DATA, BDAT} and mail is not None and mail.reader is not None:
                self._said(mail, mail.reader.lost())
                self._sink(mail).gap(size)
            if self._mode == BDAT:
                self._left -= size
                if self._left < 0:
                    self._left, self._mode = 0, COMMAND
            elif self._mode != DATA:
                self._mode = OVERLONG
        else:
            self._pending.clear()
            if self._mode == WAIT:
                self._mode = COMMAND
        return True

    def finish(self) -> None:
        """A mail whose end was not seen."""
        done: list[Mail] = [mail for _, mail in self._pending if mail is not None and mail.reader is not None]
        if self._mail is not None and self._mail not in done:
            done.append(self._mail)
        self._pending.clear()
        self._mail = None
        for mail in dict.fromkeys(done):
            self._write(mail, truncated=True)

    # The client.

    def _client(self, data: bytes, at: int) -> int:
        mode = self._mode
        if mode == DATA:
            return self._mail_data(data, at)
        if mode == BDAT:
            piece = data[at : at + self._left]
            self._left -= len(piece)
            self._to_mail(piece)
            if not self._left:
                self._chunk_end()
            return len(piece)
        if mode == WAIT:
            return 0
        end = data.find(b"\n", at)
        if end < 0:
            return self._unended(data, at)
        used = end + 1 - at
        if mode == OVERLONG:
            self._mode = COMMAND
        elif mode == SECRET:
            self._mode = COMMAND
            self._push(b"*", None)
        elif used > LINE_BYTES_MAX:
            self._conv.anomaly("TRUNCATED_LINE", side=Side.CLIENT, tx_id=self._count)
            self._command(data[at : at + LINE_BYTES_MAX])
        else:
            self._command(data[at:end].rstrip(b"\r"))
        return used

    def _unended(self, data: bytes, at: int) -> int:
        """A line without its end: read as it is once it is longer than allowed."""
        if len(data) - at < LINE_BYTES_MAX:
            return 0
        if self._mode == COMMAND:
            self._conv.anomaly("TRUNCATED_LINE", side=Side.CLIENT, tx_id=self._count)
            self._command(data[at : at + LINE_BYTES_MAX])
            if self._mode != COMMAND:
                return LINE_BYTES_MAX
        self._mode = OVERLONG
        return len(data) - at

    def _command(self, line: bytes) -> None:
        verb, _, rest = line.strip(b" \t").partition(b" ")
        verb = verb.strip().upper()
        if verb not in VERBS:
            self._push(b"?", None)
            return
        if self._mail is None and verb not in QUIET:
            self._mail = Mail(self._count, self._conv.ts_us)
            self._count += 1
        mail = self._mail
        if verb == b"RSET":
            self._reset()
        elif mail is not None:
            self._act(mail, verb, rest)
        self._push(verb, self._mail if verb != b"BDAT" or self._last_chunk else None)
        if verb == b"DATA" and not self._heard:
            self._begin_data(mail)
        if verb == b"BDAT" and not self._left:
            self._chunk_end()

    def _act(self, mail: Mail, verb: bytes, rest: bytes) -> None:
        if verb in {b"HELO", b"EHLO", b"LHLO"}:
            self._hello(mail, rest)
        elif verb == b"MAIL":
            self._sender(mail, rest)
        elif verb == b"RCPT":
            if len(mail.rcpts) < RCPTS_MAX:
                mail.rcpts.append(_path(rest))
        elif verb == b"BDAT":
            self._chunk(rest)
        elif verb in {b"DATA", b"STARTTLS"}:
            self._mode = WAIT

    def _hello(self, mail: Mail, rest: bytes) -> None:
        if self._helo is not None:
            self._conv.anomaly("DUPLICATE_FIELDS", side=Side.CLIENT, tx_id=mail.number)
            if mail.sender is not None or mail.rcpts or mail.refused:
                self._reset()
        self._helo = text(rest.strip(b" "))

    def _sender(self, mail: Mail, rest: bytes) -> None:
        if mail.sender is not None:
            self._conv.anomaly("DUPLICATE_FIELDS", side=Side.CLIENT, tx_id=mail.number)
        else:
            mail.sender = _path(rest)

    def _reset(self) -> None:
        """The mail begun so far is given up."""
        mail = self._mail
        if mail is not None and (mail.sender is not None or mail.rcpts or mail.refused):
            self._mail = None
            self._write(mail)

    def _chunk(self, rest: bytes) -> None:
        """BDAT: so many bytes follow. RFC 3030 section 2."""
        words = rest.split()
        if not words or not words[0].isdigit() or len(words[0]) > 18:
            self._conv.anomaly("INVALID_BDAT", side=Side.CLIENT, tx_id=self._count)
            self._last_chunk = False
            return
        self._left, self._last_chunk = int(words[0]), words[-1].upper() == b"LAST"
        if self._mail is not None and self._mail.reader is None:
            self._begin_mail(self._mail)
        if self._left:
            self._mode = BDAT

    def _chunk_end(self) -> None:
        self._mode = COMMAND
        if self._last_chunk and self._mail is not None:
            self._end_mail(self._mail)
            self._mail = None

    def _push(self, verb: bytes, mail: Mail | None) -> None:
        if len(self._pending) < PENDING_MAX:
            self._pending.append((verb, mail))

    # Mails.

    def _begin_data(self, mail: Mail | None) -> None:
        if mail is None:
            self._mode = COMMAND
            return
        self._begin_mail(mail)
        self._mode, self._line_start = DATA, True

    def _begin_mail(self, mail: Mail) -> None:
        mail.reader = MimeReader()
        if self._body_md5:
            mail.reader.digest = hashlib.md5(usedforsecurity=False)

    def _mail_data(self, data: bytes, at: int) -> int:
        """Bytes of a mail up to the line with a single dot, from dots at line starts one taken. RFC 5321 section 4.5.2."""
        if self._line_start and data[at] == 46:
            return self._dot(data, at)
        end = data.find(b"\n.", at)
        if end < 0:
            # A dot may follow in the next packet: only then the line's start matters.
            self._line_start = data[-1] == 10
            self._to_mail(data[at:] if at else data)
            return len(data) - at
        self._line_start = True
        self._to_mail(data[at : end + 1])
        return end + 1 - at

    def _dot(self, data: bytes, at: int) -> int:
        if data.startswith((b".\r\n", b".\n"), at):
            mail, self._mail, self._mode = self._mail, None, COMMAND
            if mail is not None:
                self._end_mail(mail)
                self._push(b".", mail)
            return 3 if data[at + 1] == 13 else 2
        if len(data) - at < 3 and data[at:] in {b".", b".\r"}:
            return 0
        self._line_start = False
        reader = self._mail.reader if self._mail is not None else None
        if reader is not None and reader.digest is not None and reader.fields is not None:
            reader.digest.update(b".")  # Suricata's sum is that of the bytes sent
        return 1

    def _to_mail(self, piece: bytes) -> None:
        mail = self._mail
        if mail is not None and mail.reader is not None:
            self._said(mail, mail.reader.feed(piece))

    def _end_mail(self, mail: Mail) -> None:
        if mail.reader is not None:
            self._said(mail, mail.reader.finish())
            self._entities += mail.reader.entities  # Zeek counts them through the whole session
            self._odd(mail, mail.reader)

    def _odd(self, mail: Mail, reader: MimeReader) -> None:
        for event in sorted(reader.events):
            self._conv.anomaly(event, side=Side.CLIENT, tx_id=mail.number)
        reader.events.clear()

    def _said(self, mail: Mail, said: list[Said]) -> None:
        for what, part, data in said:
            if what == "data":
                self._part_data(mail, data)
            elif what == "part" and part is not None:
                self._part(mail, part)
            else:
                if mail.text and mail.tail:
                    self._urls(mail, mail.tail)
                mail.tail = b""
                if mail.sink is not None:
                    mail.sink.close()
                    mail.sink = None

    def _part(self, mail: Mail, part: Part) -> None:
        name = text(part.name)
        if name and len(mail.names) < RCPTS_MAX:
            mail.names.append(name)
        mail.text = part.type in {b"", b"text/plain", b"text/html"}
        mail.sink = None
        mail.name, mail.depth = name, self._entities + part.depth

    def _part_data(self, mail: Mail, data: bytes) -> None:
        sink = self._sink(mail)
        if sink.wanted:
            sink.data(data)
        else:
            sink.passed(len(data))
        if mail.text and len(mail.urls) < URLS_MAX:
            self._text(mail, data)

    def _sink(self, mail: Mail) -> FileSink:
        if mail.sink is None:
            mail.sink = self._conv.file(
                Side.CLIENT,
                source="SMTP",
                filename=mail.name,
                tx_id=mail.number,
                attached=partial(self._objects, mail),
                depth=mail.depth,
            )
            if len(mail.files) < RCPTS_MAX:
                mail.files.append(mail.sink)
        return mail.sink

    def _text(self, mail: Mail, data: bytes) -> None:
        """Addresses in a text; what may be the beginning of one is held."""
        data = mail.tail + data
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > TEXT_TAIL_BYTES:
            cut = len(data)
        mail.tail = data[cut:]
        self._urls(mail, data[:cut])

    def _urls(self, mail: Mail, data: bytes) -> None:
        lower = data.lower()
        for scheme in self._schemes:
            at = lower.find(scheme)
            while at >= 0 and len(mail.urls) < URLS_MAX:
                url = data[at : at + URL_BYTES_MAX].translate(_TO_END).partition(b" ")[0]
                body = url[len(scheme) :].removeprefix(b"//")
                if body and (scheme == b"mailto:" or url[len(scheme) :].startswith(b"//")):
                    found = text(url if self._with_scheme else body).lower()
                    if found not in mail.urls:
                        mail.urls.append(found)
                at = lower.find(scheme, at + len(scheme))

    # The server.

    def _answer(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at)
        if end < 0:
            return 0 if len(data) - at <= REPLY_BYTES_MAX else len(data) - at
        line = data[at:end].rstrip(b"\r")
        if line:
            self._answer_line(line)
        return end + 1 - at

    def _answer_line(self, line: bytes) -> None:
        code = line[:3]
        if code not in CODES:
            if not self._odd_reply:
                self._odd_reply = True
                self._conv.anomaly("INVALID_REPLY", side=Side.SERVER, tx_id=self._count)
            if not code.isdigit() or len(code) < 3:
                return
        self._heard = True
        if line[3:4] == b"-":
            return
        number = int(code)
        self._last_reply = text(line)
        greeting = not self._greeted
        self._greeted = True
        if greeting and (number == 220 or number >= 400) and (not self._pending or self._pending[0][0] != b"STARTTLS"):
            return
        if not self._pending:
            self._conv.anomaly("UNABLE_TO_MATCH_REPLY_WITH_REQUEST", side=Side.SERVER, tx_id=self._count)
            return
        verb, mail = self._pending.popleft()
        if number == 354 and verb != b"DATA" and any(name == b"DATA" for name, _ in self._pending):
            while verb != b"DATA":  # answers before it were not seen
                verb, mail = self._pending.popleft()
        self._answered(verb, mail, number)

    def _answered(self, verb: bytes, mail: Mail | None, code: int) -> None:
        if verb == b"DATA":
            if code == 354:
                if self._mode == WAIT:
                    self._begin_data(mail)
                return
            if mail is not None and mail.reader is None:
                self._conv.anomaly("DATA_COMMAND_REJECTED", side=Side.SERVER, tx_id=mail.number)
                mail.refused = True
            self._resume()
        elif verb == b"STARTTLS":
            if code != 220:
                self._conv.anomaly("TLS_REJECTED", side=Side.SERVER, tx_id=self._count)
                self._resume()
                return
            if mail is not None:
                mail.tls = True
                self._mail = None
                self._write(mail)
            self._switched = True
            self._conv.switch("tls")
        elif verb in {b".", b"BDAT"} and mail is not None:
            self._write(mail, delivered=code < 300)
        elif code == 334:
            self._mode = SECRET

    def _resume(self) -> None:
        if self._mode == WAIT:
            self._mode = COMMAND

    # What is said.

    def _objects(self, mail: Mail) -> Mapping[str, Any]:
        objects: dict[str, Any] = {
            "smtp": SmtpRecord(helo=self._helo, mail_from=mail.sender, rcpt_to=mail.rcpts or None)
        }
        if mail.reader is not None:
            objects["email"] = self._email(mail, mail.reader)
        return objects

    def _email(self, mail: Mail, reader: MimeReader) -> dict[str, Any]:
        """The email object: a dictionary, since ``from`` is a word of Python."""
        fields = reader.fields
        found: dict[str, Any] = {
            "status": "BODY_STARTED" if mail.sink is not None or self._mode == DATA else "PARSE_DONE"
        }
        if fields is None:
            return found
        sender = field(fields, b"from")
        if sender:
            found["from"] = text(sender)
        for name, key in (("to", b"to"), ("cc", b"cc")):
            value = field(fields, key)
            if value:
                found[name] = [text(part) for part in addresses(value)[:RCPTS_MAX]]
        if self._extended:
            _extend(found, fields)
        if mail.names:
            found["attachment"] = list(mail.names)
        if mail.urls:
            found["url"] = list(mail.urls)
        if "subject" in self._md5:
            found["subject_md5"] = hashlib.md5(field(fields, b"subject"), usedforsecurity=False).hexdigest()
        if reader.digest is not None and found["status"] == "PARSE_DONE":
            found["body_md5"] = reader.digest.hexdigest()
        return found

    def _write(self, mail: Mail, truncated: bool = False, delivered: bool = False) -> None:
        """The event and the row."""
        conv = self._conv
        if mail.sink is not None:
            mail.sink.close(truncated)
            mail.sink = None
        if mail.reader is not None:
            self._odd(mail, mail.reader)
        if truncated and self._mode == DATA:
            self._mode = COMMAND
        if conv.wants("smtp"):
            conv.emit("smtp", self._objects(mail), tx_id=mail.number)
        if conv.rows:
            conv.row(self._row(mail), mail.ts_us)
        if delivered:
            self._depth += 1

    def _row(self, mail: Mail) -> SmtpRow:
        fields: MailFields = (mail.reader.fields if mail.reader is not None else None) or []
        received = [value.replace(b"\n", b"") for key, value in fields if key == b"received"]
        source = _address(field(fields, b"x-originating-ip").strip(b"[] "))
        return SmtpRow(
            trans_depth=self._depth, helo=self._helo, mailfrom=_bare(mail.sender),
            rcptto=frozenset(filter(None, map(_bare, mail.rcpts))) or None,
            date=_said_of(fields, b"date"), from_=_said_of(fields, b"from"),
            to=_set_of(fields, b"to"), cc=_set_of(fields, b"cc"), reply_to=_said_of(fields, b"reply-to"),
            msg_id=_said_of(fields, b"message-id"), in_reply_to=_said_of(fields, b"in-reply-to"),
            subject=_said_of(fields, b"subject"), x_originating_ip=Addr(source) if source else None,
            first_received=text(received[-1]) if received else None,
            second_received=text(received[-2]) if len(received) > 1 else None,
            last_reply=self._last_reply, path=_route(self._conv, received),
            user_agent=_said_of(fields, b"user-agent") or _said_of(fields, b"x-mailer"),
            tls=mail.tls, fuids=[file.fuid for file in mail.files if file.fuid],
        )  # fmt: skip


def _extend(found: dict[str, Any], fields: MailFields) -> None:
    for name, key in EXTENDED:
        value = field(fields, key)
        if value:
            found[name] = text(value)
    received = [text(unfolded(value)) for key, value in fields if key == b"received"]
    if received:
        found["received"] = received[:RCPTS_MAX]


def _path(rest: bytes) -> str:
    """The path of ``FROM:<a@b> SIZE=1``, brackets kept."""
    value = rest.partition(b":")[2].strip()
    if value[:1] == b"<":
        end = value.find(b">")
        return text(value[: end + 1] if end >= 0 else value)
    return text(value.partition(b" ")[0])


def _bare(path: str | None) -> str | None:
    if path is None:
        return None
    return path.removeprefix("<").removesuffix(">")


def _raw(fields: MailFields, name: bytes) -> bytes:
    """A field as Zeek unfolds it: without the line end, with the spaces behind it."""
    for key, value in fields:
        if key == name:
            return value.replace(b"\n", b"")
    return b""


def _said_of(fields: MailFields, name: bytes) -> str | None:
    value = _raw(fields, name)
    return text(value) if value else None


def _set_of(fields: MailFields, name: bytes) -> frozenset[str] | None:
    value = _raw(fields, name)
    return frozenset(text(part) for part in addresses(value)[:RCPTS_MAX]) if value else None


def _address(value: bytes) -> str:
    """An IP address as text, "" for what is none."""
    try:
        return str(ip_address(value.decode("ascii").removeprefix("IPv6:")))
    except (ValueError, UnicodeDecodeError):
        return ""


def _route(conv: Conversation, received: list[bytes]) -> list[Addr]:
    """The way of a mail, the newest first: this flow's two ends, then who is said to have handed it on."""
    path = [Addr(conv.server), Addr(conv.client)]
    for value in received[:RCPTS_MAX]:
        origin = value.partition(b" by ")[0]
        start = origin.rfind(b"[")
        end = origin.find(b"]", start)
        found = _address(origin[start + 1 : end]) if 0 <= start < end else ""
        if found and found != path[-1]:
            path.append(Addr(found))
    return path


SPEC: Final = ProtocolSpec(
    name="smtp", transports=("tcp",), ports=(25, 465, 587, 2525), probe=probe, parser=SmtpParser, service="smtp",
    kinds=("smtp", "fileinfo"), weight=5,
)  # fmt: skip
