"""Ways to addresses, as this machine's kernel tells them."""

from __future__ import annotations

import socket

import pytest

from nsm.errors import ScanError
from nsm.scan.route import interface_index, mac_of, routes_to, socket_address


def test_this_machine_is_local() -> None:
    routes = routes_to(["127.0.0.1", "127.9.9.9"])
    assert [route.local for route in routes.values() if route] == [True, True]
    first = routes["127.0.0.1"]
    assert first is not None
    assert (first.source, first.on_link, first.broadcast) == ("127.0.0.1", False, False)
    assert socket.if_indextoname(first.interface) == "lo"


def test_an_address_becomes_what_the_kernel_writes() -> None:
    assert socket_address("10.0.0.1") == ("10.0.0.1", 0)
    assert socket_address("fd00:0:0::0001") == ("fd00::1", 0, 0, 0)
    assert socket_address("fe80::1%lo") == ("fe80::1", 0, 0, socket.if_nametoindex("lo"))
    assert interface_index("7") == 7


def test_an_interface_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ScanError, match="no interface nowhere0"):
        routes_to(["fe80::1%nowhere0"])


def test_loopback_has_no_hardware_address() -> None:
    assert mac_of(socket.if_nametoindex("lo")) == bytes(6)
    assert mac_of(99_999) == bytes(6)
