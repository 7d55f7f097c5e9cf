"""Asks services from inside a namespace: ports as JSON on standard input, what was found as JSON on standard output.

    ip netns exec NAME python lab/asking.py [--record | --wait] [CONSENT...] < ports.json

Each port's time is taken on its own; all are asked at once. ``--record`` adds what was said in the talk that succeeded.
``--wait`` asks nothing: it tells which ports accept a connection within READY_S.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import msgspec

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.model.scan import ScannedPort
from nsm.scan.fingerprint import all_services, identify
from nsm.scan.line import connect

READY_S = 20.0


def recording(key: str, spec: ServiceSpec, told: dict[str, Any]) -> ServiceSpec:
    """The same service; turns of the talk (what was sent, what came) are kept when it succeeds."""

    def talk(place: Place) -> Talk:
        turns: list[list[str]] = [["", ""]]
        inner = spec.talk(place)
        try:
            send = next(inner)
            while True:
                if send:
                    turns.append([send.decode("latin-1"), ""])
                got = yield send
                turns[-1][1] += got.decode("latin-1")
                send = inner.send(got)
        except StopIteration as end:
            if end.value is not None:
                told[key] = {"turns": turns, "service": end.value}
            return end.value  # type: ignore[no-any-return]  # a Service or None

    return msgspec.structs.replace(spec, talk=talk)


async def ask(port: ScannedPort, consents: frozenset[str], record: bool) -> dict[str, Any]:
    """One port with its seconds."""
    told: dict[str, Any] = {}
    services = all_services()
    if record:
        services = {key: recording(key, spec, told) for key, spec in services.items()}
    began = time.monotonic()
    found = (await identify([port], consents=consents, services=services))[0]
    return {"port": found, "seconds": time.monotonic() - began, "talks": told}


async def accepts(port: ScannedPort) -> bool:
    """Does it accept a connection within READY_S?"""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        try:
            (await connect(port.address, port.port, 1.0)).close()
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return True
    return False


async def main() -> None:
    """All at once."""
    words = sys.argv[1:]
    ports = msgspec.json.decode(sys.stdin.buffer.read(), type=list[ScannedPort])
    if "--wait" in words:
        print(msgspec.json.encode(await asyncio.gather(*map(accepts, ports))).decode())
        return
    consents = frozenset(word for word in words if not word.startswith("--"))
    began = time.monotonic()
    answers = await asyncio.gather(*(ask(port, consents, "--record" in words) for port in ports))
    print(msgspec.json.encode({"seconds": time.monotonic() - began, "answers": answers}).decode())


if __name__ == "__main__":
    asyncio.run(main())
