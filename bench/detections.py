"""In how many captures each detector fires, over folders of captures: the table of docs/detections.md.

    python bench/detections.py FOLDER... [--write docs/detections.md]

Captures are read with default settings. Above info is what a person would be shown as more than information.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import nsm
from nsm.pipeline import detector_specs

SUFFIXES = {".pcap", ".pcapng", ".cap"}
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def judged(path: Path) -> tuple[int, list[tuple[str, str, str]]]:
    """(packets, (detector, signature, severity) of each alert) of one capture."""
    packets, found = 0, []
    try:
        for event in nsm.read(path):
            if event["event_type"] == "alert":
                ours = event["nsm"]
                found.append((ours["detector"], event["alert"]["signature"], ours["severity"]))
            elif event["event_type"] == "stats":
                packets = event["stats"]["decoder"]["pkts"]
    except nsm.CaptureError:
        pass
    return packets, found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--write", type=Path, help="put the table between the marks of this file")
    given = parser.parse_args()
    captures: Counter[str] = Counter()
    above: Counter[str] = Counter()
    alerts: Counter[str] = Counter()
    total = packets = 0
    for folder in given.folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix not in SUFFIXES or not path.is_file():
                continue
            count, found = judged(path)
            total, packets = total + 1, packets + count
            for detector in {item[0] for item in found}:
                captures[detector] += 1
            for detector in {item[0] for item in found if item[2] != "info"}:
                above[detector] += 1
            alerts.update(item[0] for item in found)
    lines = [
        f"{total} captures, {packets:,} packets.", "", "| detector | captures it fires in | of them above info | alert events |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {name} | {captures[name]} | {above[name]} | {alerts[name]} |" for name in detector_specs()),
    ]  # fmt: skip
    text = "\n".join(lines)
    print(text)
    if given.write:
        page = given.write.read_text()
        head, _, rest = page.partition(BEGIN)
        given.write.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
