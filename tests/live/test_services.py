"""Real servers between two namespaces: each that is installed is recognised, from its greeting or its answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.namespaces import Namespaces
from lab.service_table import TABLE
from lab.services import Services, Verdict, ask, package_version

pytestmark = [pytest.mark.net, pytest.mark.slow]

LIGHT = [item for item in TABLE if not item.heavy]
IDENTIFY_S = 15.0
MUTE = {"distcc"}  # it closes without a word unless a compiler that it allows is asked for: a guess by number is all


@pytest.fixture(scope="module")
def verdicts(lab: Namespaces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[float, dict[str, Verdict]]]:
    """All that start quickly, asked once: (seconds, label -> verdict)."""
    labels = [item.label for item in LIGHT if package_version(item.package)]
    if len(labels) < 5:
        pytest.skip("needs servers to recognise: scripts/system-deps services")
    with Services(lab, "b", tmp_path_factory.mktemp("services") / "s", labels) as services:
        seconds, found = ask(lab, services, "community", "anonymous", "run")
        yield seconds, {verdict.running.service.label: verdict for verdict in found}


@pytest.mark.parametrize("label", [item.label for item in LIGHT])
def test_a_real_server_is_recognised(label: str, verdicts: tuple[float, dict[str, Verdict]]) -> None:
    service = next(item for item in TABLE if item.label == label)
    verdict = verdicts[1].get(label)
    if verdict is None:
        pytest.skip(f"{service.package} is not installed or does not start here")
    if label in MUTE:
        assert verdict.found.service is not None
        assert (verdict.found.service.name, verdict.found.service.how) == (label, "port")
        return
    assert verdict.name_right, verdict.found.service
    if service.tells:
        assert verdict.product_right, verdict.found.service
        assert verdict.version_right, (verdict.found.service, verdict.running.version)


def test_all_are_recognised_in_time(verdicts: tuple[float, dict[str, Verdict]]) -> None:
    assert verdicts[0] < IDENTIFY_S


def test_weaknesses_of_real_servers_are_named(verdicts: tuple[float, dict[str, Verdict]]) -> None:
    expected = {
        "telnetd": "telnet-open", "vsftpd": "ftp-anonymous", "redis": "database-open", "memcached": "database-open",
        "mosquitto": "mqtt-open", "snmpd": "snmp-public", "tigervnc": "vnc-open", "xvfb": "x11-open", "rsync": "rsync-open",
        "microsocks": "proxy-open", "xrdp": "rdp-no-nla", "dovecot-imaps": "cert-soon",
    }  # fmt: skip
    missed = {
        label: risk
        for label, risk in expected.items()
        if (verdict := verdicts[1].get(label)) is not None
        and verdict.found.service is not None
        and risk not in {item.id for item in verdict.found.service.risks}
    }
    assert not missed
