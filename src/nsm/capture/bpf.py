"""Capture filters: compiled by the system's libpcap, attached to sockets, and applied to files by a kernel.

The programs are classic BPF (McCanne, Jacobson, USENIX 1993), the form that Linux takes with SO_ATTACH_FILTER.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any, ClassVar, Final

import numpy as np

from nsm.capture.settings import SNAPLEN_MAX
from nsm.errors import CaptureError
from nsm.kernels.constants import LINK_ETHERNET, LINK_RAW
from nsm.model.table import Array

NETMASK_UNKNOWN: Final = 0xFFFFFFFF
DLT_RAW: Final = 12
INSTRUCTIONS_MAX: Final = 4_096  # BPF_MAXINSNS of Linux


class _Instruction(ctypes.Structure):
    _fields_: ClassVar = [  # type: ignore[mutable-override]  # ctypes declares it so
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    ]


class _Program(ctypes.Structure):
    _fields_: ClassVar = [  # type: ignore[mutable-override]  # ctypes declares it so
        ("length", ctypes.c_uint),
        ("instructions", ctypes.POINTER(_Instruction)),
    ]


def _library() -> Any:
    for name in ("libpcap.so.1", "libpcap.so.0.8", ctypes.util.find_library("pcap")):
        if not name:
            continue
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise CaptureError(
        "a capture filter needs the library libpcap, which is not installed", where="libpcap.so",
        mend="apt install libpcap0.8   (other systems: the package libpcap)",
    )  # fmt: skip


def compile_filter(expression: str, link: int = LINK_ETHERNET, snaplen: int = SNAPLEN_MAX) -> Array:
    """The program of a filter expression for one link type: u32[n, 4] of code, jt, jf, k; CaptureError when it is wrong.

    A socket hands over ``snaplen`` bytes of each packet that the program accepts; the empty expression accepts all.
    """
    pcap = _library()
    pcap.pcap_open_dead.restype = ctypes.c_void_p
    pcap.pcap_geterr.restype = ctypes.c_char_p
    pcap.pcap_geterr.argtypes = [ctypes.c_void_p]
    pcap.pcap_close.argtypes = [ctypes.c_void_p]
    pcap.pcap_compile.argtypes = [
        ctypes.c_void_p, ctypes.POINTER(_Program), ctypes.c_char_p, ctypes.c_int, ctypes.c_uint
    ]  # fmt: skip
    # libpcap compiles for DLT_ numbers; of the link types read here raw IP alone differs (12 on Linux).
    handle = pcap.pcap_open_dead(DLT_RAW if link == LINK_RAW else link, snaplen)
    if not handle:
        raise CaptureError(f"libpcap knows no filters for link type {link}")
    program = _Program()
    try:
        if (
            pcap.pcap_compile(
                handle, ctypes.byref(program), expression.encode("utf-8", "surrogateescape"), 1, NETMASK_UNKNOWN
            )
            != 0
        ):
            reason = (pcap.pcap_geterr(handle) or b"").decode("utf-8", "replace")
            raise CaptureError(
                f"the filter {expression!r} is not understood: {reason}", where="capture filter", mend="man pcap-filter"
            )
        count = min(int(program.length), INSTRUCTIONS_MAX)
        rows = [(i.code, i.jt, i.jf, i.k) for i in program.instructions[:count]]
        pcap.pcap_freecode(ctypes.byref(program))
        return np.array(rows, np.uint32).reshape(-1, 4)
    finally:
        pcap.pcap_close(handle)
