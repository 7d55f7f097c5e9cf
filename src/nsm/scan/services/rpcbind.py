"""The port mapper: which programs run here? RFC 1833, section 3 (PMAPPROC_DUMP); RPC and record marking: RFC 5531."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Fields, Heard, details, recognised

IDENTITY: Final = 0x6E736D31  # ours: to know the answer by
PORTMAP, VERSION_2, DUMP = 100_000, 2, 4
ENTRIES_MAX: Final = 64  # ours
LAST_FRAGMENT: Final = 0x8000_0000
PROGRAMS: Final = {  # IANA, "Remote Procedure Call (RPC) Program Numbers"
    100_000: "portmapper", 100_003: "nfs", 100_005: "mountd", 100_021: "nlockmgr", 100_024: "status", 100_011: "rquotad",
    100_004: "ypserv", 100_007: "ypbind", 100_227: "nfs_acl", 391_002: "sgi_fam",
}  # fmt: skip


def talk(place: Place) -> Talk:
    """Ask for the list; that it is given to us is a fact too."""
    heard = Heard()
    call = b"".join(item.to_bytes(4, "big") for item in (IDENTITY, 0, 2, PORTMAP, VERSION_2, DUMP, 0, 0, 0, 0))
    mark = int.from_bytes((yield from heard.exactly(4, (LAST_FRAGMENT | len(call)).to_bytes(4, "big") + call)), "big")
    size = mark & ~LAST_FRAGMENT
    if not 20 <= size <= 12_288:
        raise MalformedError("scan.rpc_record")
    fields = Fields((yield from heard.exactly(size)))
    if fields.big(4) != IDENTITY or fields.big(4) != 1:
        return None
    if fields.big(4):
        return recognised("sunrpc", facts=details(refused=True))
    fields.take(4)
    fields.take(fields.big(4))
    if fields.big(4):
        return recognised("sunrpc", facts=details(refused=True))
    programs: dict[str, set[int]] = {}
    for _ in range(ENTRIES_MAX):
        if not fields.left or not fields.big(4):
            break
        program, version, _, _ = (fields.big(4) for _ in range(4))
        programs.setdefault(PROGRAMS.get(program, str(program)), set()).add(version)
    listed = [f"{name} {min(versions)}-{max(versions)}" for name, versions in sorted(programs.items())]
    # Versions 3 and 4 came with rpcbind; the port mapper before it has 2 alone (RFC 1833, section 1).
    product = "rpcbind" if 4 in programs.get("portmapper", ()) else ""
    return recognised("sunrpc", product, confidence=1.0, facts=details(programs=listed))


SPEC: Final = ServiceSpec(name="sunrpc", talk=talk, ports=(111,))
