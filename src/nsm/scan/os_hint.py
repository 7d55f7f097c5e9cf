"""A hint of what a host runs, with its reason, from what its own answers said. A hint, never a claim.

Words of banners are certain as far as banners are; the time to live only tells families apart: systems start it at 64, 128
or 255 (RFC 1700 recommended 64; Windows takes 128, routers mostly 255), and each router on the way takes one off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from nsm.model.scan import PortState, ScannedPort, Service

HOPS_MAX: Final = 30  # ours: further away the starting value cannot be told
STARTS: Final = ((64, "Linux, macOS or another Unix"), (128, "Windows"), (255, "a router, switch or BSD"))
# The first that fits; what names a distribution comes before what names a family.
WORDS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"raspbian", "Raspberry Pi OS"), (r"\bubuntu", "Ubuntu Linux"), (r"\bdebian|\bdeb\d+u", "Debian Linux"),
        (r"\b(?:el[6-9]|red hat|rhel|centos|rocky|almalinux)\b", "Red Hat Linux or its kin"), (r"\bfedora\b", "Fedora Linux"),
        (r"\balpine\b", "Alpine Linux"), (r"\bsuse\b", "SUSE Linux"), (r"freebsd", "FreeBSD"), (r"openbsd\b", "OpenBSD"),
        (r"netbsd", "NetBSD"), (r"synology", "Synology DSM"), (r"\bqnap\b|\bqts\b", "QNAP QTS"),
        (r"mikrotik|routeros|rosssh", "MikroTik RouterOS"), (r"\bcisco\b|\bios-xe\b", "Cisco IOS"),
        (r"\bopenwrt\b|\blede\b", "OpenWrt"), (r"fritz!?box|\bavm\b", "FRITZ!OS"), (r"\bdarwin\b|mac ?os", "macOS"),
        (r"microsoft|\bwindows\b|\bwin32\b|\bwin64\b", "Windows"), (r"\blinux\b", "Linux"),
    )
)  # fmt: skip
WORD_SERVICES: Final = {"microsoft-ds": "Samba", "ms-wbt-server": "xrdp", "ms-sql-s": ""}
"""Services of Windows, and the product that offers them elsewhere."""


def os_hint(ports: Sequence[ScannedPort]) -> str:
    """Such as "Debian Linux: ssh on 22/tcp says so"; empty when nothing speaks for one system more than for others."""
    answered = [port for port in ports if port.state is PortState.OPEN]
    for pattern, name in WORDS:
        for port in answered:
            if port.service is not None and pattern.search(_said(port.service)):
                return f"{name}: {port.service.name} on {port.port}/{port.proto} says so"
    for port in answered:
        service = port.service
        if service is not None and service.how != "port" and service.name in WORD_SERVICES:
            elsewhere = WORD_SERVICES[service.name]
            if not elsewhere or service.product != elsewhere:
                return f"Windows: it offers {service.name} on {port.port}/{port.proto}"
    return _by_ttl([port.ttl for port in ports if port.ttl and port.reason in {"syn-ack", "rst"}])


def _said(service: Service) -> str:
    """Its own words; what a page's title or a certificate's name says is about something else."""
    if service.product == "OpenSSH" and "OpenBSD" in service.banner:
        return service.banner.replace("OpenBSD", "")  # the name of a line of OpenSSH on any system
    server = [text for name, text in service.details.items() if name in {"server", "os", "system", "platform"}]
    return " ".join((service.product, service.version, service.banner.partition("<")[0], *server))


def _by_ttl(values: Sequence[int]) -> str:
    starts = {next((start for start, _ in STARTS if ttl <= start), 0) for ttl in values}
    if len(starts) != 1:
        return ""  # none, or several systems behind one address
    start = starts.pop()
    if start - min(values) > HOPS_MAX:
        return ""
    return f"perhaps {dict(STARTS)[start]}: its time to live begins at {start}"
