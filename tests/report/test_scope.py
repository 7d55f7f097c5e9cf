"""A report of some hosts and networks: what it is about, what it holds, and what it says of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nsm.errors import QueryError
from nsm.report.facts import Facts
from nsm.report.html import page
from nsm.report.redact import redacted
from nsm.report.scope import PARTS_MAX, Place, Scope, found, said, words
from nsm.report.summary import summary
from nsm.report.table import OF_ALL, tables
from nsm.report.tables import json_document
from tests.report.kit import facts_of

NAMES = {"desk": ["192.168.1.20"], "twin": ["10.0.0.2", "10.0.0.1"]}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("192.168.1.20,10.1.0.0/16", ("192.168.1.20", "10.1.0.0/16")),
        (" 10.1.2.3/16 , 10.1.0.0/16,", ("10.1.0.0/16",)),
        ("2001:DB8:0::5, fe80::/10, 192.0.2.1/32", ("2001:db8::5", "fe80::/10", "192.0.2.1")),
        ("desk, printer.lan", ("desk", "printer.lan")),
        ("", ()),
    ],
)
def test_a_scope_is_read_as_people_write_it(text: str, parts: tuple[str, ...]) -> None:
    assert words(text) == parts


@pytest.mark.parametrize(
    "text", ["300.1.1.1", "10.0.0.0/33", "1.2.3", "fe80:::1", "a/8", "x" * 254, "a\nb", "b\u202ea"]
)
def test_what_is_meant_as_an_address_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="not an address, network or name"):
        words(f"10.0.0.1,{text}")


def test_a_scope_has_a_bound() -> None:
    assert len(words(",".join(f"10.0.0.{n}" for n in range(PARTS_MAX)))) == PARTS_MAX
    with pytest.raises(QueryError, match="at most 32 parts"):
        words(",".join(f"10.0.0.{n}" for n in range(PARTS_MAX + 1)))


def test_a_name_stands_for_the_one_host_that_has_it() -> None:
    places = found(("desk", "10.1.0.0/16"), lambda name: NAMES.get(name, []))
    assert places == (Place("192.168.1.20", "desk"), Place("10.1.0.0/16"))
    assert said(places) == "desk (192.168.1.20), 10.1.0.0/16"
    assert said((*places, Place("::1"), Place("::2"))) == "desk (192.168.1.20), 10.1.0.0/16, ::1 and 1 more"
    with pytest.raises(QueryError, match="no host is called 'nas'"):
        found(("nas",), lambda name: NAMES.get(name, []))
    with pytest.raises(QueryError, match="2 hosts are called") as raised:
        found(("twin",), lambda name: NAMES.get(name, []))
    assert "10.0.0.1,10.0.0.2" in raised.value.mend


def test_what_belongs_to_a_scope() -> None:
    scope = Scope((Place("10.1.0.0/16"), Place("fe80::1")))
    assert scope.covers("10.1.255.255")
    assert scope.covers("fe80::1%eth0")
    assert not scope.covers("10.2.0.0")
    assert [scope.touches(text) for text in ("10.0.0.0/8", "10.2.0.0/16", "10.1.2.3", "fe80::/64", "nas.lan")] == [
        True, False, True, True, False,
    ]  # fmt: skip
    assert not Scope(())
    assert Scope(()).covers("8.8.8.8")


@pytest.fixture(scope="module")
def scoped(folder: Path) -> Facts:
    """The day of two hosts, one of them by its name, which people write in any case."""
    return facts_of(folder, scope=words("Desk,198.51.100.4"))


def test_alerts_hosts_and_scans_are_those_of_the_scope(folder: Path, facts: Facts, scoped: Facts) -> None:
    assert [group.ids for group in scoped.alerts.groups] == [("A4",)]
    assert (scoped.alerts.total, scoped.alerts.by_severity["medium"], scoped.alerts.by_severity["high"]) == (1, 1, 0)
    assert (scoped.before.alerts, scoped.before.by_severity) == (1, {"medium": 1})
    assert scoped.hosts_new == ()
    assert scoped.scans_seen == ()
    assert scoped.scans == ()
    other = facts_of(folder, scope=words("192.168.1.5,192.168.1.77"))
    assert [host.address for host in other.hosts_new] == ["192.168.1.77"]
    assert [(scan.id, scan.hosts, scan.open, len(scan.changes)) for scan in other.scans] == [("s2", 1, 2, 2)]
    assert set(other.scans_seen) == set(facts.scans_seen) == {"A1", "A2"}
    near = facts_of(folder, scope=words("192.168.1.6"))
    assert near.scans == ()


def test_what_knows_no_scope_is_of_the_whole_network_and_says_so(facts: Facts, scoped: Facts) -> None:
    assert scoped.score == facts.score
    assert scoped.quality == facts.quality
    assert scoped.near_misses == facts.near_misses
    notes = {table.name: table.note for table in tables(scoped)}
    for name in ("deductions", "score", "near_misses", "coverage", "blind"):
        assert OF_ALL in notes[name]
    assert not any(OF_ALL in table.note for table in tables(facts))
    assert f"(network score {facts.score.score} of 100)" in " ".join(summary(scoped))


def test_title_summary_and_appendix_say_the_scope(facts: Facts, scoped: Facts) -> None:
    made = page(scoped)
    assert "<h1>Network report of Desk (192.168.1.20), 198.51.100.4</h1>" in made
    assert "<title>Network report of Desk (192.168.1.20), 198.51.100.4, 2025" in made
    assert summary(scoped)[0] == "This is about Desk (192.168.1.20), 198.51.100.4."
    assert len(" ".join(summary(scoped)).split()) < 120
    assert "<h3>Scope</h3><ul><li>Desk (192.168.1.20)</li><li>198.51.100.4</li></ul>" in made
    assert "<h3>Scope</h3>" not in page(facts)
    document = json.loads(json_document(scoped))
    assert document["scope"] == [{"network": "192.168.1.20", "name": "Desk"}, {"network": "198.51.100.4", "name": ""}]
    assert json.loads(json_document(facts))["scope"] is None


def test_pseudonyms_hide_the_scope_too(scoped: Facts) -> None:
    hidden = redacted(scoped, b"k" * 32)
    for made in (page(hidden), json_document(hidden).decode()):
        assert "desk" not in made.lower()
        assert "192.168." not in made
        assert "198.51." not in made
        assert "name-" in made
