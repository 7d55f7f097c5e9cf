"""RDP: which protection does the server choose? [MS-RDPBCGR] 2.2.1.1 and 2.2.1.2; TPKT: RFC 1006; X.224, section 13."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, recognised

# TPKT, X.224 connection request, RDP_NEG_REQ for TLS and CredSSP.
REQUEST: Final = bytes.fromhex("030000130ee000000000000100080003000000")
CONNECTION_CONFIRM: Final = 0xD0
NEG_RSP, NEG_FAILURE = 2, 3
CHOSEN: Final = {0: "RDP", 1: "TLS", 2: "CredSSP", 4: "RDSTLS", 8: "CredSSP early"}
FAILURES: Final = {
    1: "TLS required",
    2: "TLS not allowed",
    3: "no certificate",
    5: "CredSSP required",
    6: "TLS with login required",
}


def talk(place: Place) -> Talk:
    """Ask for TLS and CredSSP; every Windows since 2008 chooses CredSSP when it is offered."""
    heard = Heard()
    head = yield from heard.exactly(4, REQUEST)
    size = int.from_bytes(head[2:], "big")
    if head[:2] != b"\x03\0" or not 11 <= size <= 512:
        raise MalformedError("scan.rdp_tpkt")
    answer = yield from heard.exactly(size - 4)
    if answer[1] & 0xF0 != CONNECTION_CONFIRM:
        return None
    kind = answer[7] if len(answer) >= 15 else 0
    value = int.from_bytes(answer[11:15], "little")
    if kind == NEG_FAILURE:
        return recognised("ms-wbt-server", facts=details(refused=FAILURES.get(value, str(value))))
    chosen = CHOSEN.get(value, str(value)) if kind == NEG_RSP else "RDP"
    nla = kind == NEG_RSP and value in (2, 8)
    # No Windows declines CredSSP; among the others xrdp is by far the commonest.
    product = "" if nla else "xrdp"
    return recognised(
        "ms-wbt-server", product, confidence=1.0 if nla else 0.8, facts=details(protection=chosen, nla="yes" if nla else "no")
    )  # fmt: skip


SPEC: Final = ServiceSpec(name="ms-wbt-server", talk=talk, ports=(3389,))
