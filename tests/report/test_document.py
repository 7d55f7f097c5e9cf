"""The JSON form and its schema: every kind of report is valid, what is not is refused, and the file is of today."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from nsm.report.document import SCHEMA_FILE, json_schema
from nsm.report.facts import Facts
from nsm.report.period import Period
from nsm.report.redact import redacted
from nsm.report.scope import words
from nsm.report.tables import json_document
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer
from tests.report.kit import START, facts_of

SHIPPED = resources.files("nsm.report").joinpath(SCHEMA_FILE).read_bytes()
CHECKER = jsonschema_rs.validator_for(json.loads(SHIPPED), validate_formats=True)


def test_the_file_is_the_one_of_these_types() -> None:
    assert json_schema() == SHIPPED, "make it anew: nsm report --schema > src/nsm/report/report.schema.json"


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    Writer(folder, StoreSettings(ballast_bytes=0, free_min_bytes=0, free_early_bytes=0), background=False).close()
    return folder


@pytest.mark.parametrize("kind", ["whole", "short", "scoped", "redacted", "scoped and redacted", "before the store"])
def test_every_kind_of_report_is_valid(folder: Path, facts: Facts, kind: str) -> None:
    early = Period(START - 90 * 86_400_000_000, START - 89 * 86_400_000_000)
    scoped = facts_of(folder, scope=words("desk,203.0.113.0/24"))
    made = {
        "whole": facts, "short": facts_of(folder, short=True), "scoped": scoped, "redacted": redacted(facts, b"k" * 32),
        "scoped and redacted": redacted(scoped, b"k" * 32), "before the store": facts_of(folder, early),
    }[kind]  # fmt: skip
    check(made)


@pytest.mark.parametrize("scope", ["", "10.0.0.0/8"])
def test_a_report_of_an_empty_store_is_valid(empty_store: Path, scope: str) -> None:
    made = facts_of(empty_store, scope=words(scope))
    document = check(made)
    assert document["score"]["score"] is None
    assert document["quality"]["watched"] is None


def check(facts: Facts) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json_document(facts))
    assert document["$schema"] == SCHEMA_FILE
    assert [str(error) for error in CHECKER.iter_errors(document)] == []
    known = json.loads(SHIPPED)["$defs"]["Document"]["properties"]
    assert set(document) == set(known)
    return document


@pytest.mark.parametrize(
    ("path", "value"),
    [(("made",), "yesterday"), (("schema",), 2), (("score", "score"), 101), (("quality", "seen"), 1.5),
     (("alerts", 0, "severity"), "bad"), (("alerts", 0, "flow_ids", 0), "one"), (("tables", "alerts", "rows", 0, 0), {}),
     (("period",), {"from": "2025-01-01T00:00:00Z"})],
)  # fmt: skip
def test_what_is_no_report_is_not_valid(facts: Facts, path: tuple[Any, ...], value: Any) -> None:
    document = json.loads(json_document(facts))
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    assert not CHECKER.is_valid(document)


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    from nsm.cli import main

    assert main.run(["report", "--schema"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == json.loads(SHIPPED)
