"""A report over millions of flows: seconds, memory, size of its files.

    python bench/report.py                           ten million flows, about a minute and a half
    python bench/report.py --rows 1000000
    python bench/report.py --store DIR               of a store that is there already
    python bench/report.py --scope 10.0.0.0/24       of some hosts alone

The flows are those of bench/store.py: 2,000 local hosts, 200,000 remote ones, one day.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

SECONDS_MAX = 10.0


def main() -> None:
    """Fill a store, report it, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--store", type=Path, help="a store made by this before; else one is made and removed")
    parser.add_argument("--keep", type=Path, help="where to make the store, which then stays")
    parser.add_argument("--scope", default="", help="as of nsm report")
    options = parser.parse_args()
    if options.store or options.keep:
        folder = options.store or options.keep
        if options.keep:
            fill(folder, options.rows)
        measure(folder, options.scope)
        return
    with tempfile.TemporaryDirectory(prefix="bench-report-") as name:
        fill(Path(name), options.rows)
        measure(Path(name), options.scope)


def fill(folder: Path, rows: int) -> None:
    """Store a day of flows."""
    import store

    print(f"{'storing the flows':<40} {store.load(folder, rows):>10.1f} s", flush=True)


def measure(folder: Path, scope: str) -> None:
    """Gather and write, and say what each took."""
    import store

    from nsm.report.gather import gather
    from nsm.report.pdf import missing
    from nsm.report.period import US, Period
    from nsm.report.render import render
    from nsm.report.scope import words
    from nsm.store.settings import StoreSettings

    start = store.START_S * US
    period = Period(start, start + store.DAY_S * US, "Europe/Berlin")
    began = time.perf_counter()
    facts = gather(folder, period, StoreSettings().home_net, period.stop_us, scope=words(scope))
    took = whole = time.perf_counter() - began
    flows = facts.traffic.totals.flows if facts.traffic is not None else 0
    print(f"{f'gathering the facts of {flows:,} flows':<40} {took:>10.2f} s", flush=True)
    for form in ("html", "json", "csv", *(() if missing() else ("pdf",))):
        began = time.perf_counter()
        data = render(facts, form)
        took = time.perf_counter() - began
        whole += took if form != "pdf" else 0
        print(f"{form:<40} {took:>10.3f} s {len(data):>12,} bytes", flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'all but the PDF':<40} {whole:>10.2f} s    at most {SECONDS_MAX:g} s; {memory:.0f} MB of memory")


if __name__ == "__main__":
    main()
