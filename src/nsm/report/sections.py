"""The sections of a report, each as HTML. What is not measured is said to be so; what a section claims has its ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from nsm.report import charts, numbers
from nsm.report.facts import AlertGroup, Facts
from nsm.report.parts import badge, figure, ids, moment, table, text
from nsm.report.summary import summary
from nsm.report.table import OF_ALL, Table, narrow

GROUPS_EXPLAINED: Final = 25  # ours: beyond, a reader wants the table
ROWS_SHOWN: Final = 10
FULL: Final = "all in the appendix"
ALERT_COLUMNS: Final = ("severity", "signature", "src", "dst", "alerts", "last", "state", "ids", "flows")

Tables = Mapping[str, Table]
Write = Callable[[Facts, Tables], str]


def _summary(facts: Facts, _tables: Tables) -> str:
    return f'<p class="summary">{" ".join(text(sentence) for sentence in summary(facts))}</p>'


def _score(facts: Facts, tables: Tables) -> str:
    made = facts.score
    worth = (
        f"{made.score} <small>of 100 at the end of the period{', whole network' if facts.scope else ''}</small>"
        if made.score is not None
        else text(made.reason)
    )
    trend = figure(charts.score(facts), "A trend needs at least three points at which there was a score.")
    deductions = table(tables["deductions"], facts.period, empty="Nothing is taken from the score.")
    return f'<p class="score">{worth}</p>{deductions}{trend}'


def _alerts(facts: Facts, tables: Tables) -> str:
    parts = [f"<p>{numbers.plural(facts.alerts.total, 'alert')} in the period.</p>"]
    if not facts.alerts.total:
        return parts[0] + table(tables["near_misses"], facts.period, empty="No measurement came near a threshold.")
    parts.append(figure(charts.alerts(facts), ""))
    parts += [table(tables[name], facts.period) for name in ("severities", "kinds", "techniques") if tables[name].rows]
    shown = facts.alerts.groups[:GROUPS_EXPLAINED]
    parts.append(f"<h3>What was found</h3>{''.join(_explained(one, facts) for one in shown)}")
    if len(shown) < len(facts.alerts.groups):
        parts.append(f'<p class="note">{len(shown)} of {len(facts.alerts.groups):,} groups; {FULL}.</p>')
    parts.append(table(tables["near_misses"], facts.period, empty="No measurement came near a threshold."))
    return "".join(parts)


def _explained(one: AlertGroup, facts: Facts) -> str:
    said = one.explain
    pair = " to ".join(part for part in (_named(one.src, facts), _named(one.dst, facts)) if part)
    sure = [f"{round(100 * one.confidence)} %."]
    for words, sentences in (("For", said.sure_for), ("Against", said.sure_against), ("Innocent causes", said.benign)):
        if sentences:
            sure.append(f"{words}: {'; '.join(sentence.rstrip('.') for sentence in sentences)}.")
    steps = "".join(f"<li>{text(step)}</li>" for step in said.next)
    evidence = (
        f"{numbers.plural(len(one.ids), 'alert')} ({ids(one.ids)}), {numbers.plural(one.findings, 'finding')}"
        f"{f', flows {ids(one.flow_ids)}' if one.flow_ids else ''}; measured {text(one.measured)}"
        f"{f'; {text(chr(32).join(one.techniques))}' if one.techniques else ''}."
    )
    parts = [("What", text(said.what)), ("Why", text(said.why)), ("Sure", text(" ".join(sure))),
             ("Next", f"<ol>{steps}</ol>" if steps else ""), ("Evidence", evidence)]  # fmt: skip
    listed = "".join(f"<dt>{word}</dt><dd>{part}</dd>" for word, part in parts if part)
    return (
        f'<article class="alert"><h4>{badge(one.severity)} {text(one.signature)}: {text(pair)}</h4>'
        f'<p class="hint">{moment(one.first_us, facts.period)} to {moment(one.last_us, facts.period)},'
        f" {text(', '.join(one.states))}</p><dl>{listed}</dl></article>"
    )


def _named(address: str, facts: Facts) -> str:
    name = facts.names.get(address)
    return f"{name} ({address})" if name else address


def _changed(facts: Facts, tables: Tables) -> str:
    hosts = table(
        tables["hosts_new"], facts.period, rows=ROWS_SHOWN, full=FULL, empty="No host was seen for the first time."
    )
    compared = any(scan.compared for scan in facts.scans)
    nothing = (
        "Scans found no service opened, closed or changed."
        if compared
        else "Services: not measured, for no scan of this period could be compared with one before."
    )
    return hosts + table(tables["service_changes"], facts.period, rows=ROWS_SHOWN, full=FULL, empty=nothing)


def _traffic(facts: Facts, tables: Tables) -> str:
    if facts.traffic is None:
        return "<p>Not measured: nothing is kept of this period.</p>"
    totals, failed = facts.traffic.totals, facts.traffic.failed
    items = "".join(
        f"<li><b>{value}</b> {words}</li>"
        for words, value in (
            ("in both directions", numbers.size(totals.bytes)), ("sent to outside", numbers.size(totals.out_bytes)),
            ("received from outside", numbers.size(totals.in_bytes)), ("flows", numbers.count(totals.flows)),
            ("packets", numbers.count(totals.pkts)), ("flows refused or unanswered", numbers.count(failed)),
        )
    )  # fmt: skip
    parts = [f'<ul class="facts">{items}</ul>', figure(charts.traffic(facts), "No flow ended in the period.")]
    parts += [table(tables[name], facts.period, rows=ROWS_SHOWN, full=FULL) for name in ("applications", "protocols")]
    parts.append(figure(charts.hosts(facts), "No local host was seen in a flow."))
    for name in ("hosts_local", "hosts_external", "ports"):
        if name in tables:
            parts.append(table(tables[name], facts.period, rows=ROWS_SHOWN, full=FULL))
    if "hosts_local" not in tables:
        parts.append("<p>Hosts: not measured, for there were too many addresses to count all.</p>")
    return "".join(parts)


def _scans(facts: Facts, tables: Tables) -> str:
    made = table(tables["scans"], facts.period, empty="No scan was made in this period.")
    changes = table(
        tables["service_changes"], facts.period, rows=ROWS_SHOWN, full=FULL, empty="No difference was found."
    )
    seen = (
        f"{numbers.plural(len(facts.scans_seen), 'scan')} by others seen: alerts {ids(facts.scans_seen)}."
        if facts.scans_seen
        else "No scan by others was seen."
    )
    return f"{made}{changes if facts.scans else ''}<p>{seen}</p>"


def _quality(facts: Facts, tables: Tables) -> str:
    quality = facts.quality
    items = (
        ("of the time watched", numbers.share(quality.watched)),
        ("of the packets seen", numbers.share(quality.seen)),
        ("packets dropped", numbers.count(quality.drops)),
        ("packets malformed", numbers.count(quality.malformed)),
    )
    facts_list = "".join(f"<li><b>{value}</b> {words}</li>" for words, value in items)
    strip = figure(charts.coverage(facts), "Coverage was not measured: no seconds of packets are kept of this period.")
    empty = "Not measured." if quality.watched is None else "There were none."
    note = f'<p class="note">{OF_ALL} {WHY_ALL}</p>' if facts.scope else ""
    blind = table(tables["blind"], facts.period, rows=50, full=FULL, empty=empty)
    return f'{note}<ul class="facts">{facts_list}</ul>{strip}{blind}'


def _compared(facts: Facts, tables: Tables) -> str:
    before = facts.period.previous()
    said = (
        f"The period before: {moment(before.start_us, before)} to {moment(before.stop_us, before)}, of the same length."
    )
    if facts.before.totals is None:
        said += f" It was not measured: {'flows are kept from a later time on' if facts.scope else 'the store begins later'}."
    return f"<p>{said}</p>{table(tables['compared'], facts.period)}"


def _appendix(facts: Facts, tables: Tables) -> str:
    names = ["alerts", "hosts_new", "service_changes", "score", "traffic", "applications", "protocols", "hosts_local",
             "hosts_external", "ports", "coverage", "blind"]  # fmt: skip
    chosen = {**tables, "alerts": narrow(tables["alerts"], ALERT_COLUMNS, "JSON and CSV have more columns.")}
    full = "".join(table(chosen[name], facts.period) for name in names if name in chosen and chosen[name].rows)
    settings = table(tables["settings"], facts.period, empty="No alert was made yet, so no settings were noted.")
    method = "".join(f"<li>{text(sentence)}</li>" for sentence in METHOD)
    words = "".join(f"<dt><b>{word}</b></dt><dd>{meaning}</dd>" for word, meaning in GLOSSARY.items())
    scope = ""
    if facts.scope:
        places = "".join(f"<li>{text(place.text)}</li>" for place in facts.scope)
        scope = f"<h3>Scope</h3><ul>{places}</ul><p>{SCOPE_METHOD}</p>"
    return (
        f"{scope}<h3>Full tables</h3>{full}<h3>Method</h3><ul>{method}</ul>"
        f"<h3>Settings</h3>{settings}<h3>Words</h3><dl>{words}</dl>"
    )


WHY_ALL: Final = "Packets are counted before anybody knows whose they are."
SCOPE_METHOD: Final = (
    "Flows, alerts, hosts and scans are those with one side in the scope, of this period and of the one before, counted one by"
    " one. Score, monitoring quality and measurements below the threshold are those of the whole network."
)
METHOD: Final = (
    "Traffic of the period is summed from every flow that ended in it, not from samples.",
    "The period before is taken from sums by the minute, and by the hour where minutes are not kept any more.",
    "Bytes are those on the wire, link layer included. Outside is what is not in a local network.",
    "An alert counts in the period in which it was last seen. Its state is that of the moment the report was made,"
    " also where the score of an earlier moment is shown.",
    "The score counts alerts of the seven days before the moment, formula 1: nsm explain score.",
    "Watched is the time without a noted gap, after the first row of the store, without ten minutes of silence or more.",
    "Packets seen is the share that the kernel handed over; what the kernel never got is not counted.",
    "Not measured means that nobody counted; it is never the same as 0.",
)
GLOSSARY: Final = {
    "alert": "one detection, with everything merged into it",
    "group": "alerts of one signature between one pair of addresses",
    "flow": "one conversation between two addresses and ports, in both directions",
    "host": "a device, known by its address",
    "external": "not in a local network",
    "confidence": "how sure the detection is",
    "severity": "how bad it is if it is true",
    "drop": "a packet that the kernel could not hand over",
    "gap": "a time in which a part of the monitor did not work",
}

SECTIONS: Final[Mapping[str, tuple[str, Write]]] = {
    "summary": ("Summary", _summary),
    "score": ("Score", _score),
    "alerts": ("Alerts", _alerts),
    "changed": ("What changed", _changed),
    "traffic": ("Traffic", _traffic),
    "scans": ("Scans", _scans),
    "quality": ("Monitoring quality", _quality),
    "compared": ("Against the period before", _compared),
    "appendix": ("Appendix", _appendix),
}
SHORT: Final = ("summary", "score", "alerts", "changed")
