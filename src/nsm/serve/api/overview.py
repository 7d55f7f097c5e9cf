"""Numbers of now and of a time: overview, score, series, top lists."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from nsm.serve.depends import Limit, Reads, Times, Uses
from nsm.serve.shapes import iso

SPEC: Final = APIRouter(prefix="/api/v1", tags=["overview"])


@SPEC.get("/overview")
def overview(use: Uses, _session: Reads, times: Times) -> dict[str, Any]:
    """Everything of now, and the threats of the time."""
    snapshot = use.state.snapshot()
    snapshot.pop("series")
    gaps = [{"from": gap.start_us / 1e6, "to": gap.stop_us / 1e6, "process": gap.process, "what": gap.what,
             "packets": gap.packets} for gap in use.reader.gaps(times[0], times[1])[:100]]  # fmt: skip
    return {**snapshot, "threats": use.reader.threats(times[0], times[1]), "gaps": gaps,
            "from": iso(times[0]), "to": iso(times[1])}  # fmt: skip


@SPEC.get("/score")
def score(use: Uses, _session: Reads) -> dict[str, Any]:
    """The security score with its deductions; no number while capture is stopped or too little is known."""
    return use.state.score


@SPEC.get("/series")
def series(
    use: Uses, _session: Reads, times: Times, dim: str = "total", measure: str = "bytes",
    step: Annotated[int, Query(ge=1, le=86_400)] = 60, key: Annotated[list[str] | None, Query()] = None,
) -> dict[str, Any]:  # fmt: skip
    """Sums over time from the rollups: {t0, step_s, keys, values}."""
    return use.reader.series(dim, key, measure, times[0], times[1], step)


@SPEC.get("/top")
def top(
    use: Uses, _session: Reads, times: Times, dim: str = "host", measure: str = "bytes", limit: Limit = 10
) -> dict[str, Any]:
    """The largest keys of a dimension; the rest is one row, "other"."""
    return {
        "items": use.reader.top(dim, measure, times[0], times[1], limit),
        "from": iso(times[0]),
        "to": iso(times[1]),
    }
