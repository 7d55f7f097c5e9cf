"""NTP: a client's question; then, what the server says of itself, which few still do. RFC 5905, section 7.3; RFC 9327."""

from __future__ import annotations

import re
from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import details, product_of, recognised

CLIENT: Final = b"\x23" + bytes(39) + b"nsm-asks"  # version 4, mode 3, and a transmit time to know the answer by
READ_VARIABLES: Final = bytes.fromhex("160200010000000000000000")  # version 2, mode 6, opcode 2
SERVER_MODE, CONTROL_MODE = 4, 6
PRODUCTS: Final = (("NTPsec", r"ntpd ntpsec-([\d.]+\w*)"), ("ntpd", r"ntpd ([\d.]+(?:p\d+)?)"))


def talk(place: Place) -> Talk:
    """Ask for the time and, in another mode, for the version."""
    answer = yield CLIENT
    if len(answer) < 48 or answer[0] & 7 != SERVER_MODE or answer[24:32] != b"nsm-asks":
        raise MalformedError("scan.ntp_answer")
    stratum = answer[1]
    reference = answer[12:16]
    name = reference.rstrip(b"\0").decode("ascii", "replace") if stratum <= 1 else ".".join(map(str, reference))
    said = yield READ_VARIABLES
    text = said[12:].decode("ascii", "replace") if len(said) > 12 and said[0] & 7 == CONTROL_MODE else ""
    version = re.search(r'version="([^"]{1,128})"', text)
    product, number = product_of(version[1], PRODUCTS) if version else ("", "")
    facts = details(
        version=answer[0] >> 3 & 7, stratum=stratum, reference=name, synchronised="no" if answer[0] >> 6 == 3 else "yes",
        control_open=bool(text), software=version[1] if version else "",
    )  # fmt: skip
    return recognised("ntp", product, number, confidence=1.0, facts=facts)


SPEC: Final = ServiceSpec(name="ntp", talk=talk, ports=(123,), transport="udp")
