"""No 5xx and no undocumented answer: Schemathesis asks every route of the document, a few times here and often in the long run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serve.conformance import bearer, faults, fill
from tests.serve.kit import Service, backend, running


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, str]]]:
    """A server with one of everything, and headers of an admin."""
    with backend(tmp_path_factory.mktemp("store")) as made:
        fill(made)
        headers = bearer(made)
        with running(made, tries_free=1_000_000, export_rows_max=1_000) as live:
            yield live, headers


@pytest.mark.parametrize(
    "examples", [pytest.param(1, id="few"), pytest.param(200, id="many", marks=[pytest.mark.long, pytest.mark.service])]
)
@pytest.mark.parametrize("reads", [True, False], ids=["reads", "writes"])  # what is there is read before it is cleared
def test_every_answer_is_as_documented(asked: tuple[Service, dict[str, str]], reads: bool, examples: int) -> None:
    service, headers = asked
    found, answers = faults(service.url, headers, examples=examples, reads=reads)
    assert not found, "\n\n".join(f"{fault}: {told}" for fault, told in sorted(found.items()))
    assert answers[200] > 20
    assert answers[400] > 20
