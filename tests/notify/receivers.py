"""Real receivers on loopback: an HTTP server, a mail server, a collector of logs. Each can behave badly."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec


def certificate(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) for localhost and 127.0.0.1, made by openssl."""
    made, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key),
         "-out", str(made)],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, key


def server_context(pair: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


def refused_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(condition: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


class Hook:
    """What an HTTP receiver got. ``answer``: a status; 0 hangs; -1 sends one byte of a header after the other."""

    def __init__(self, answer: int = 200) -> None:
        self.answer = answer
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.asked = 0
        self.stop = threading.Event()
        self.port = 0

    def bodies(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(body) for _, body in self.got]


@contextlib.contextmanager
def http_receiver(answer: int = 200, pair: tuple[Path, Path] | None = None) -> Iterator[Hook]:
    hook = Hook(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.asked += 1
            if hook.answer == 0:
                hook.stop.wait(60)
                return
            if hook.answer < 0:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                with contextlib.suppress(OSError):
                    while not hook.stop.wait(0.1):
                        self.wfile.write(b"x")
                        self.wfile.flush()
                return
            if hook.answer < 300:
                hook.got.append((dict(self.headers), body))
            self.send_response(hook.answer)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if pair is not None:
        server.socket = server_context(pair).wrap_socket(server.socket, server_side=True)
    hook.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.stop.set()
        server.shutdown()
        thread.join(5)
        server.server_close()


class Mailbox:
    """What a mail server got. ``refuse``: recipients that it does not take; ``hang``: it says nothing at all."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.logins: list[bytes] = []
        self.encrypted: list[bool] = []
        self.refuse: tuple[str, ...] = ()
        self.hang = False
        self.password = b""
        self.port = 0


@contextlib.contextmanager
def _accepting(handle: Any) -> Iterator[int]:
    """A TCP server: ``handle(sock)`` in a thread for each connection; gives its port."""
    stop = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.05)
    open_now: list[socket.socket] = []

    def one(sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, ValueError), sock:
            handle(sock, stop)

    def serve() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                sock, _ = listening.accept()
                sock.settimeout(10)
                open_now.append(sock)
                threading.Thread(target=one, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        stop.set()
        thread.join(5)
        listening.close()
        for sock in open_now:
            with contextlib.suppress(OSError):
                sock.close()


class _MailTalk:
    """One connection to the mail server."""

    def __init__(self, box: Mailbox, sock: socket.socket, pair: tuple[Path, Path] | None) -> None:
        self._box, self._sock, self._pair, self._secure = box, sock, pair, False

    def say(self, text: str) -> None:
        self._sock.sendall(text.encode() + b"\r\n")

    def encrypt(self) -> None:
        assert self._pair is not None
        self._sock = server_context(self._pair).wrap_socket(self._sock, server_side=True)
        self._secure = True

    def hold(self, *, tls: bool) -> None:
        if tls:
            self.encrypt()
        self.say("220 test")
        going = True
        while going:
            with self._sock.makefile("rb", buffering=0) as file:
                line = file.readline()
                going = bool(line) and self.answer(line, file)
        self._sock.close()

    def answer(self, line: bytes, file: Any) -> bool:
        box = self._box
        verb = (line.split() or [b""])[0].upper()
        if verb == b"EHLO":
            self.say("250-test\r\n250-AUTH PLAIN\r\n250 " + ("STARTTLS" if self._pair and not self._secure else "OK"))
        elif verb == b"STARTTLS":
            self.say("220 go on")
            self.encrypt()
        elif verb == b"AUTH":
            given = base64.b64decode(line.split()[2]).split(b"\0")[2]
            box.logins.append(given)
            self.say("235 ok" if given == box.password else f"535 5.7.8 wrong password {given.decode()}")
        elif verb == b"RCPT":
            self.say("550 no such user" if any(name.encode() in line for name in box.refuse) else "250 ok")
        elif verb == b"DATA":
            self.say("354 go on")
            self.take(file)
        else:
            self.say("221 bye" if verb == b"QUIT" else "250 ok")
        return verb != b"QUIT"

    def take(self, file: Any) -> None:
        data = b""
        while (part := file.readline()) != b".\r\n":
            data += part
        made = message_from_bytes(data, policy=policy.default)
        assert isinstance(made, EmailMessage)
        self._box.encrypted.append(self._secure)
        self._box.mails.append(made)
        self.say("250 ok")


@contextlib.contextmanager
def mail_receiver(pair: tuple[Path, Path] | None = None, *, tls: bool = False) -> Iterator[Mailbox]:
    """A server of SMTP; with a certificate it offers STARTTLS, or speaks TLS from the start."""
    box = Mailbox()

    def handle(sock: socket.socket, stop: threading.Event) -> None:
        if box.hang:
            stop.wait(60)
            return
        _MailTalk(box, sock, pair).hold(tls=tls)

    with _accepting(handle) as port:
        box.port = port
        yield box


class Collector:
    """Lines that a collector of logs got."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.raw = b""
        self.port = 0


def octets(data: bytes) -> list[bytes]:
    """The messages of a stream with octet counting (RFC 6587, 3.4.1)."""
    found = []
    while data:
        length, _, data = data.partition(b" ")
        found.append(data[: int(length)])
        data = data[int(length) :]
    return found


@contextlib.contextmanager
def stream_collector(pair: tuple[Path, Path] | None = None) -> Iterator[Collector]:
    """A collector over TCP, over TLS with a certificate."""
    collector = Collector()

    def handle(sock: socket.socket, _stop: threading.Event) -> None:
        data = b""
        with (
            contextlib.suppress(OSError),
            server_context(pair).wrap_socket(sock, server_side=True) if pair else sock as way,
        ):
            while part := way.recv(65_536):
                data += part
        collector.lines += octets(data)

    with _accepting(handle) as port:
        collector.port = port
        yield collector


@contextlib.contextmanager
def datagram_collector() -> Iterator[Collector]:
    """A collector over UDP."""
    collector, stop = Collector(), threading.Event()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.05)
    collector.port = int(sock.getsockname()[1])

    def serve() -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                collector.lines.append(sock.recv(65_536))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        stop.set()
        thread.join(5)
        sock.close()
