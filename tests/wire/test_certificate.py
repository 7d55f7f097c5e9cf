"""Certificates: one made by hand, and bytes that are none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.errors import MalformedError
from nsm.wire import der
from nsm.wire.certificate import eve_date, eve_name, parse_certificate, zeek_name, zeek_serial
from tests.wire.tls_made import certificate


def test_what_the_logs_show() -> None:
    found = parse_certificate(certificate())
    assert found is not None
    assert (eve_name(found.subject), zeek_name(found.subject)) == ("C=DE, CN=a.example", "CN=a.example,C=DE")
    assert (eve_name(found.issuer), zeek_name(found.issuer)) == ("C=DE, CN=CA, Inc.", "CN=CA\\, Inc.,C=DE")
    assert (found.version, zeek_serial(found.serial), found.sig_alg) == (3, "8A07", "sha256WithRSAEncryption")
    assert (found.key_alg, found.key_type, found.key_length, found.exponent) == ("rsaEncryption", "rsa", 1024, "65537")
    assert (found.dns, found.ips, found.is_ca, found.path_length) == (["*.a.example"], ["10.0.0.1"], True, 3)
    assert (eve_date(found.not_before), eve_date(found.not_after)) == ("1969-12-31T00:00:00", "2038-01-01T00:00:00")
    assert not found.self_signed


@pytest.mark.parametrize(
    ("host", "fits"),
    [("a.example", True), ("www.A.example.", True), ("x.www.a.example", False), ("example", False), ("10.0.0.1", True)],
)
def test_a_star_stands_for_one_label(host: str, fits: bool) -> None:
    found = parse_certificate(certificate())
    assert found is not None
    assert found.matches(host) is fits


def test_its_own_issuer_is_self_signed() -> None:
    found = parse_certificate(certificate("same", "same"))
    assert found is not None
    assert found.self_signed


def test_a_strange_date_is_no_date() -> None:
    found = parse_certificate(certificate(not_before=b"99139900000"))
    assert found is not None
    assert found.not_before is None


def test_names_escape_what_rfc_2253_says() -> None:
    found = parse_certificate(certificate(" #ä\n<"))
    assert found is not None
    assert zeek_name(found.subject) == "CN=\\ #\\C3\\A4\\0A\\<,C=DE"


@pytest.mark.parametrize("raw", [b"", b"\x30", b"\x30\x80", b"\x1f\x01\x00", b"\x30\x85\0\0\0\0\0", b"\x30\x05\1"])
def test_hostile_der_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        der.element(raw, 0, len(raw))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 600), st.binary(max_size=8))
def test_any_bytes_are_a_certificate_or_none(at: int, piece: bytes) -> None:
    raw = certificate()
    parse_certificate(raw[:at] + piece + raw[at + len(piece) :])
    parse_certificate(raw[:at])
