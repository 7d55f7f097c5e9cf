"""The store's writer process: takes batches, stores them with their rollups, acknowledges. One per store.

Clients: the analyst sends batches; the supervisor asks for clearing. A batch that is refused (full disk) is not
acknowledged; the sender keeps it and sends it again.
"""

from __future__ import annotations

import logging
import selectors
import socket
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import NsmError
from nsm.model.finding import Alert, NearMiss
from nsm.run.child import begin, on_end
from nsm.run.links import STORE, Splitter, listen, socket_path
from nsm.run.transport import Message, encode
from nsm.store.clear import clear
from nsm.store.records import BatchId, Capsule, Gap, HostSeen, StoredBatch
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer

log = logging.getLogger(__name__)

TOGETHER_MAX: Final = 64  # batches of one transaction
HEALTH_S: Final = 2.0


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.splitter = Splitter()
        self.out = bytearray()

    def send(self, data: bytes) -> None:
        """Send what fits now and keep the rest for ``flush``."""
        self.out += data
        self.flush()

    def flush(self) -> None:
        """Send on; OSError when the other side has gone."""
        try:
            while self.out:
                sent = self.sock.send(self.out)
                del self.out[:sent]
        except BlockingIOError:
            pass


def batch_of(message: Message) -> StoredBatch:
    """The batch of a message of kind ``batch``."""
    header = message.header
    return StoredBatch(
        batch_id=BatchId(*header["batch_id"]),
        tables=tuple(message.tables.values()),
        alerts=tuple(msgspec.convert(item, Alert) for item in header.get("alerts", ())),
        near_misses=tuple(msgspec.convert(item, NearMiss) for item in header.get("near", ())),
        hosts=tuple(msgspec.convert(item, HostSeen) for item in header.get("hosts", ())),
        gaps=tuple(msgspec.convert(item, Gap) for item in header.get("gaps", ())),
        payloads=tuple(msgspec.convert(item, Capsule) for item in header.get("capsules", ())),
        watermark=header.get("watermark", 0),
    )


class StoreWriter:
    """The loop of the writer process."""

    def __init__(self, directory: Path, settings: StoreSettings, runtime: Path) -> None:
        self._directory = directory
        self._writer = Writer(directory, settings)
        self._selector = selectors.DefaultSelector()
        self._listening = listen(socket_path(runtime, STORE))
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._clients: dict[int, Client] = {}
        self._stopping = False
        self._said = 0.0

    def stop(self) -> None:
        """End after the transaction in hand."""
        self._stopping = True

    def run(self) -> None:
        """Serve until stopped."""
        while not self._stopping:
            waiting: list[tuple[Client, Message]] = []
            for key, _ in self._selector.select(timeout=0.5):
                if key.fileobj is self._listening:
                    sock, _ = self._listening.accept()
                    self._clients[sock.fileno()] = Client(sock)
                    self._selector.register(sock, selectors.EVENT_READ)
                else:
                    client = self._clients[key.fd]
                    waiting += [(client, message) for message in self._received(client)]
            self._serve(waiting)
            if time.monotonic() - self._said > HEALTH_S:
                self._said = time.monotonic()
                self._tell(encode("health", {"store": msgspec.to_builtins(self._writer.health())}))
        self._writer.close()

    def _received(self, client: Client) -> list[Message]:
        found: list[Message] = []
        try:
            while data := client.sock.recv(1 << 20):
                found += client.splitter.feed(data)
            self._drop(client)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)
        return found

    def _drop(self, client: Client) -> None:
        if client.sock.fileno() >= 0:
            self._clients.pop(client.sock.fileno(), None)
            self._selector.unregister(client.sock)
            client.sock.close()

    def _send(self, client: Client, data: bytes) -> None:
        try:
            client.send(data)
        except OSError:
            self._drop(client)

    def _tell(self, data: bytes) -> None:
        for client in list(self._clients.values()):
            self._send(client, data)

    def _serve(self, waiting: list[tuple[Client, Message]]) -> None:
        batches = [(client, message) for client, message in waiting if message.kind == "batch"]
        for start in range(0, len(batches), TOGETHER_MAX):
            part = batches[start : start + TOGETHER_MAX]
            kept = self._writer.store([batch_of(message) for _, message in part])
            for client in {id(client): client for client, _ in part}.values():
                mine = [
                    message.header["number"] for (owner, message), done in zip(part, kept, strict=True)
                    if done and owner is client
                ]  # fmt: skip
                if mine:
                    self._send(client, encode("ack", {"numbers": mine}))
        for client, message in waiting:
            if message.kind != "batch":
                self._send(client, encode("done", self._other(message)))

    def _other(self, message: Message) -> dict[str, Any]:
        try:
            if message.kind == "interfaces":
                self._writer.set_interfaces({int(number): name for number, name in message.header["names"].items()})
            elif message.kind == "settings":
                self._writer.note_settings(message.header["hash"], message.header["values"])
            elif message.kind == "clear":
                counts = clear(self._directory, keep_noted=message.header["keep_noted"])
                return {"cleared": msgspec.to_builtins(counts)}
        except NsmError as error:
            return {"error": str(error), "where": error.where, "mend": error.mend}
        return {}


def main() -> None:
    """Entry of the process."""
    task = begin("store")
    settings = msgspec.convert(task["settings"], StoreSettings)
    writer = StoreWriter(Path(task["data"]), settings, Path(task["runtime"]))
    on_end(writer.stop)
    writer.run()


if __name__ == "__main__":
    main()
