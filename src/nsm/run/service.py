"""What ``nsm run`` and ``nsm demo`` do before the supervisor takes over: settings, privileges, port, kernels, the link."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from nsm.kernels.cache import cache_directory, cold
from nsm.run.live_settings import check_capture, check_eve_file
from nsm.run.logs import log_file
from nsm.run.notice_control import notify_wanted
from nsm.run.privileges import can_capture, keep_net_raw
from nsm.serve.settings import bind, login_address, page_address, tls_context
from nsm.settings.places import make_private, owner
from nsm.store.accounts import Accounts

if TYPE_CHECKING:
    from nsm.settings.load import Settings

LINK_HINT: Final = "open it once to set your password"


class Caller(Protocol):
    """What the command line lends: settings, the data directory, a line for the terminal."""

    def settings(self, flags: Mapping[str, Any] | None = None) -> Settings:
        """All settings, these flags on top."""

    def data_dir(self) -> Path:
        """Where data live."""

    def note(self, text: str) -> None:
        """Say something on stderr."""


def run_service(ctx: Caller, flags: Mapping[str, Any], *, demo_speed: float = 0.0, fall_back: bool = False) -> None:
    """Run the service until it is ended. NsmError for what makes that impossible."""
    settings = ctx.settings(flags=flags)
    check_capture(settings.section("capture"))
    notify_wanted(settings)  # a secret that cannot be read is said now
    tls_context(settings.section("serve"))
    listening = bind(settings.section("serve"))
    if not demo_speed:
        become_owner()
    with contextlib.ExitStack() as stack:
        if demo_speed:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nsm-demo-")))
        else:
            data = make_private(ctx.data_dir())
            if fall_back and not can_capture():
                demo_speed = 1.0
                data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nsm-demo-")))
                ctx.note("No permission to capture, so this is the demo.  To watch your own traffic:  sudo make run")
        log_file(data)
        check_eve_file(settings.section("output.eve_file"))
        _warm(ctx)
        _serve(ctx, settings, data, demo_speed, listening)


def become_owner() -> None:
    """Under sudo: from here on the calling user, with the one capability that capturing needs."""
    who = owner()
    if os.geteuid() == 0 and who.uid:
        os.environ["HOME"] = str(who.home)
        keep_net_raw(who.uid, who.gid)
    else:
        keep_net_raw(None, None)


def _warm(ctx: Caller) -> None:
    """Compile what is not in the cache, once, so that the workers need not all do it; elsewhere, since it takes memory."""
    os.environ.setdefault("NUMBA_CACHE_DIR", cache_directory())
    if cold():
        ctx.note("compiling kernels, once, about 15 s")
        with contextlib.suppress(OSError):  # then no process can be started: the supervisor says so
            subprocess.run(
                [sys.executable, "-c", "from nsm.kernels.warm import warm; warm(lambda text: None)"], check=False
            )


def _serve(ctx: Caller, settings: Any, data: Path, demo_speed: float, listening: socket.socket) -> None:
    from nsm.run.supervisor import Supervisor

    accounts = Accounts(data)
    serve, port = settings.section("serve"), listening.getsockname()[1]
    first_visit = not accounts.users() or bool(demo_speed)
    link = login_address(serve, accounts.make_login_link(), port) if first_visit else page_address(serve, "/", port)
    accounts.close()

    def ready() -> None:
        what = "demo" if demo_speed else "netsecmonitor"
        hint = f"   ({LINK_HINT})" if first_visit else ""
        sys.stderr.write(f"{what}: {link}{hint}\nCtrl-C ends it.\n")
        sys.stderr.flush()

    async def main() -> None:
        supervisor = Supervisor(
            settings, data, demo_speed=demo_speed, log_level=logging.WARNING, listening=listening, on_ready=ready
        )
        await supervisor.run()

    asyncio.run(main())
