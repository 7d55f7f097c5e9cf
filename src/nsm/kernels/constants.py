"""Numbers that kernels share with the rest. Unlike the kernels' own files this one loads no Numba."""

from __future__ import annotations

from typing import Final

# Link types: https://www.tcpdump.org/linktypes.html
LINK_NULL, LINK_ETHERNET, LINK_PPP, LINK_PPP_HDLC, LINK_PPPOE, LINK_CHDLC = 0, 1, 9, 50, 51, 104
LINK_RAW_A, LINK_RAW_B, LINK_RAW, LINK_WIFI, LINK_LOOP, LINK_SLL = 12, 14, 101, 105, 108, 113
LINK_PRISM, LINK_RADIOTAP, LINK_AVS, LINK_PPI, LINK_IPV4, LINK_IPV6, LINK_SLL2 = 119, 127, 163, 192, 228, 229, 276

TICK_NS: Final = 250_000_000  # of packet time: what happened is handed on tick by tick
PARTS: Final = 8  # flows come in so many parts, each with its own bounds under a flood
TURN_NEVER, TURN_PORT, TURN_ZEEK = 0, 1, 2  # who is turned round by port; only a SYN-ACK; also by ports alone
