"""Classic BPF over a batch: the packets that a program accepts move to the front. Twin: tests/kernels/naive.py.

Instruction set: McCanne and Jacobson, "The BSD Packet Filter", USENIX 1993; codes as in Linux' filter.h.
"""

from __future__ import annotations

import numpy as np

from nsm.kernels.jit import get, inline, kernel, ld16, ld32, put

STEPS_MAX = 4_096
LD, LDX, ST, STX, ALU, JMP, RET, MISC = 0, 1, 2, 3, 4, 5, 6, 7
IMM, ABS, IND, MEM, LEN, MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
MASK32 = 0xFFFFFFFF


@inline
def _load(data, start, size, at, width):
    """(inside, value) of ``width`` bytes of the packet."""
    if at < 0 or at + width > size:
        return False, np.int64(0)
    if width == 4:
        return True, np.int64(ld32(data, start + at))
    if width == 2:
        return True, np.int64(ld16(data, start + at))
    return True, np.int64(get(data, start + at))


@inline
def _alu(operation, a, operand):
    """(defined, result) of an arithmetic instruction on 32 bits."""
    if operation == 0x00:
        return True, (a + operand) & MASK32
    if operation == 0x10:
        return True, (a - operand) & MASK32
    if operation == 0x20:
        return True, (a * operand) & MASK32
    if operation == 0x30:
        return operand != 0, a // operand if operand != 0 else np.int64(0)
    if operation == 0x40:
        return True, a | operand
    if operation == 0x50:
        return True, a & operand
    if operation == 0x60:
        return True, (a << operand) & MASK32 if operand < 32 else np.int64(0)
    if operation == 0x70:
        return True, a >> operand if operand < 32 else np.int64(0)
    if operation == 0x80:
        return True, (-a) & MASK32
    if operation == 0x90:
        return operand != 0, a % operand if operand != 0 else np.int64(0)
    return operation == 0xA0, a ^ operand


@inline
def _accepts(program, memory, data, start, size, wire):
    """Does the program return anything but 0? Every jump goes forward, so it ends."""
    a = x = np.int64(0)
    at = 0
    for _ in range(STEPS_MAX):
        if at * 4 + 3 >= program.size:
            return False
        code = np.int64(get(program, at * 4))
        jt, jf = np.int64(get(program, at * 4 + 1)), np.int64(get(program, at * 4 + 2))
        k = np.int64(get(program, at * 4 + 3))
        at += 1
        kind, mode = code & 7, code & 0xE0
        width = 4 if code & 0x18 == 0 else (2 if code & 0x18 == 0x08 else 1)
        if kind == LD:
            inside = True
            if mode == IMM:
                a = k
            elif mode == ABS:
                inside, a = _load(data, start, size, k, width)
            elif mode == IND:
                inside, a = _load(data, start, size, x + k, width)
            elif mode == MEM:
                a = get(memory, k & 15)
            elif mode == LEN:
                a = wire
            if not inside:
                return False
        elif kind == LDX:
            if mode == IMM:
                x = k
            elif mode == MEM:
                x = get(memory, k & 15)
            elif mode == LEN:
                x = wire
            elif mode == MSH:
                inside, value = _load(data, start, size, k, 1)
                if not inside:
                    return False
                x = (value & 15) * 4
        elif kind == ST:
            put(memory, k & 15, a)
        elif kind == STX:
            put(memory, k & 15, x)
        elif kind == ALU:
            defined, a = _alu(code & 0xF0, a, x if code & 0x08 else k)
            if not defined:
                return False
        elif kind == JMP:
            operand = x if code & 0x08 else k
            operation = code & 0xF0
            if operation == 0x00:
                at += k
            elif operation == 0x10:
                at += jt if a == operand else jf
            elif operation == 0x20:
                at += jt if a > operand else jf
            elif operation == 0x30:
                at += jt if a >= operand else jf
            else:
                at += jt if a & operand else jf
        elif kind == RET:
            return (a if code & 0x18 == 0x10 else k) != 0
        elif code & 0x80:
            a = x
        else:
            x = a
    return False


@kernel
def select(program, memory, data, ts_ns, offset, caplen, wirelen, links, ifaces, vlan, start, stop, kept):
    """Move the accepted ones of packets start..stop-1 to position ``kept`` and on; return the next position.

    In:  program u32[4 * n]: code, jt, jf, k of each instruction; memory i64[16]; packet columns of PacketBatch
    """
    for i in range(start, stop):
        if _accepts(program, memory, data, get(offset, i), np.int64(get(caplen, i)), np.int64(get(wirelen, i))):
            put(ts_ns, kept, get(ts_ns, i))
            put(offset, kept, get(offset, i))
            put(caplen, kept, get(caplen, i))
            put(wirelen, kept, get(wirelen, i))
            put(links, kept, get(links, i))
            put(ifaces, kept, get(ifaces, i))
            put(vlan, kept, get(vlan, i))
            kept += 1
    return kept
