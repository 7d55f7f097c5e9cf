"""The runner against servers of our own on loopback: slow, silent, endless, closing at once, behind TLS, many."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.model.scan import PortState, ScannedPort, Service
from nsm.scan import examination, fingerprint
from nsm.scan.fingerprint import PORT_S, TALKS_MAX, all_services, guess, identify, identify_now, known_consents

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HTTP = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nContent-Length: 21\r\n\r\n<title>Hello</title>\r\n"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback answers at once: waiting as for a network would only cost the tests their time."""
    for name, seconds in (("BANNER_S", 0.05), ("ANSWER_S", 0.08), ("OWN_ANSWER_S", 0.15), ("GREETING_S", 0.3)):
        monkeypatch.setattr(examination, name, seconds)
        monkeypatch.setattr(fingerprint, name, seconds)


def found_at(handler: Handler, tls: ssl.SSLContext | None = None, count: int = 1) -> list[Service]:
    """Serve on a free port of loopback and identify it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.transport.abort()

    async def run() -> list[Service]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        asked = ScannedPort(address="127.0.0.1", proto="tcp", port=port, state=PortState.OPEN)
        found = await identify([asked] * count)
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        assert all(item.service is not None for item in found)
        return [item.service for item in found if item.service is not None]

    return asyncio.run(run())


def answering(answers: dict[bytes, bytes]) -> Handler:
    """Answers by the beginning of the first bytes; silent to others."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4_096):
            for start, answer in answers.items():
                if data.startswith(start):
                    writer.write(answer)
                    await writer.drain()

    return handler


def greeting(*lines: bytes, after_s: float = 0.0) -> Handler:
    """Sends the first line by itself and one more for each that comes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(after_s)
        for line in lines:
            writer.write(line)
            await writer.drain()
            if not await reader.read(4_096):
                return
        await reader.read()

    return handler


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's context with a certificate of its own that ends in three days."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "unit.test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=3, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("unit.test")]), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    folder: Path = tmp_path_factory.mktemp("tls")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "pem").write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    return context


def test_a_greeting_is_answered_over_the_same_connection() -> None:
    (found,) = found_at(
        greeting(b"220 h ESMTP Exim 4.96 now\r\n", b"250-h\r\n250-STARTTLS\r\n250 HELP\r\n", b"221 bye\r\n")
    )
    assert (found.name, found.product, found.version, found.how) == ("smtp", "Exim", "4.96", "banner")
    assert found.details["starttls"] == "yes"


def test_a_service_that_waits_to_be_asked_is_asked() -> None:
    (found,) = found_at(answering({b"GET ": HTTP}))
    assert (found.name, found.product, found.version) == ("http", "nginx", "1.22.1")
    assert found.details["title"] == "Hello"


def test_a_greeting_that_comes_late_is_seen_in_the_next_connection() -> None:
    (found,) = found_at(greeting(b"SSH-2.0-OpenSSH_9.2p1\r\n", after_s=0.12))
    assert (found.name, found.product) == ("ssh", "OpenSSH")


def test_behind_tls_the_service_and_the_certificate_are_told(tls: ssl.SSLContext) -> None:
    (found,) = found_at(answering({b"GET ": HTTP}), tls)
    assert (found.name, found.product, found.tls) == ("http", "nginx", True)
    assert found.details["tls_version"] == "TLS 1.3"
    assert found.details["cert_subject"] == "CN=unit.test"
    assert (found.details["cert_names"], found.details["cert_self_signed"]) == ("unit.test", "yes")
    assert [risk.id for risk in found.risks] == ["cert-soon"]


def test_behind_tls_a_greeting_is_heard_too(tls: ssl.SSLContext) -> None:
    (found,) = found_at(greeting(b"* OK Dovecot ready.\r\n", b"* CAPABILITY IMAP4rev1\r\na OK\r\n"), tls)
    assert (found.name, found.product, found.tls) == ("imap", "Dovecot", True)


def test_something_unknown_behind_tls_is_still_tls(tls: ssl.SSLContext) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    (found,) = found_at(silent, tls)
    assert (found.name, found.how) == ("tls", "handshake")
    assert found.details["cert_subject"] == "CN=unit.test"


def test_a_silent_service_is_unknown_after_at_most_six_talks() -> None:
    connections = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read()

    (found,) = found_at(silent)
    assert (found.name, found.how, found.confidence) == ("unknown", "port", 0.0)
    assert connections <= TALKS_MAX


def test_a_service_that_closes_at_once_is_not_asked_on_and_on() -> None:
    connections = 0

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1

    (found,) = found_at(closing)
    assert (found.name, found.details) == ("unknown", {"closes": "without a word"})
    assert connections <= 4


def test_a_service_without_end_is_left_within_the_bounds() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"\x00garbage " * 4_096)
            await writer.drain()

    began = time.monotonic()
    (found,) = found_at(endless)
    assert found.name == "unknown"
    assert found.banner.startswith("\\x00garbage")
    assert time.monotonic() - began < PORT_S


def test_a_service_that_drips_is_left_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "PORT_S", 0.5)

    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"S")
            await asyncio.sleep(0.03)

    began = time.monotonic()
    found_at(dripping)
    assert time.monotonic() - began < 2.0


def test_a_mistake_in_a_talk_costs_that_talk_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(place: Place) -> Talk:
        yield b"x"
        raise ZeroDivisionError

    services = {"bad": ServiceSpec(name="bad", talk=wrong, ports=(1,)), "http": all_services()["http"]}
    monkeypatch.setattr(fingerprint, "all_services", lambda: services)
    (found,) = found_at(answering({b"GET ": HTTP}))
    assert found.name == "http"


def test_many_ports_are_asked_at_once() -> None:
    began = time.monotonic()
    found = found_at(answering({b"GET ": HTTP}), count=60)
    assert {item.name for item in found} == {"http"}
    assert time.monotonic() - began < 5.0


def test_a_datagram_service_is_asked_and_its_port_is_then_open() -> None:
    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: Any = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if data.startswith(b"\0\x01nsm"):
                self.transport.sendto(b"\0\x05\0\x01File not found\0", addr)

    async def run() -> list[ScannedPort]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        services = {"tftp": all_services()["tftp"]}
        asked = ScannedPort(address="127.0.0.1", proto="udp", port=port, state=PortState.OPEN_FILTERED)
        found = await identify([asked], services=services)
        transport.close()
        return found

    (found,) = asyncio.run(run())
    assert found.state == PortState.OPEN
    assert found.service is not None
    assert found.service.name == "tftp"


def test_ports_that_are_not_open_are_left_alone_and_the_order_stays() -> None:
    ports = [ScannedPort(address="127.0.0.1", proto="tcp", port=number, state=PortState.CLOSED) for number in (9, 7, 8)]
    assert identify_now(ports) == ports


def test_an_address_that_is_not_there_gives_a_guess_by_number_that_says_so() -> None:
    port = ScannedPort(address="127.0.0.1", proto="tcp", port=1, state=PortState.OPEN)
    (found,) = identify_now([port])
    assert found.service is not None
    assert (found.service.how, found.service.risks) == ("port", ())


def test_a_guess_by_number_has_low_confidence() -> None:
    assert guess(22) == Service(name="ssh", how="port", confidence=0.2)
    assert guess(53, "udp", all_services()) == Service(name="dns", how="port", confidence=0.1)
    assert guess(443, services=all_services()).name == "http"
    assert guess(54_321) == Service(name="unknown", how="port", confidence=0.0)


@pytest.mark.parametrize("answer", [b"", b'@PJL INFO ID\r\n"Model 7"\r\n', HTTP])
def test_a_raw_printer_port_gets_no_text_that_a_printer_would_print(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []

    class FakeLine:
        closed, heard = False, 0

        async def exchange(self, send: bytes, wait_s: float) -> bytes:
            if send:
                sent.append(send)
                return HTTP if answer == HTTP else answer if send.startswith(b"\x1b%-12345X@PJL") else b""
            return b""

        def close(self) -> None:
            pass

    async def connect(address: str, port: int, wait_s: float) -> FakeLine:
        return FakeLine()

    monkeypatch.setattr(examination, "connect", connect)
    (found,) = identify_now([ScannedPort(address="192.0.2.9", proto="tcp", port=9100, state=PortState.OPEN)])
    assert found.service is not None
    assert sent[0].startswith(b"\x1b%-12345X@PJL")
    if answer == HTTP:
        assert found.service.name == "http"
    else:
        assert len(sent) == 1
        assert found.service.name == "pdl-datastream"


def test_the_consents_are_known_by_their_words() -> None:
    assert known_consents() == {"anonymous", "community", "ics", "run"}
