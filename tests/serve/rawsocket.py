"""A Socket.IO 4 client of few lines over a WebSocket: it acknowledges nothing and reads when told, as tests need it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

OPEN, CLOSE, PING, PONG, MESSAGE = "0", "1", "2", "3", "4"  # Engine.IO 4 packets
CONNECT, EVENT, ACK, REFUSED = "0", "2", "3", "4"  # Socket.IO 5 packets


class RawClient:
    """One connection; events come in order from ``events``."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._asked = 0
        self._waiting: list[tuple[str, Any]] = []
        self.refused: Any = None

    def connect(self, auth: Any = None) -> bool:
        """Connect the namespace; False when the server refuses, with the reason in ``refused``."""
        self._connection.send(MESSAGE + CONNECT + ("" if auth is None else json.dumps(auth)))
        while True:
            text = self._text(5)
            if text.startswith(MESSAGE + CONNECT):
                return True
            if text.startswith(MESSAGE + REFUSED):
                self.refused = json.loads(text[2:])
                return False

    def emit(self, event: str, *data: Any) -> None:
        """Send an event and wait for nothing."""
        self._connection.send(MESSAGE + EVENT + json.dumps([event, *data]))

    def ask(self, event: str, *data: Any) -> Any:
        """Send an event and give its acknowledgement."""
        self._asked += 1
        self._connection.send(f"{MESSAGE}{EVENT}{self._asked}{json.dumps([event, *data])}")
        mark = f"{MESSAGE}{ACK}{self._asked}"
        while True:
            text = self._text(5)
            if text.startswith(mark):
                found = json.loads(text[len(mark) :])
                return found[0] if found else None
            self._keep(text)

    def next(self, *wanted: str, timeout: float = 5) -> Any:
        """The data of the next event with one of these names; others before it are dropped."""
        while True:
            while self._waiting:
                name, data = self._waiting.pop(0)
                if name in wanted:
                    return data
            self._keep(self._text(timeout))

    def drain(self, seconds: float) -> list[tuple[str, Any]]:
        """Every event that comes until nothing came for so long, or the server closed."""
        out = self._waiting
        self._waiting = []
        try:
            while True:
                self._keep(self._text(seconds))
        except (TimeoutError, ConnectionClosed):
            out += self._waiting
            self._waiting = []
        return out

    def _keep(self, text: str) -> None:
        if text.startswith(MESSAGE + EVENT):
            name, *data = json.loads(text[2:])
            self._waiting.append((name, data[0] if data else None))

    def _text(self, timeout: float) -> str:
        while True:
            text = str(self._connection.recv(timeout=timeout))
            if text != PING:
                return text
            self._connection.send(PONG)


@contextmanager
def raw_client(url: str, cookie: str, origin: str | None = None) -> Iterator[RawClient]:
    """An open connection, not yet connected to the namespace."""
    address = url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    headers = {"Cookie": cookie} if cookie else {}
    with connect(address, additional_headers=headers, origin=origin, max_size=1 << 26, proxy=None) as connection:  # type: ignore[arg-type]
        connection.recv(timeout=5)
        yield RawClient(connection)
