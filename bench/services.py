"""How many real services are recognised: name, product and version, and the seconds that each took.

    sudo python bench/services.py [--only LABEL,LABEL] [--light] [--strange] [--record DIR] [CONSENT...]

Starts the services of lab/service_table.py in a namespace (scripts/system-deps services) and asks them from another one.
Right is what dpkg says of the package. Targets: name on 24 of 25, product and version on 20 of 25, all within 15 s.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from lab.namespaces import Namespaces
from lab.service_table import TABLE
from lab.services import Services, Verdict, ask

STRANGE_PORT = 47_001


def row(verdict: Verdict) -> str:
    """One row of the table."""
    service, wanted = verdict.found.service, verdict.running.service
    name, product, version = (service.name, service.product, service.version) if service else ("", "", "")
    marks = [
        "yes" if right else "**no**" for right in (verdict.name_right, verdict.product_right, verdict.version_right)
    ]
    if not wanted.tells and not verdict.version_right:
        marks[2] = "not told"
    said = " ".join(item for item in (name + ("/tls" if service and service.tls else ""), product, version) if item)
    return f"| {wanted.label} {verdict.running.version} | {' | '.join(marks)} | {verdict.seconds:.2f} | {said} |"


def record(verdicts: list[Verdict], folder: Path) -> None:
    """The talks that succeeded, as data for tests."""
    folder.mkdir(parents=True, exist_ok=True)
    for verdict in verdicts:
        for key, talk in verdict.talks.items():
            if key == "tls":  # keys differ each time: it cannot be played again
                continue
            label = verdict.running.service.label
            origin = f"{verdict.running.service.package} {verdict.running.version} of Debian 12, lab/service_table.py"
            text = json.dumps({"module": key, "origin": origin, **msgspec.to_builtins(talk)}, indent=1)
            (
                folder / (f"{label}.json" if key in label or len(verdict.talks) == 1 else f"{label}-{key}.json")
            ).write_text(text + "\n")


def main() -> None:
    """Start, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("consents", nargs="*", help="for talks that say something like a credential")
    parser.add_argument("--only", default="", help="labels, with commas between")
    parser.add_argument("--light", action="store_true", help="without those that take long to start")
    parser.add_argument("--strange", action="store_true", help="TCP services on port numbers that nobody uses for them")
    parser.add_argument("--record", type=Path, help="write what was said into this folder")
    options = parser.parse_args()
    labels = (
        options.only.split(",")
        if options.only
        else [item.label for item in TABLE if not (options.light and item.heavy)]
    )
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / "services"
        with Namespaces(2) as lab, Services(lab, "b", place, labels) as services:
            if options.strange:
                services.move(STRANGE_PORT)
            seconds, verdicts = ask(lab, services, *(["--record"] if options.record else []), *options.consents)
    print(
        "| service | name right | product right | version right | seconds | said |\n| --- | --- | --- | --- | --- | --- |"
    )
    for verdict in verdicts:
        print(row(verdict))
    names, products = (sum(getattr(item, kind) for item in verdicts) for kind in ("name_right", "product_right"))
    both = sum(item.product_right and item.version_right for item in verdicts)
    tell = sum(item.running.service.tells for item in verdicts)
    print(f"\n{len(verdicts)} services: name {names}, product {products}, product and version {both}", end="")
    print(f" ({tell} tell it); {seconds:.1f} s")
    for label, reason in services.missing.items():
        print(f"not started: {label}: {reason}")
    if options.record:
        record(verdicts, options.record)


if __name__ == "__main__":
    main()
