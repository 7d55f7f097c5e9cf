"""NTLM: a challenge and an answer made by hand, and bytes that are neither."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.wire.ntlm import Ntlm
from tests.parse.drive import Told
from tests.wire.dce_made import authenticate, challenge


def test_a_login() -> None:
    login, told = Ntlm(), Told()
    assert (login.read(b"??" + challenge()), login.read(authenticate()), login.read(b"none")) == (2, 3, 0)
    assert (login.user, login.domain, login.host, login.version) == ("alice", "CORP", "PC1", "10.0 build 10586 rev 15")
    login.row(told)
    login.row(told)
    ((log, row),) = told.zeek
    assert (log, row["username"], row["server_nb_computer_name"], row["server_tree_name"]) == (
        "ntlm",
        "alice",
        "SRV",
        "corp.example",
    )
    assert (row["server_dns_computer_name"], row["success"]) == (None, None)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=90), st.integers(0, 120), st.integers(0, 3))
def test_any_bytes(data: bytes, cut: int, kind: int) -> None:
    Ntlm().read(authenticate()[:cut] + data)
    Ntlm().read(challenge()[:cut])
    Ntlm().read(b"NTLMSSP\0" + bytes((kind, 0, 0, 0)) + data)
