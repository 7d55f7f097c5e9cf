"""A test message, delivered at once and beside the queue."""

from __future__ import annotations

import os
import socket
import time

from nsm.errors import DeliveryError, NsmError
from nsm.model.notice import Notice
from nsm.run.notice_channels import Outlet
from nsm.run.notice_words import Scene, trial_notice


def deliver(outlet: Outlet, notice: Notice) -> None:
    """Send one message now; DeliveryError when it does not arrive, whatever the channel raised."""
    try:
        outlet.open().send(notice)
    except NsmError:
        raise
    except Exception as error:  # noqa: BLE001 - its text may hold a secret
        raise DeliveryError(f"{outlet.name}: {type(error).__name__}") from None


def trial(outlet: Outlet, link: str = "") -> None:
    """Send a test message."""
    deliver(outlet, trial_notice(f"test-{os.urandom(6).hex()}", time.time(), Scene(socket.gethostname(), link)))
