"""Privileges on Linux: the supervisor keeps CAP_NET_RAW and nothing else, its children have none (DESIGN 9.4, 9.5).

Under sudo everything runs as the calling user. Calls go to libc through ctypes; numbers from linux/prctl.h and
linux/capability.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import ClassVar, Final

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 8, 24, 38, 47
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
CAP_NET_RAW: Final = 13
VERSION_3: Final = 0x20080522
LAST_CAP_MAX: Final = 63
SIGTERM: Final = 15


class _Header(ctypes.Structure):
    _fields_: ClassVar = [  # type: ignore[mutable-override]  # ctypes declares it so
        ("version", ctypes.c_uint32),
        ("pid", ctypes.c_int),
    ]


class _Sets(ctypes.Structure):
    _fields_: ClassVar = [  # type: ignore[mutable-override]  # ctypes declares it so
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


_libc = ctypes.CDLL(None, use_errno=True)


def _capset(mask: int, inheritable: int = 0) -> bool:
    """Permitted and effective capabilities become ``mask``; False when the system refuses."""
    header = _Header(VERSION_3, 0)
    low = _Sets(mask & 0xFFFFFFFF, mask & 0xFFFFFFFF, inheritable & 0xFFFFFFFF)
    sets = (_Sets * 2)(low, _Sets(mask >> 32, mask >> 32, inheritable >> 32))
    return bool(_libc.capset(ctypes.byref(header), sets) == 0)


def can_capture() -> bool:
    """Does this process have CAP_NET_RAW now?"""
    header = _Header(VERSION_3, 0)
    sets = (_Sets * 2)()
    if _libc.capget(ctypes.byref(header), sets) != 0:
        return os.geteuid() == 0
    return bool(sets[0].effective >> CAP_NET_RAW & 1)


def keep_net_raw(uid: int | None, gid: int | None) -> None:
    """Become that user (None: stay) and keep CAP_NET_RAW alone. For the supervisor, once, at its start."""
    raw = can_capture()
    if uid is not None and os.geteuid() == 0:
        _libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setresgid(gid if gid is not None else uid, gid if gid is not None else uid, gid if gid is not None else uid)
        os.setresuid(uid, uid, uid)
    _capset(1 << CAP_NET_RAW if raw else 0)
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def with_net_raw() -> Callable[[], None]:
    """As ``without_privileges``, but CAP_NET_RAW stays, where there is one: for a job that sends packets."""
    parent, raw = os.getpid(), can_capture()

    def keep() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        if raw:
            _capset(1 << CAP_NET_RAW, inheritable=1 << CAP_NET_RAW)
            _libc.prctl(
                PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0
            )  # through exec, for a user who is not root
        _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    return keep


def drop_net_raw() -> None:
    """Give up what ``with_net_raw`` left to this process, once its sockets are open."""
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    _capset(0)


def without_privileges() -> Callable[[], None]:
    """A function for a child to call before it runs anything: no capabilities, and it ends when its parent does.

    Root stays root by number, since the data belong to it, but can do no more than their owner.
    """
    parent = os.getpid()

    def drop() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        for capability in range(LAST_CAP_MAX + 1):
            if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                break
        _capset(0)
        _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    return drop
