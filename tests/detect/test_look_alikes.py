"""Traffic that looks like an attack and is none: no detector may say a word. And every attack has its detector."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsm.model.finding import Severity
from nsm.pipeline import detector_specs
from tests.data.detect.make import ATTACKS, CASES, LOOK_ALIKES, in_time
from tests.detect.kit import case
from tests.kernels.frames import pcap


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_look_alike_passes_in_silence(name: str, tmp_path: Path) -> None:
    assert [alert.finding.explain.what for alert in case(name, tmp_path).alerts] == []


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found_by_its_detector_and_called_nothing_worse(name: str, tmp_path: Path) -> None:
    detector, _ = ATTACKS[name]
    seen = case(name, tmp_path)
    mine = seen.of(detector)
    assert mine
    # The scans of these cases are no floods, and no flood is a scan.
    others = [alert for alert in seen.alerts if alert.finding.detector != detector and alert.severity > Severity.INFO]
    assert [alert.finding.explain.what for alert in others] == []


@pytest.mark.parametrize("name", ATTACKS)
def test_a_finding_says_everything_that_a_person_asks(name: str, tmp_path: Path) -> None:
    for alert in case(name, tmp_path).alerts:
        finding = alert.finding
        assert finding.actors or finding.victims
        assert len(finding.actors) <= 16
        assert len(finding.flow_ids) <= 5
        assert finding.explain.what.endswith(".")
        assert finding.explain.why.endswith(".")
        assert finding.explain.benign
        assert finding.explain.next
        assert finding.techniques
        assert finding.first_seen <= finding.ts
        assert finding.detector == "large_packet" or finding.measured >= finding.threshold > 0
        assert alert.settings_hash


def test_every_detector_has_a_golden_case() -> None:
    assert {detector for detector, _ in ATTACKS.values()} == set(detector_specs())


def test_the_cases_are_the_same_bytes_every_time() -> None:
    assert len(CASES) == len(ATTACKS) + len(LOOK_ALIKES)
    for name in ("flood_syn", "peer_to_peer"):
        assert pcap(in_time(CASES[name])) == pcap(in_time(CASES[name]))
