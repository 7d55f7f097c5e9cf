"""The analyst's side of capsules: asks the workers for the packets behind a new alert, and joins what they answer."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from nsm.model.finding import Alert
from nsm.run.capsule_records import AFTER_S, Request, around, pcapng

ASKED_PER_SECOND_MAX: Final = 10  # storage.md 10
GATHER_S: Final = AFTER_S + 1.0  # from the question to the capsule: workers answer in between
SNAPLEN: Final = 262_144


class _Gathering:
    def __init__(self, request: Request, due_s: float) -> None:
        self.request, self.due_s = request, due_s
        self.records: list[bytes] = []
        self.link: int | None = None
        self.interface = ""


class Capsules:
    """Bounded: ten questions a second, so at most thirty wait; alerts beyond are counted in ``skipped``."""

    def __init__(self) -> None:
        self._open: dict[str, _Gathering] = {}
        self._second = (-1, 0)
        self.skipped = 0

    def ask(self, alert: Alert, now_s: float) -> dict[str, Any] | None:
        """The question to all workers about a new alert; None when it is not asked."""
        finding = alert.finding
        src = finding.src_ip or next(iter(finding.actors), "")
        dst = finding.dest_ip or next(iter(finding.victims), "")
        if alert.rev != 1 or not (src or dst):
            return None
        second, count = int(now_s), self._second[1] if self._second[0] == int(now_s) else 0
        if count >= ASKED_PER_SECOND_MAX:
            self.skipped += 1
            return None
        self._second = (second, count + 1)
        many = len(finding.actors) > 1  # a flood from many: what its victim gets, whoever sends it
        request = Request(
            alert.id, finding.ts, "" if many and dst else src, "" if len(finding.victims) > 1 and src else dst
        )
        self._open[alert.id] = _Gathering(request, now_s + GATHER_S)
        question: dict[str, Any] = msgspec.to_builtins(request)
        return question

    def answer(self, header: dict[str, Any], interface: str) -> None:
        """Take a worker's records; those of another link type than the first ones do not fit into one file."""
        gathering = self._open.get(header["alert_id"])
        if gathering is None or not header["records"] or gathering.link not in (None, header["link"]):
            return
        gathering.link, gathering.interface = header["link"], gathering.interface or interface
        gathering.records += header["records"]

    def ready(self, now_s: float) -> list[dict[str, Any]]:
        """Capsules that are complete, in the form of nsm.store.records.Capsule; alerts without a packet have none."""
        due = [key for key, item in self._open.items() if item.due_s <= now_s]
        made = []
        for item in map(self._open.pop, due):
            records = around(item.records, item.request.ts)
            if records and item.link is not None:
                data = pcapng(records, item.link, item.interface, SNAPLEN)
                made.append({"alert_id": item.request.alert_id, "ts": item.request.ts, "pcapng": data})
        return made
