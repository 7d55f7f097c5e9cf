"""A bound in time for a talk over a socket. Time-outs of single reads do not bound it: one byte before each would do for ever."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def deadline(seconds: float, sock: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Within, the socket that ``sock`` gives is shut down when the time is over; TimeoutError at the end if that happened."""
    over = threading.Event()

    def end() -> None:
        over.set()
        found = sock()
        if found is not None:
            with contextlib.suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if over.is_set():
            raise TimeoutError from error
        raise
    else:
        if over.is_set():  # what was read up to there may look whole
            raise TimeoutError
    finally:
        timer.cancel()
