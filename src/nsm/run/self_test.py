"""Does a capture see a packet that was surely sent? ``nsm doctor --self-test``.

A process of its own enters a private network namespace where it may (root, or a user namespace), where nobody else's
traffic is and nothing leaves; else it stays on loopback. It opens a capture as the service does, sends one datagram with
a random marker to the discard port (RFC 863), and looks for the marker in what the capture gives.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import secrets
import socket
import struct
import subprocess
import sys
import time
from typing import Final

import msgspec

from nsm.errors import CaptureError

CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000  # linux/sched.h
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h
DISCARD: Final = 9
WAIT_S: Final = 5.0
LIMIT_S: Final = 120.0  # kernels that are compiled first take 15 s and more


class Outcome(msgspec.Struct, frozen=True):
    """``state``: ok, warn (it cannot be tested here) or fail."""

    state: str
    found: str
    mend: str = ""


def self_test() -> Outcome:
    """The outcome, from a process of its own; this one stays where it is."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "nsm.run.self_test"], capture_output=True, timeout=LIMIT_S, check=False
        )
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Outcome)
    except (OSError, subprocess.TimeoutExpired, IndexError, msgspec.DecodeError) as error:
        return Outcome("fail", f"the self-test broke off: {type(error).__name__}", "nsm --debug doctor --self-test")


def run() -> Outcome:
    """Send and look, in this process, which does nothing else afterwards."""
    private = enter_namespace()
    where = "in a private network namespace" if private else "over loopback"
    try:
        seen, after = marker_seen()
    except CaptureError as error:
        return Outcome("warn", f"not tested {where}: {error}", error.mend)
    except OSError as error:
        return Outcome("warn", f"not tested {where}: {error.strerror}", "sudo nsm doctor --self-test")
    if not seen:
        return Outcome("fail", f"a marker packet was sent {where} and not seen", "nsm doctor --warm, then try again")
    return Outcome("ok", f"a marker packet was sent {where} and seen after {after * 1_000:.0f} ms")


def enter_namespace() -> bool:
    """Go into a network namespace of our own with loopback up; False when this is not allowed here."""
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET
    if libc.unshare(wanted) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("16xH", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[0]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
    return True


def marker_seen() -> tuple[bool, float]:
    """(was it seen, after how many s); CaptureError without the right to capture."""
    from nsm.capture.packet_socket import open_socket
    from nsm.capture.settings import CaptureSettings

    settings = CaptureSettings(ring_mb=1, promiscuous=False)
    opened = open_socket("lo", settings)  # says what is missing, before anything is compiled
    from nsm.capture.afpacket import RingSource

    marker = b"nsm self-test " + secrets.token_hex(16).encode()
    source = RingSource(opened, "lo", settings)
    batches = source.batches()
    next(batches)  # compiled and waiting
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        begun = time.monotonic()
        sock.sendto(marker, ("127.0.0.1", DISCARD))
        try:
            for batch in batches:
                if any(marker in batch.packet(place) for place in range(batch.count)):
                    return True, time.monotonic() - begun
                if time.monotonic() - begun > WAIT_S:
                    return False, WAIT_S
        finally:
            batches.close()  # type: ignore[attr-defined]  # it is a generator
            source.close()
    return False, WAIT_S


if __name__ == "__main__":
    sys.stdout.write(json.dumps(msgspec.to_builtins(run())) + "\n")
