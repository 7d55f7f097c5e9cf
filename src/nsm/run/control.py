"""What may be asked of a running service over its control socket; the command line and the web process share it.

One connection a question. Kinds: ``status``, ``health`` (processes), ``state`` (the capture), ``start``, ``stop``, ``clear``,
``notify`` and ``notify_test`` (channels of messages), ``settings`` and ``setting`` (change one), and those of ``job_desk``.
An answer with ``fault`` is an error of the service, and is raised again here.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Final

from nsm.errors import (
    CaptureError,
    CapturePermissionError,
    DeliveryError,
    NsmError,
    QueryError,
    ScanError,
    ServiceError,
    SettingsError,
)
from nsm.run.links import CONTROL, Splitter, socket_path
from nsm.run.transport import encode

TIMEOUT_S: Final = 10.0
NOTIFY_S: Final = 75.0  # ours: a channel may take a minute by its settings
_LEAVES: Final[dict[str, type[NsmError]]] = {  # the first that fits
    "permission": CapturePermissionError, "capture": CaptureError, "query": QueryError, "scan": ScanError,
    "delivery": DeliveryError, "settings": SettingsError, "service": ServiceError,
}  # fmt: skip


def fault_of(error: NsmError) -> dict[str, Any]:
    """The answer that tells of an error."""
    kind = next((name for name, leaf in _LEAVES.items() if isinstance(error, leaf)), "service")
    return {"fault": {"kind": kind, "text": str(error), "where": error.where, "mend": error.mend}}


def answer_of(header: dict[str, Any]) -> dict[str, Any]:
    """The answer of a service; raises the NsmError leaf that it tells of."""
    fault = header.get("fault")
    if fault:
        raise _LEAVES.get(fault["kind"], ServiceError)(fault["text"], where=fault["where"], mend=fault["mend"])
    return header


def ask(data: Path, kind: str, timeout_s: float = TIMEOUT_S, **header: Any) -> dict[str, Any]:
    """The answer of the service that keeps its data in that directory; ServiceError when none runs there."""
    path = socket_path(data / "run", CONTROL)
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout_s)
            sock.connect(path)
            sock.sendall(encode(kind, header))
            splitter = Splitter()
            while received := sock.recv(1 << 20):
                for message in splitter.feed(received):
                    return answer_of(message.header)
    except PermissionError as error:
        raise ServiceError("the service belongs to another user", where=path, mend="sudo nsm status") from error
    except TimeoutError as error:
        raise ServiceError(
            "the service does not answer", where=path, mend="end it with Ctrl-C, then: nsm run"
        ) from error
    except OSError as error:
        raise ServiceError("no service is running", where=path, mend="sudo nsm run   or   --data DIR") from error
    raise ServiceError("the service went away while it was asked", where=path, mend="nsm status")
