"""How kernels are compiled, and the few machine operations that Numba does not offer itself.

``kernel`` decorates an entry point, ``inline`` a helper. ``get`` and ``put`` index an array without the
test for negative positions; ``ld16`` .. ``ld64`` read big-endian words, ``ld16le`` .. little-endian ones,
at any byte position. None of them checks bounds: the caller has. With ``NUMBA_DISABLE_JIT=1`` plain
Python stands in for them, so that the very same kernel source runs as its own slow check.
"""

# The intrinsics of Numba have no annotations of their own.
from __future__ import annotations

import os
import sys
from typing import Any

from nsm.kernels.cache import cache_directory

os.environ.setdefault("NUMBA_CACHE_DIR", cache_directory())

import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

COMPILED = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # set from the environment at run time

# _nrt=False: kernels allocate nothing, so the reference counts that Numba would keep for every array at every helper
# call (16 atomic operations a packet: 80 ns) are left out.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "boundscheck": False, "error_model": "numpy", "_nrt": False}
# Helpers are called by kernels alone: without what Python and C would need to call them, compiling takes a fifth less.
_ALONE: dict[str, Any] = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inline = njit(**_OPTIONS, **_ALONE)


class _Cache(FunctionCache):
    """Numba's own, which makes ready for compiling before it looks: that costs every start 0.15 s.

    When something has to be compiled indeed, the compiler makes ready by itself.
    """

    def load_overload(self, sig, target_context):
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def kernel(function: Any) -> Any:
    """An entry point, kept in the cache."""
    made = njit(**_OPTIONS)(function)
    if COMPILED:
        made._cache = _Cache(function)
    return made


_U8 = ir.IntType(8)
_PREFETCH = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), *[ir.IntType(32)] * 3])


def _byte_pointer(context, builder, array_type, array, position) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, _U8.as_pointer()), [position])


def _load(bits: int, numba_type: Any, big_endian: bool) -> Any:
    swap = big_endian == (sys.byteorder == "little")

    @intrinsic
    def load(typingctx, data, at):
        def codegen(context, builder, signature, args):
            pointer = _byte_pointer(context, builder, signature.args[0], args[0], args[1])
            word = ir.IntType(bits)
            value = builder.load(builder.bitcast(pointer, word.as_pointer()), align=1)
            return builder.bswap(value) if swap else value

        return numba_type(data, types.int64), codegen

    return load


@intrinsic
def _get(typingctx, array, at):
    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.int64), codegen


@intrinsic
def _put(typingctx, array, at, value):
    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        builder.store(args[2], builder.gep(data, [args[1]]))
        return context.get_dummy_value()

    return types.void(array, types.int64, array.dtype), codegen


@intrinsic
def _prefetch(typingctx, array, at):
    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), _U8.as_pointer())
        function = cgutils.get_or_insert_function(builder.module, _PREFETCH, "llvm.prefetch.p0i8")
        one, three = ir.Constant(ir.IntType(32), 1), ir.Constant(ir.IntType(32), 3)
        builder.call(function, [pointer, one, three, one])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


def _slow_load(size: int, order: str) -> Any:
    def load(data, at):
        return np.uint64(int.from_bytes(bytes(data[at : at + size]), order))

    return load


def _slow_get(array, at):
    return array[at]


def _slow_put(array, at, value):
    array[at] = value


def _slow_prefetch(array, at):
    return None


get: Any
put: Any
prefetch: Any
if COMPILED:
    ld16, ld32, ld64 = (
        _load(bits, t, True) for bits, t in ((16, types.uint16), (32, types.uint32), (64, types.uint64))
    )
    ld16le, ld32le = (_load(bits, t, False) for bits, t in ((16, types.uint16), (32, types.uint32)))
    get, put, prefetch = _get, _put, _prefetch
else:
    ld16, ld32, ld64 = (_slow_load(size, "big") for size in (2, 4, 8))
    ld16le, ld32le = (_slow_load(size, "little") for size in (2, 4))
    get, put, prefetch = _slow_get, _slow_put, _slow_prefetch
