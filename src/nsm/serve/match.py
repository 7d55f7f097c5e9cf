"""The filter of the event log, which has rows of two tables: flows and alerts.

There is one parser (``nsm.store.grammar``), and it knows one table at a time. A condition on a field that a table
lacks is decided here: every flow is ``kind:normal_traffic severity:info``, and no alert has, say, an ``app``. So
each table gets a condition of its own fields, or none of its rows match. The same condition is applied to live
rows, which never touch the store.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from nsm.iana import PROTO_NAMES
from nsm.serve.shapes import severity_number
from nsm.store.grammar import Chip, FilterError, chips
from nsm.store.queryspec import TERMS_MAX, And, Node, Not, Or, Term, terms_of

TABLES: Final = ("flow", "alert")
_FLOW_IS: Final[Mapping[str, Any]] = {"kind": "normal_traffic", "severity": 0, "event_type": "normal_traffic"}
_MARK: Final = 7_000_000  # stands in for a condition of the other table while a filter is parsed
_PROTO: Final = {name.lower(): number for number, name in PROTO_NAMES.items()} | {"icmpv6": 58}

Condition = Node | bool
Row = Mapping[str, Any]


class Filter(msgspec.Struct, frozen=True):
    """A parsed filter: the condition for each table (True: all rows, False: none), and its pieces as typed."""

    text: str
    flow: Condition
    alert: Condition
    pieces: tuple[str, ...]

    def of(self, table: str) -> Condition:
        """The condition for rows of that table."""
        return self.flow if table == "flow" else self.alert


def parse(text: str) -> Filter:
    """The filter of a text; FilterError, with the position in the text, when neither table can take it."""
    flow, alert = (_for_table(text, table) for table in TABLES)
    return Filter(text, _joined(flow), _joined(alert), tuple(chip.text for chip, _ in flow))


def _for_table(text: str, table: str) -> list[tuple[Chip, Condition]]:
    other = TABLES[1 - TABLES.index(table)]
    marks: dict[str, tuple[str, Condition]] = {}
    work, shift = text, 0
    for _ in range(TERMS_MAX + 1):
        try:
            found = chips(work, table)
            break
        except FilterError as error:
            token = work[error.position : error.position + error.length].strip()
            place = error.position - shift
            try:
                (elsewhere,) = chips(token, other)
            except (FilterError, ValueError):
                raise FilterError(str(error), place, error.length, error.mend) from error
            mark = f"ts:={_MARK + len(marks)}"
            marks[mark] = (token, _decided(elsewhere.node, _FLOW_IS if table == "flow" else {}))
            work = work[: error.position] + mark + work[error.position + len(token) :]
            shift += len(mark) - len(token)
    else:
        raise FilterError(f"a filter has at most {TERMS_MAX} conditions", 0, len(text))
    out: list[tuple[Chip, Condition]] = []
    for chip in found:
        typed, condition = marks.get(chip.text, (chip.text, chip.node))
        out.append((msgspec.structs.replace(chip, text=typed), condition))
    return out


def _decided(node: Node, known: Row) -> bool:
    """Whether rows with only these fields match; a field that is not there matches nothing."""
    match node:
        case Not():
            return not _decided(node.no, known)
        case And():
            return all(_decided(child, known) for child in node.all)
        case Or():
            return any(_decided(child, known) for child in node.any)
        case Term():
            return node.f in known and _compare(node)(known[node.f])


def _joined(parts: list[tuple[Chip, Condition]]) -> Condition:
    groups: list[list[Condition]] = []
    for chip, condition in parts:
        if chip.joined and groups:
            groups[-1].append(condition)
        else:
            groups.append([condition])
    every: list[Node] = []
    for group in groups:
        if any(one is True for one in group):
            continue
        nodes = tuple(one for one in group if not isinstance(one, bool))
        if not nodes:
            return False
        every.append(nodes[0] if len(nodes) == 1 else Or(nodes))
    if not every:
        return True
    return every[0] if len(every) == 1 else And(tuple(every))


# Live rows

_LIVE: Final[Mapping[str, tuple[Callable[[Row], Any], ...]]] = {
    "ts": (lambda row: int((row.get("ts") or 0) * 1e6),),
    "kind": (lambda row: row.get("event_type"),),
    "severity": (lambda row: severity_number(str(row.get("severity"))),),
    "src": (lambda row: row.get("src_ip"),),
    "dst": (lambda row: row.get("dest_ip"),),
    "host": (lambda row: row.get("src_ip"), lambda row: row.get("dest_ip")),
    "src_port": (lambda row: row.get("src_port") or 0,),
    "dst_port": (lambda row: row.get("dest_port") or 0,),
    "port": (lambda row: row.get("src_port") or 0, lambda row: row.get("dest_port") or 0),
    "proto": (lambda row: _PROTO.get(str(row.get("proto")).lower(), -1),),
    "flow_id": (lambda row: row.get("flow_id"),),
    "id": (lambda row: row.get("alert_id"),),
    "signature": (lambda row: row.get("details"),),
    "detector": (lambda row: row.get("event_type"),),
    "category": (lambda row: "",),
    "app": (lambda row: row.get("app"),),
    "bytes": (lambda row: row.get("bytes"),),
    "pkts": (lambda row: row.get("pkts"),),
}
"""How a field of the language is read from a live row; two readers: either may match."""
_ADDRESSES: Final = ("src", "dst", "host")


def live_fields_missing(wanted: Filter) -> list[str]:
    """Fields of the filter that live rows do not have: such a filter reads the store instead."""
    asked = {term.f for table in TABLES if not isinstance(wanted.of(table), bool)
             for term, _ in terms_of(wanted.of(table))}  # type: ignore[arg-type]  # fmt: skip
    return sorted(asked - set(_LIVE))


def live_match(wanted: Filter) -> Callable[[Row], bool]:
    """A function that says whether a live row matches."""
    flow, alert = _compiled(wanted.flow), _compiled(wanted.alert)
    return lambda row: alert(row) if row.get("alert_id") or row.get("event_type") != "normal_traffic" else flow(row)


def _compiled(condition: Condition) -> Callable[[Row], bool]:
    match condition:
        case bool():
            return lambda _row: condition
        case Not():
            inner = _compiled(condition.no)
            return lambda row: not inner(row)
        case And():
            parts = [_compiled(child) for child in condition.all]
            return lambda row: all(part(row) for part in parts)
        case Or():
            parts = [_compiled(child) for child in condition.any]
            return lambda row: any(part(row) for part in parts)
        case Term():
            readers, compare = _LIVE.get(condition.f, ()), _compare(condition)
            return lambda row: any(value is not None and compare(value) for value in (read(row) for read in readers))


def _compare(term: Term) -> Callable[[Any], bool]:
    """The comparison of one term with a value; a value of the wrong type does not match."""
    if term.f in _ADDRESSES:
        return _within(term)
    values = term.v if isinstance(term.v, tuple) else (term.v,)
    wanted = tuple(_plain(term.f, value) for value in values)
    first = wanted[0] if wanted else ""
    orders = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
              "!=": operator.ne}  # fmt: skip
    texts: Mapping[str, Callable[[str, str], bool]] = {
        "prefix": str.startswith, "suffix": str.endswith, "contains": str.__contains__,
    }  # fmt: skip
    if term.op in orders:
        order = orders[term.op]
        return lambda value: isinstance(value, str) == isinstance(first, str) and bool(order(_fold(value), first))
    if term.op in texts:
        text = texts[term.op]
        return lambda value: text(str(value).lower(), str(first).lower())
    others: Mapping[str, Callable[[Any], bool]] = {
        "between": lambda value: not isinstance(value, str) and bool(wanted[0] <= value <= wanted[1]),
        "in": lambda value: _fold(value) in wanted,
        "exists": bool,
    }
    return others.get(term.op, lambda _value: False)  # a regex is not offered by the filter grammar


def _plain(field: str, value: Any) -> Any:
    if isinstance(value, str):
        if field == "severity" and not value.isdigit():
            return severity_number(value.lower())
        if field == "proto" and not value.isdigit():
            return _PROTO.get(value.lower(), -2)
        return (
            int(value)
            if field not in ("app", "kind", "id", "signature", "detector") and value.isdigit()
            else _fold(value)
        )
    return value


def _fold(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _within(term: Term) -> Callable[[Any], bool]:
    values = term.v if isinstance(term.v, tuple) else (term.v,)
    networks = [ipaddress.ip_network(str(value), strict=False) for value in values]

    def inside(value: Any) -> bool:
        try:
            address = ipaddress.ip_address(str(value))
        except ValueError:
            return False
        return any(address.version == network.version and address in network for network in networks)

    return inside
