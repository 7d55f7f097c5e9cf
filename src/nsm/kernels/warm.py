"""Every kernel with the types it is called with, for ``nsm doctor --warm`` and for an ahead-of-time build.

A type is written as NumPy's code (u1, i8, b1 and so on), a column of it with ``*`` behind: C-contiguous, one dimension,
writable. A batch and the rows of decoding have names below. A test runs the engine and sees that no other types occur.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nsm.kernels.bpf import select
from nsm.kernels.cache import cold
from nsm.kernels.checksum import verify
from nsm.kernels.decode import decode
from nsm.kernels.flows import track
from nsm.kernels.index import index_pcap, index_pcapng, index_ring_block
from nsm.kernels.jit import COMPILED
from nsm.kernels.pack import pack
from nsm.kernels.seconds import count_seconds
from nsm.kernels.streams import ranges
from nsm.kernels.ticks import activity, advance, finish, identify

__all__ = ["KERNELS", "cold", "signature", "warm"]

_BATCH: Final = "i8* i8* u4* u4* u2* u1* u2*"  # ts_ns offset caplen wirelen links ifaces vlan
# The rows of decoding up to ``icmps``, in the order of its arguments.
_ROWS: Final = "u4* u1* u8* u4* u8* u8* u8* u8* u1* u4* u2* u2* u2* u4* u4* u4* u4* u2* u1* u1* u2* u2*"
_TABLE: Final = "u8* u8* u8* u8* u4* u4* u4* u2* u8* u4* u8* u4*"  # slots to tslots of the flow table

KERNELS: Final[tuple[tuple[Any, str], ...]] = (
    (index_pcap, f"u1* i8 i8 b1 i8 i8 i8 i8 {_BATCH} i8*"),
    (index_pcapng, f"u1* i8 i8 b1 i8 i8 i8* i8 i8 {_BATCH} i8*"),
    (index_ring_block, f"u1* i8 i8 i8 i8 i8 b1 i8 {_BATCH} i8*"),
    (select, f"u4* i8* u1* {_BATCH} i8 i8 i8"),
    (pack, "u1* i8* i8* u4* u4* u2* u2* i8 i8 i8 i8 i8 i8 u1* i8*"),
    (decode, f"u1* i8* u4* u4* u2* u2* i8 i8 i8* {_ROWS} i8*"),
    (verify, "u1* i8* u4* u4* u1* u8* u2* u2* u4* u4* i8"),
    (count_seconds, "i8* u4* u4* u1* u8* u8* u8* u8* u8* u1* u4* i8 u8* u8* u8*"),
    (identify, "u8* u4* u8*"),
    (ranges, "i8* u4* u4* u8* u2* u4* u4* u4* u1* u4* u8* u1* i8 i8 i8 i8 u8* u8* i8* i8*"),
    (activity, "u8* u8* i8* u8*"),
    (finish, "u8* u8* u8* u4* u8* u4* i8* i8* u8* u8*"),
    (advance, f"i8 {_TABLE} i8* i8* u8* u8* i8"),
    (
        track,
        "u1* i8* i8* u4* u4* u2* u1* i8 u4* u1* u8* u4* u8* u8* u8* u8* u1* u4* u2* u4* u4* u4* u4* u2* u1* u1* "
        f"u2* u2* i8 i8 u4* u8* u1* {_TABLE} u1* i8* i8* u8* i8",
    ),
)


def signature(text: str) -> tuple[Any, ...]:
    """The Numba types that a line of KERNELS names."""
    from numba import from_dtype, types

    made: list[Any] = []
    for code in text.split():
        scalar = from_dtype(np.dtype(code.rstrip("*")))
        made.append(types.Array(scalar, 1, "C") if code.endswith("*") else scalar)
    return tuple(made)


def warm(progress: Callable[[str], None]) -> int:
    """Compile what the cache does not have; return how many kernels that were. One line of progress for each.

    With a full cache this takes the time of loading it, under a second.
    """
    if not COMPILED:
        return 0
    compiled = 0
    for kernel, types in KERNELS:
        began = time.monotonic()
        missed = sum(kernel.stats.cache_misses.values())
        kernel.compile(signature(types))
        if sum(kernel.stats.cache_misses.values()) > missed:
            compiled += 1
            progress(f"{kernel.py_func.__name__}: {time.monotonic() - began:.1f} s")
    return compiled
