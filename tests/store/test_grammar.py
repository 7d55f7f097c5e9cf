"""The filter grammar: what each form means, where a mistake is, and that no text breaks it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import QueryError
from nsm.store.grammar import CHARS_MAX, FilterError, chips, where
from nsm.store.plan import plan
from nsm.store.queryspec import And, Node, Not, Or, QuerySpec, Term

CASES: dict[str, Node | None] = {
    "": None,
    "   ": None,
    "app:tls": Term("app", "=", "tls"),
    "-app:dns": Not(Term("app", "=", "dns")),
    "bytes:>1M": Term("bytes", ">", 1_000_000),
    "bytes:>=1.5KiB": Term("bytes", ">=", 1536),
    "pkts:<=10k": Term("pkts", "<=", 10_000),
    "dur_us:>10s": Term("dur_us", ">", 10_000_000),
    "dur_us:<5ms": Term("dur_us", "<", 5_000),
    "proto:TCP": Term("proto", "=", "TCP"),
    "port:1-1024": Term("port", "between", (1, 1024)),
    "port:53": Term("port", "=", "53"),
    "src:10.0.0.0/8": Term("src", "cidr", "10.0.0.0/8"),
    "dst:2001:db8::1": Term("dst", "=", "2001:db8::1"),
    "host:10.0.0.1,10.0.0.2": Term("host", "in", ("10.0.0.1", "10.0.0.2")),
    "10.0.0.1": Term("host", "=", "10.0.0.1"),
    "10.0.0.0/24": Term("host", "cidr", "10.0.0.0/24"),
    "2001:db8::1": Term("host", "=", "2001:db8::1"),
    "fe80::/10": Term("host", "cidr", "fe80::/10"),
    "app:tls,dns": Term("app", "in", ("tls", "dns")),
    "app:*ls": Term("app", "suffix", "ls"),
    "app:tl*": Term("app", "prefix", "tl"),
    "app:*l*": Term("app", "contains", "l"),
    "app:*": Term("app", "exists"),
    'app:"a b"': Term("app", "=", "a b"),
    'app:"say \\"x\\""': Term("app", "=", 'say "x"'),
    "-web": Not(Or((Term("app", "contains", "web"), Term("label", "contains", "web")))),
    '"two words"': Or((Term("app", "contains", "two words"), Term("label", "contains", "two words"))),
    "app:tls bytes:>1": And((Term("app", "=", "tls"), Term("bytes", ">", "1"))),
    "app:tls and bytes:>1": And((Term("app", "=", "tls"), Term("bytes", ">", "1"))),
    "app:tls or app:dns": Or((Term("app", "=", "tls"), Term("app", "=", "dns"))),
    "app:tls or app:dns port:53": And(
        (Or((Term("app", "=", "tls"), Term("app", "=", "dns"))), Term("port", "=", "53"))
    ),
}


@pytest.mark.parametrize("text", CASES)
def test_a_filter_means(text: str) -> None:
    assert where(text) == CASES[text]


def test_severity_has_words_and_an_order() -> None:
    assert where("severity:high+", "alert") == Term("severity", ">=", "high")
    assert where("kind:network_scan", "alert") == Term("kind", "=", "network_scan")
    assert plan(QuerySpec(table="alert", where=where("severity:high+", "alert"))).where is not None


MISTAKES = {  # text: (position, part of the message, part of the mend)
    "ap:tls": (0, "no field 'ap'", "app"),
    "app:tls bytez:>1": (8, "no field 'bytez'", "bytes"),
    "  severity:high": (2, "alert has one", ""),
    "proto:tcpp": (0, "no value 'tcpp'", "tcp"),
    "src:10.0.0.300": (0, "not an address", "10.0.0.1"),
    "app:tls bytes:>lots": (8, "no value 'lots'", ""),
    "app:": (0, "needs a value", ""),
    "app:tls bytes:>": (8, "needs a value", ""),
    'app:"open': (4, "quote is not closed", ""),
    "or app:tls": (0, "both sides", ""),
    "app:tls or": (8, "both sides", ""),
    "src:>10.0.0.1": (0, "is an address", ""),
    "app:a*b": (0, "beginning or the end", ""),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named_with_its_place_and_a_way_out(text: str) -> None:
    position, message, mend = MISTAKES[text]
    with pytest.raises(FilterError, match=message.replace("*", r"\*")) as caught:
        where(text)
    assert caught.value.position == position
    assert caught.value.length > 0
    assert mend in caught.value.mend
    assert f"character {position + 1}" in caught.value.where


def test_limits_are_said() -> None:
    with pytest.raises(FilterError, match="at most 64 conditions"):
        where("app:tls " * 65)
    with pytest.raises(FilterError, match="at most 4000 characters"):
        where("x" * (CHARS_MAX + 1))


def test_chips_tell_the_page_where_each_piece_stands() -> None:
    text = " app:tls  or -src:10.0.0.1 "
    found = chips(text)
    assert [(chip.text, chip.position, chip.joined) for chip in found] == [
        ("app:tls", 1, False), ("-src:10.0.0.1", 13, True)]  # fmt: skip
    assert all(text[chip.position :].startswith(chip.text) for chip in found)


def read(text: str, table: str) -> tuple[Node | None, int]:
    """What a filter means, or where its mistake is; any other error is raised."""
    try:
        return where(text, table), 0
    except FilterError as error:
        return None, error.position


WORDS = st.sampled_from(
    ["app:tls", "-", "or", "and", '"', "\\", "host:", "10.0.0.1", "bytes:>", "port:1-", "*", ",", " "]
)


@given(
    st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=8).map("".join)),
    st.sampled_from(["flow", "alert", "record"]),
)
def test_any_text_is_a_condition_or_a_filter_error_inside_it(text: str, table: str) -> None:
    node, at = read(text, table)
    assert 0 <= at < max(1, len(text))
    plan(QuerySpec(table=table, where=node))  # what the grammar accepts can be planned


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30))
def test_any_value_can_be_asked_for_in_quotes(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert where(f'app:"{quoted}"') == Term("app", "=", value)


def test_grammar_errors_are_query_errors() -> None:
    with pytest.raises(QueryError):
        where("nonsense:1")
