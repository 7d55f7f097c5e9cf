"""A scan as a whole, on this machine's loopback by plain connections, where nothing is lost or slow."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from nsm.errors import ScanError
from nsm.model.scan import PortState, ScannedPort, ScanState, Service
from nsm.scan import journal as journals
from nsm.scan.journal import Request
from nsm.scan.runner import Progress, Tools, ports_of, scan
from nsm.scan.settings import ScanSettings

FAST = 0


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_what_was_asked_and_what_answered_is_told(listener: int) -> None:
    seen: list[Progress] = []
    request = Request(("127.0.0.1",), f"1-50,{listener}", method="connect", rate=FAST)
    found = scan(request, tools=Tools(progress=seen.append))
    assert found.state == ScanState.COMPLETE
    assert [(port.port, port.state) for port in found.found] == [(listener, PortState.OPEN)]
    assert [(host.address, host.up_by, host.counts) for host in found.hosts] == [("127.0.0.1", "local", {"closed": 50})]
    assert (found.answered, found.loss) == (51, 0.0)
    assert found.sent >= 51
    assert found.options["method"] == "connect"
    assert found.ended >= found.started
    assert {progress.stage for progress in seen} >= {"hosts"} or found.sent


def test_services_are_asked_for_what_is_open_alone(listener: int) -> None:
    def identify(ports: Sequence[ScannedPort]) -> list[ScannedPort]:
        assert [port.port for port in ports] == [listener]
        return [msgspec.structs.replace(port, service=Service("ssh", how="banner")) for port in ports]

    request = Request(("127.0.0.1",), f"1,{listener}", method="connect", rate=FAST)
    found = scan(request, tools=Tools(identify=identify))
    services = {port.port: port.service.name for port in found.found if port.service}
    assert services == {listener: "ssh"}


def test_udp_tells_answers_and_closed_ports() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind(("127.0.0.1", 0))
        silent = quiet.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            closed = gone.getsockname()[1]
        settings = ScanSettings(tries=1, timeout_first_s=0.05, timeout_max_s=0.2)
        found = scan(Request(("127.0.0.1",), f"U:{silent},{closed}", rate=FAST), settings)
    states = {port.port: (port.state, port.reason) for port in found.found}
    assert states[silent] == (PortState.OPEN_FILTERED, "no answer")
    assert states[closed] == (PortState.CLOSED, "icmp 3/3")


def test_a_scan_that_is_stopped_is_partial_and_goes_on_later(listener: int, tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    calls = [0]

    def stopping() -> bool:
        calls[0] += 1
        return calls[0] > 3

    request = Request(("127.0.0.1",), f"1-199,{listener}", method="connect", rate=400, discovery=False)
    first = scan(request, tools=Tools(stopping=stopping), journal=path)
    assert first.state == ScanState.PARTIAL
    known = sum(first.hosts[0].counts.values()) + len(first.found)
    assert 0 < known < 200
    resumed = journals.read(path)
    second = scan(resumed.request, tools=Tools(), journal=path, resumed=resumed)
    assert second.state == ScanState.COMPLETE
    assert second.id == first.id
    assert second.sent == 200
    assert sum(second.hosts[0].counts.values()) + len(second.found) == 200
    assert not path.exists()


def test_hosts_that_are_not_up_are_left_out() -> None:
    # 127.0.0.0/8 is this machine's: every address of it is up; a network behind no route has none.
    found = scan(Request(("127.0.0.4/30",), "1", method="connect", rate=FAST))
    assert [host.address for host in found.hosts] == ["127.0.0.5", "127.0.0.6"]


def test_ports_of_a_request() -> None:
    settings = ScanSettings(ports="22,80")
    assert ports_of(Request(), settings, 0).tcp == (80, 22)
    assert not ports_of(Request(), settings, 0).udp
    assert len(ports_of(Request(udp=True), settings, 0).udp) == 50
    assert ports_of(Request(ports="53", udp=True), settings, 0).udp == (53,)


@pytest.mark.parametrize("rate", [-1, 20_001])
def test_a_rate_that_is_not_possible_is_refused(rate: int) -> None:
    with pytest.raises(ScanError, match="rate"):
        scan(Request(("127.0.0.1",), "1", rate=rate))
