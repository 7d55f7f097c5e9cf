"""Captures that arrive over HTTP: straight to the disk, bounded in size, time and number, kept only when they are captures.

A refused upload is read to its end and thrown away: a browser does not look at the answer before it has sent everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import BinaryIO, Final

from starlette.requests import ClientDisconnect

from nsm.errors import CaptureError, NsmError, SinkError
from nsm.model.capture_format import HEAD_BYTES, ending_of, seems
from nsm.serve.problems import TooLargeError
from nsm.store.captures import CaptureShelf, Kept, label

AT_ONCE_MAX: Final = 2
WRITE_BYTES: Final = 1 << 20  # gathered before a thread writes them
STALL_S: Final = 30.0  # without a byte
LASTS_S: Final = 6 * 3_600.0


class Uploads:
    """The uploads of one server."""

    def __init__(self, shelf: CaptureShelf) -> None:
        self._shelf = shelf
        self._open = 0

    async def take(self, stream: AsyncIterator[bytes], length: int | None, name: str, who: str) -> Kept:
        """The capture now kept; NsmError when it is too large, no capture, or there is no room.

        ``length``: what the sender says, None where it does not.
        """
        most = self._shelf.settings.upload_bytes_max
        if length is not None and length > most:
            raise TooLargeError(
                f"the file has {length >> 20} MiB; an upload has {most >> 20} MiB at most",
                where="captures.upload_bytes_max", mend="cut it (nsm capture -r FILE --filter ...), or raise the setting",
            )  # fmt: skip
        if self._open >= AT_ONCE_MAX:
            raise CaptureError(f"{AT_ONCE_MAX} uploads are under way", mend="wait until one has ended")
        self._open += 1
        chunks = _timely(stream)
        try:
            return await self._take(chunks, length, name, who)
        except NsmError:
            await _drain(chunks, most)
            raise
        except ClientDisconnect as error:
            raise CaptureError("the upload broke off", mend="try again") from error
        finally:
            self._open -= 1

    async def _take(self, chunks: AsyncIterator[bytes], length: int | None, name: str, who: str) -> Kept:
        shelf = self._shelf
        room = await asyncio.to_thread(shelf.room)
        if length is not None and length > room:
            raise SinkError(f"there is room for {room >> 20} MiB of captures, the file has {length >> 20}",
                            where="captures.total_bytes_max, the disk", mend="remove captures")  # fmt: skip
        number = shelf.new_id()
        path = shelf.upload(number)
        try:
            with path.open("wb") as file:
                form = await _write(chunks, file, min(room, shelf.settings.upload_bytes_max))
            shown = label(name)
            kept = Kept(number, shown, who, int(time.time() * 1e6), form, 0)
            await asyncio.to_thread(shelf.room)  # others may have come meanwhile
            return await asyncio.to_thread(shelf.keep, kept, path)
        except OSError as error:
            raise SinkError(f"cannot keep the upload: {error.strerror}", where=str(shelf.folder)) from error
        finally:
            path.unlink(missing_ok=True)


async def _write(chunks: AsyncIterator[bytes], file: BinaryIO, most: int) -> str:
    """Write everything; the ending for it, known from its first bytes."""
    buffer, form, size = bytearray(), "", 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise TooLargeError(f"the file is larger than {most >> 20} MiB, which is what may be uploaded now")
        buffer += chunk
        if not form and len(buffer) >= HEAD_BYTES:
            form = _form(buffer)
        if len(buffer) >= WRITE_BYTES:
            await asyncio.to_thread(file.write, buffer)
            buffer = bytearray()
    form = form or _form(buffer)
    await asyncio.to_thread(file.write, buffer)
    return form


def _form(buffer: bytearray) -> str:
    head = bytes(buffer[:HEAD_BYTES])
    form = ending_of(head)
    if not form:
        raise CaptureError(f"this is not a capture: {seems(head)}", where="the file",
                           mend="pcap or pcapng, plain or with gzip")  # fmt: skip
    return form


async def _timely(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks; CaptureError when they stop coming."""
    until = time.monotonic() + LASTS_S
    while time.monotonic() < until:
        try:
            async with asyncio.timeout(STALL_S):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise CaptureError(f"nothing came for {STALL_S:.0f} s", mend="try again") from error
        yield chunk
    raise CaptureError(f"the upload took more than {LASTS_S / 3_600:.0f} h")


async def _drain(chunks: AsyncIterator[bytes], most: int) -> None:
    """Read what still comes, up to ``most`` bytes, and throw it away."""
    with contextlib.suppress(NsmError, ClientDisconnect):
        async for chunk in chunks:
            most -= len(chunk)
            if most < 0:
                return
