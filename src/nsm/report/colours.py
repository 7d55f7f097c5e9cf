"""Colours of the reports: those of the page (a test compares them with its file), as (light, dark)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PAIRS: Final[Mapping[str, tuple[str, str]]] = {
    "bg": ("#f5f6f8", "#0e1116"), "surface": ("#ffffff", "#151a21"), "sunken": ("#eceef2", "#0a0d11"),
    "border": ("#d3d8e0", "#2b333f"), "control": ("#7d8796", "#717d8e"), "text": ("#171a21", "#e9ecf1"),
    "text2": ("#454d5b", "#bac3cf"), "text3": ("#5d6675", "#97a2b1"), "accent": ("#1558b0", "#7ab4ff"),
    "ok": ("#1a6b3c", "#5fd08c"), "warn-text": ("#5c3d00", "#fee5b1"), "warn-bg": ("#fff3d6", "#3a2f0e"),
    "info-fg": ("#454d5b", "#bac3cf"), "info-bg": ("#eceef2", "#262d38"), "info-fill": ("#838997", "#737e8b"),
    "low-fg": ("#04528a", "#8bddfb"), "low-bg": ("#e0eefa", "#0f3242"), "low-fill": ("#0468aa", "#4accfa"),
    "medium-fg": ("#5c3d00", "#fee5b1"), "medium-bg": ("#ffe9b8", "#43360f"), "medium-fill": ("#bb8305", "#fee5b1"),
    "high-fg": ("#ffffff", "#14171c"), "high-bg": ("#aa4600", "#f88f49"), "high-fill": ("#aa4600", "#f88f49"),
    "critical-fg": ("#ffffff", "#ffffff"), "critical-bg": ("#6f011d", "#c91f33"),
    "critical-fill": ("#6f011d", "#df2337"),
    "series-blue": ("#2757dc", "#0475f4"), "series-orange": ("#aa5e22", "#ee9846"),
    "series-sky": ("#0399d0", "#cfedff"), "series-brown": ("#552300", "#9b6343"),
    "series-yellow": ("#a28f06", "#ffea9a"), "series-pink": ("#a00344", "#e84287"),
    "series-violet": ("#65018e", "#db9afe"), "series-teal": ("#025b4c", "#6fd0b8"),
    "series-other": ("#6b7482", "#8b95a4"),
}  # fmt: skip

FAMILIES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "TLS": ("series-blue", ("tls",)),
    "HTTP": ("series-orange", ("http",)),
    "QUIC": ("series-sky", ("quic",)),
    "Remote": ("series-brown", ("ssh", "rdp", "rfb", "telnet")),
    "DNS": ("series-yellow", ("dns", "mdns", "llmnr")),
    "Mail and files": ("series-pink", ("smtp", "imap", "pop3", "ftp", "smb")),
    "Other TCP": ("series-violet", ()),
    "Other UDP": ("series-teal", ()),
    "Rest": ("series-other", ()),
}
"""Families of a chart, each with its colour for ever, and the applications in it; in the order they are stacked."""

_FAMILY_OF: Final = {app: family for family, (_, apps) in FAMILIES.items() for app in apps}


def family(app: str, proto: int) -> str:
    """The family of a flow: by its application, else by its protocol."""
    return _FAMILY_OF.get(app) or {6: "Other TCP", 17: "Other UDP"}.get(proto, "Rest")


def declarations(dark: bool) -> str:
    """The custom properties of a theme, as CSS."""
    return "".join(f"--{name}:{pair[dark]};" for name, pair in PAIRS.items())
