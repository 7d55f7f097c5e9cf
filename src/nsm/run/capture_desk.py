"""What the supervisor knows of the capture: which interfaces, with which workers, in which state."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from nsm.capture.interfaces import default_interface, networks_of
from nsm.capture.packet_socket import open_socket
from nsm.capture.settings import CaptureSettings, asked_for
from nsm.errors import CaptureError, CapturePermissionError, NsmError
from nsm.pipeline import HOME_NET
from nsm.run.interface_rates import InterfaceRates
from nsm.run.live_settings import LiveSettings
from nsm.run.privileges import can_capture
from nsm.run.processes import Processes
from nsm.settings.read_settings import ReadSettings


class CaptureDesk:
    """Starts and ends the workers. ``common`` is what every process is told; ``changed`` is called when its state changed."""

    def __init__(
        self, live: LiveSettings, processes: Processes, common: dict[str, Any], demo_speed: float, changed: Callable[[], None]
    ) -> None:  # fmt: skip
        self._live, self._processes, self._common, self._demo, self._changed = (
            live,
            processes,
            common,
            demo_speed,
            changed,
        )
        self._settings: CaptureSettings = live.now.section("capture")
        self._chosen = self._settings  # with what the page asked for
        self._selected: tuple[str, ...] = ()
        self._state = "stopped"
        self._error: NsmError | None = None
        self._since: float | None = None
        self._numbers: dict[str, int] = {}
        self.rates = InterfaceRates()

    def home(self) -> tuple[str, ...]:
        """The networks that are one's own: the private ones, and those of the interfaces."""
        return tuple(dict.fromkeys((*HOME_NET, *networks_of(self._selected))))

    def interfaces(self) -> list[str]:
        """Interfaces that were captured on, in the order of their numbers."""
        return list(self._numbers)

    def start_demo(self) -> None:
        """One worker that makes packets up."""
        self._selected, self._state, self._since = ("demo",), "demo", time.time()
        self._processes.add(
            "capture-demo", "nsm.run.capture_worker", lambda: self._worker_task("capture-demo", "demo", None)
        )

    async def start(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Capture on ``iface`` (None: the configured ones, else that of the default route), as ``asked_for`` has it."""
        if self._demo:
            raise CaptureError("this is the demo: it makes its own packets", mend="nsm run")
        iface = asked.get("iface")
        chosen = (str(iface),) if iface else self._settings.interfaces or tuple(filter(None, (default_interface(),)))
        if not chosen:
            raise self._failed(CaptureError("there is no network interface that is up", mend="ip link"))
        if not can_capture():
            raise self._failed(CapturePermissionError(
                f"cannot capture on {chosen[0]}: permission denied",
                where=f"AF_PACKET socket, interface {chosen[0]}, uid {os.geteuid()}",
                mend="sudo nsm run   or   sudo nsm doctor --fix   (installs a service with CAP_NET_RAW only)",
            ))  # fmt: skip
        capture = asked_for(self._chosen, asked)
        try:
            for name in chosen:  # what is wrong is said now, to the one who asked
                open_socket(name, capture).close()
        except CaptureError as error:
            raise self._failed(error) from None
        self._chosen = capture
        return await self._capture_on(chosen)

    async def renew(self) -> None:
        """Take up settings that were changed; what was asked for on the page holds no longer."""
        before, self._settings = self._settings, self._live.now.section("capture")
        self._chosen = self._settings
        if self._state == "running":
            moved = before.interfaces != self._settings.interfaces
            await (self.start({}) if moved else self._capture_on(self._selected))

    async def _capture_on(self, chosen: tuple[str, ...]) -> dict[str, Any]:
        await self._processes.end("capture")
        self._selected, self._state, self._error, self._since = chosen, "running", None, time.time()
        for place, name in enumerate(chosen):
            for worker in range(max(1, self._chosen.workers)):
                group = (os.getpid() + place) & 0xFFFF if self._chosen.workers > 1 else None
                label = f"capture-{name}-{worker}"
                self._processes.add(
                    label, "nsm.run.capture_worker", functools.partial(self._worker_task, label, name, group)
                )
        self._changed()
        return self.shape()

    async def stop(self) -> dict[str, Any]:
        """End the capture; what it saw stays."""
        if self._demo:
            raise CaptureError("the demo cannot be stopped from the page", mend="Ctrl-C ends nsm demo")
        await self._processes.end("capture")
        self._state, self._since, self._error = "stopped", None, None
        self._changed()
        return self.shape()

    def shape(self) -> dict[str, Any]:
        """The capture message of nsm.serve.backend. A worker that cannot capture makes it a failed one."""
        faults = [process.fault for process in self._processes.named("capture") if process.fault is not None]
        error = faults[0] if faults else self._error
        state = "failed" if faults else self._state
        listed = self.rates.listed(self._selected if state == "running" else ())
        return {
            "type": "capture", "state": state, "interfaces": listed, "error": _shown(error), "demo": bool(self._demo),
            "since": None if state == "failed" else self._since, "filter": self._chosen.filter,
            "snaplen": self._chosen.snaplen, "ring_mb": self._chosen.ring_mb,
        }  # fmt: skip

    def _failed(self, error: NsmError) -> NsmError:
        if self._state != "running":  # what runs goes on
            self._state, self._error, self._since = "failed", error, None
        self._changed()
        return error

    def _worker_task(self, name: str, iface: str, group: int | None) -> tuple[dict[str, Any], tuple[int, ...]]:
        from nsm.run.engine import Engine  # late: the engine is the workers', but their settings are made here

        engine = Engine(ReadSettings(home_net=self.home()), self._live.now)
        number = self._numbers.setdefault(iface, len(self._numbers))
        settings = engine.worker_settings(seed=int.from_bytes(os.urandom(6), "big"), iface=number)
        task = {
            **self._common, "name": name, "iface": iface, "settings": msgspec.to_builtins(settings),
            "capture": msgspec.to_builtins(self._chosen), "kind": "demo" if self._demo else "ring", "speed": self._demo,
        }  # fmt: skip
        if self._demo:
            return task, ()
        sock = open_socket(iface, self._chosen, group)
        os.set_inheritable(sock.fileno(), True)
        return {**task, "fd": sock.fileno()}, (sock.detach(),)


def _shown(error: NsmError | None) -> dict[str, Any] | None:
    """An error as the page shows it: what, where, and the commands that mend it."""
    if error is None:
        return None
    fixes = [part.strip() for part in error.mend.split("   or   ") if part.strip()]
    kind = "permission" if isinstance(error, CapturePermissionError) else "capture"
    return {
        "type": f"capture/{kind}", "title": str(error), "detail": str(error), "where": error.where,
        "fix": [{"text": "", "cmd": fix} for fix in fixes],
    }  # fmt: skip
