"""docs/health.md says what the code says. ``python -m tests.health.test_docs`` writes its tables anew."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from nsm.health import findings
from nsm.health.forecast import Forecast
from nsm.health.gateway import Target
from nsm.health.thresholds import Raised
from nsm.health.working import JUDGEMENTS, Facts, judge
from nsm.model.finding import Finding
from tests.health.test_working import FINE, WRONG

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "health.md"
FIGURES = "figures"
ENDS = "test_faults.py test_what_ends_the_watching_is_told"
BACK = "test_health_over.py test_a_silent_gateway_and_resolver_are_told_and_that_they_are_back_once"
MADE = {
    "stopped": "test_health.py test_only_own_traffic_is_told_as_such_and_stopped_capture_fails",
    "failed": ENDS,
    "silent": ENDS,
    "no analysis": ENDS,
    "own traffic only": "test_faults.py test_a_port_that_is_no_mirror_is_told",
    "quiet": ENDS,
    "one way": "test_faults.py test_a_mirror_of_one_direction_is_told",
    "drops": "test_faults.py test_a_burst_that_is_too_much_for_the_ring_is_told_as_drops",
    "offload": "test_faults.py test_an_interface_that_joins_segments_is_told",
    "checksums of our own": "test_faults.py test_checksums_that_the_card_would_compute_are_harmless",
    "damaged": "test_faults.py test_packets_that_are_damaged_on_the_way_are_told",
    "cut": "test_faults.py test_frames_longer_than_a_block_are_told_as_cut",
    "clock not set": "test_faults.py test_the_clock_is_what_the_kernel_says",
    "clock slow": FIGURES,
    "clock stepped": FIGURES,
    "packets late": FIGURES,
    "packets early": FIGURES,
    "file old": "test_faults.py test_lists_that_nobody_renews_are_told",
    "file gone": "test_faults.py test_lists_that_nobody_renews_are_told",
    "gateway silent": BACK,
    "disk full": "test_faults.py test_a_disk_with_less_room_than_the_store_wants_is_told",
    "disk early": "test_faults.py test_a_disk_with_less_room_than_the_store_wants_is_told",
    "disk soon": FIGURES,
    "disk low": "test_faults.py test_a_disk_that_is_nearly_full_is_told",
    "gaps": ENDS,
}
ALERTS = {
    "silent": BACK,
    "loss": "test_health.py test_loss_that_lasts_raises_an_alert",
    "latency": FIGURES,
    "resolver": BACK,
    "interface_down": "test_health_over.py test_an_interface_that_is_up_again_is_told_once",
    "disk": "test_faults.py test_a_disk_that_is_nearly_full_is_told",
}


def stated() -> dict[str, Finding]:
    """An example of every health alert, by the function that states it."""
    once, gateway = Raised(1, False), Target("gateway", "10.0.0.1", "gateway")
    return {
        "silent": findings.silent(gateway, once, 0),
        "loss": findings.loss(gateway, 0.12, 0.05, once, 0),
        "latency": findings.latency(gateway, 250.0, 100.0, once, 0),
        "resolver": findings.resolver("10.0.0.1", 1.0, 0.5, once, 0),
        "interface_down": findings.interface_down("eth0", True, True, once, 0),
        "disk": findings.disk(Forecast(2.0, 5e9, "critical", ""), 10**10, 10**12, 14.0, "", 0),
    }


def row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/').replace('   or   ', ' or ') for cell in cells)} |"


def head(*names: str) -> list[str]:
    return [row(*names), row(*["---"] * len(names))]


def tables() -> dict[str, str]:
    """The tables by their names."""
    measured = head("judgement", "measured", "speaks from")
    measured += [row(one.name, one.measured, one.limit) for one in JUDGEMENTS]
    said = head("judgement", "state", "sentence", "mend", "made by")
    for name, (changed, wanted, state) in WRONG.items():
        found = {verdict.id: verdict for verdict in judge(Facts(**{**FINE, **changed}))}[wanted]
        judgement = "network" if changed.get("troubles") else wanted.partition(":")[0]
        said.append(row(judgement, state, found.text, found.mend, MADE[name]))
    alerts = head("alert", "impact", "sentence", "what to do", "made by")
    for name, one in stated().items():
        does = " or ".join(text.rstrip(".") for text in one.explain.next)
        alerts.append(row(one.signature, one.impact.word, one.explain.what, does, ALERTS[name]))
    return {"judgements": "\n".join(measured), "sentences": "\n".join(said), "alerts": "\n".join(alerts)}


def written() -> str:
    """The document with the tables of now."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, lines in tables().items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, mark, after = rest.partition(end)
        assert mark, name
        text = f"{before}{begin}\n{lines}\n\n{end}{after}"
    return text


def functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node.name


def test_the_document_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == written(), "python -m tests.health.test_docs"


def test_every_judgement_and_every_alert_has_an_example_and_its_test() -> None:
    groups = {name.partition(":")[0] for _, name, _ in WRONG.values()}
    assert groups == {one.name for one in JUDGEMENTS if one.name != "network"} | {"silent"}
    assert set(MADE) == set(WRONG)
    stating = {name for name in functions(Path(findings.__file__)) if not name.startswith("_")} - {"over", "named"}
    assert stating == set(ALERTS) == set(stated())
    for place in {*MADE.values(), *ALERTS.values()} - {FIGURES}:
        file, name = place.split()
        assert name in set(functions(ROOT / "tests" / "live" / file)), place


if __name__ == "__main__":
    DOCUMENT.write_text(written(), encoding="utf-8")
