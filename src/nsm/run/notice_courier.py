"""Carries the messages of one channel out of the outbox: a thread, so that an endpoint that hangs holds up nothing else.

After a failure the whole channel waits, twice as long each time; the first success makes what waits due at once.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from typing import Any, Final

import msgspec

from nsm.errors import DeliveryError, PartlyDeliveredError
from nsm.model.notice import one_line
from nsm.notify.settings import NotifySettings
from nsm.run.notice_channels import Outlet
from nsm.store.notices import DEAD, SENT, NoticeStore, Queued

log = logging.getLogger(__name__)

WAIT_MAX_S: Final = 1_800.0
LOOK_S: Final = 1.0
FAILURES_TOLD: Final = 3  # ours: in a row, from which on it is an outage: half a minute by default
HANGS_S: Final = 90.0  # ours: longer than any channel's own time-out


def pause(failures: int, retry_s: float) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(WAIT_MAX_S, retry_s * 2.0 ** min(max(failures - 1, 0), 30))


class ChannelState(msgspec.Struct, frozen=True):
    """How a channel is: untried, works, failing or hangs; ``outage``: what to tell people, "" when there is nothing."""

    name: str
    kind: str
    state: str
    failures: int
    error: str
    sent: float | None
    counts: dict[str, int]
    outage: str


class Courier:
    """The thread of one channel. Errors are told without what a channel was set to: a DeliveryError holds no secret."""

    def __init__(self, outlet: Outlet, store: NoticeStore, settings: NotifySettings) -> None:
        self.outlet, self._store, self._settings = outlet, store, settings
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._failures, self._dead, self._error = 0, False, ""
        self._ready_at = 0.0
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._work, name=f"courier-{outlet.name}", daemon=True)

    def start(self) -> None:
        """Begin to carry."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    def stop(self, wait_s: float) -> None:
        """Take no further message, and wait so long for the one in hand."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(wait_s)

    def state(self) -> ChannelState:
        """How it is now."""
        last = self._store.last(self.outlet.name)
        busy = self._busy_since
        hangs = busy is not None and time.monotonic() - busy > HANGS_S
        error = "it does not come back from a delivery" if hangs else self._error
        failing = self._failures > 0 or self._dead
        word = "hangs" if hangs else "failing" if failing else "works" if last["sent"] else "untried"
        told = hangs or self._dead or self._failures >= FAILURES_TOLD
        outage = f"Messages do not reach {self.outlet.name}: {error}" if told else ""
        return ChannelState(
            self.outlet.name, self.outlet.spec.name, word, self._failures, error or last["error"], last["sent"],
            self._store.counts(self.outlet.name), outage,
        )  # fmt: skip

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                carried = time.monotonic() >= self._ready_at and self._step()
            except sqlite3.Error as error:  # a full or locked disk: what could not be noted is not sent
                log.warning("outbox channel=%s reason=%s", self.outlet.name, error)
                carried = False
            except Exception:
                log.exception("fault channel=%s", self.outlet.name)
                carried = False
            if not carried:
                self._wake.wait(LOOK_S)
                self._wake.clear()

    def _step(self) -> bool:
        """Carry one message; False when none is due."""
        queued = self._store.take(self.outlet.name)
        if queued is None:
            return False
        self._busy_since = time.monotonic()
        try:
            error = self._delivered(queued)
        except DeliveryError as fault:
            self._failed(queued, one_line(str(fault), 300))
        else:
            self._store.end(queued.id, SENT, error)
            self._arrived(error)
        finally:
            self._busy_since = None
        return True

    def _delivered(self, queued: Queued) -> str:
        """Deliver; what is wrong although it arrived. DeliveryError when it did not."""
        try:
            self.outlet.open().send(queued.notice)
        except PartlyDeliveredError as error:
            return one_line(str(error), 300)
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of a channel is one failure of it; its text may hold a secret
            raise DeliveryError(f"{self.outlet.name}: {type(error).__name__}") from None
        return ""

    def _arrived(self, error: str) -> None:
        if self._failures:
            log.info("channel works again name=%s", self.outlet.name)
            self._store.hurry(self.outlet.name)
        self._failures, self._dead, self._error = 0, False, error

    def _failed(self, queued: Queued, error: str) -> None:
        self._failures += 1
        self._error = error
        wait = pause(self._failures, self._settings.retry_s)
        self._ready_at = time.monotonic() + wait
        if queued.tries >= self._settings.tries_max:
            self._dead = True
            self._store.end(queued.id, DEAD, error)
            log.error("message given up channel=%s tries=%d reason=%s", self.outlet.name, queued.tries, error)
        else:
            self._store.again(queued.id, wait, error)
            if self._failures == 1:
                log.warning("channel fails name=%s reason=%s", self.outlet.name, error)

    def shape(self) -> dict[str, Any]:
        """The state as plain values."""
        shape: dict[str, Any] = msgspec.to_builtins(self.state())
        return shape
