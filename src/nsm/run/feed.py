"""The analyst's live feed, as the other processes read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from nsm.run.links import RETRY_S, Splitter


class SocketFeed:
    """The analyst's messages; a lost connection is made again for ever. ``on_connect`` is called each time it is there."""

    def __init__(self, path: str, on_connect: Callable[[], None] = lambda: None) -> None:
        self._path, self._on_connect = path, on_connect

    async def __aiter__(self) -> AsyncIterator[Mapping[str, Any]]:
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            splitter = Splitter()
            self._on_connect()
            try:
                while data := await reader.read(1 << 20):
                    for message in splitter.feed(data):
                        yield message.header["message"]
            except ConnectionError:
                pass
            finally:
                writer.close()
            await asyncio.sleep(RETRY_S)
