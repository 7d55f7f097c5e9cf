"""The web server process: gives nsm.serve its feed and its control over the service's Unix sockets, and runs uvicorn."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from nsm.errors import ServiceError
from nsm.run.child import begin
from nsm.run.control import NOTIFY_S, TIMEOUT_S, answer_of
from nsm.run.feed import SocketFeed
from nsm.run.links import CONTROL, LIVE, Splitter, socket_path
from nsm.run.transport import encode
from nsm.serve.app import create_app
from nsm.serve.settings import ServeSettings
from nsm.store.accounts import Accounts
from nsm.store.captures import CapturesSettings
from nsm.store.reader import Reader

log = logging.getLogger(__name__)


class SocketControl:
    """Commands to the supervisor, one connection each."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def _ask(self, kind: str, timeout_s: float = TIMEOUT_S, /, **header: Any) -> dict[str, Any]:
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    writer.write(encode(kind, header))
                    splitter = Splitter()
                    while data := await reader.read(1 << 20):
                        for message in splitter.feed(data):
                            return answer_of(message.header)
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise ServiceError("the service does not answer", where="control socket", mend="nsm status") from error
        raise ServiceError("the service did not answer", where="control socket", mend="nsm status")

    async def interfaces(self) -> list[dict[str, Any]]:
        """Interfaces of the machine, busiest first."""
        found: list[dict[str, Any]] = (await self._ask("state"))["interfaces"]
        return found

    async def state(self) -> dict[str, Any]:
        """The state of the capture."""
        return await self._ask("state")

    async def start(
        self, iface: str | None, bpf: str | None = None, snaplen: int | None = None, ring_bytes: int | None = None
    ) -> dict[str, Any]:
        """Start the capture."""
        return await self._ask("start", iface=iface, bpf=bpf, snaplen=snaplen, ring_bytes=ring_bytes)

    async def stop(self) -> dict[str, Any]:
        """Stop the capture."""
        return await self._ask("stop")

    async def clear_logs(self, keep_noted: bool = True) -> dict[str, int]:
        """Delete what is stored."""
        cleared: dict[str, int] = (await self._ask("clear", keep_noted=keep_noted))["cleared"]
        return cleared

    async def health(self) -> dict[str, Any]:
        """Processes and queues."""
        return await self._ask("health")

    async def job(self, kind: str, name: str, task: dict[str, Any], who: str) -> int:
        """Start a job."""
        number: int = (await self._ask("job_start", job=kind, name=name, task=task, who=who))["id"]
        return number

    async def settings(self) -> dict[str, Any]:
        """Every setting by section."""
        return await self._ask("settings")

    async def change_setting(self, key: str, value: Any) -> dict[str, Any]:
        """Change a setting."""
        return await self._ask("setting", key=key, value=value)

    async def notify(self) -> dict[str, Any]:
        """Channels of messages."""
        return await self._ask("notify")

    async def test_channel(self, name: str) -> None:
        """Send a test message."""
        await self._ask("notify_test", NOTIFY_S, name=name)

    async def jobs(self) -> list[dict[str, Any]]:
        """Jobs that run or wait."""
        running: list[dict[str, Any]] = (await self._ask("jobs"))["running"]
        return running

    async def cancel_job(self, number: int) -> None:
        """End a job."""
        await self._ask("job_cancel", id=number)

    async def add_schedule(self, kind: str, name: str, trigger: str, task: dict[str, Any], who: str) -> int:
        """Keep a schedule."""
        made = await self._ask("schedule_add", job=kind, name=name, trigger=trigger, task=task, who=who)
        number: int = made["id"]
        return number

    async def switch_schedule(self, number: int, enabled: bool) -> None:
        """Switch a schedule on or off."""
        await self._ask("schedule_switch", id=number, enabled=enabled)

    async def remove_schedule(self, number: int) -> None:
        """Remove a schedule."""
        await self._ask("schedule_remove", id=number)


def main() -> None:
    """Entry of the process; the listening socket comes from the supervisor."""
    task = begin("web")
    data, runtime = Path(task["data"]), Path(task["runtime"])
    settings = msgspec.convert(task["settings"], ServeSettings)
    listening = socket.socket(fileno=task["fd"])
    feed, control = SocketFeed(socket_path(runtime, LIVE)), SocketControl(socket_path(runtime, CONTROL))
    reader, accounts = Reader(data), Accounts(data)
    captures = msgspec.convert(task["captures"], CapturesSettings)
    app = create_app(feed, control, reader, accounts, settings, data, captures=captures)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=1, ws="websockets-sansio",
        proxy_headers=bool(settings.proxies), forwarded_allow_ips=list(settings.proxies),
        ssl_certfile=settings.tls_certificate or None, ssl_keyfile=settings.tls_key or None,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])
    reader.close()
    accounts.close()


if __name__ == "__main__":
    main()
