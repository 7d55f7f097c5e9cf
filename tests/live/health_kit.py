"""What live tests of health share: the figures of a service, its judgements, rules that let packets be lost."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.run.control import ask

SILENCE = """table inet health {
chain in {
  type filter hook input priority 0
  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
  iifname != "lo" drop
}
}"""  # nothing is answered, not even refused
RULES = """table inet health {{
chain in {{
  type filter hook input priority 0
  icmp type echo-request {what} drop
  icmpv6 type echo-request {what} drop
}}
}}"""


@contextlib.contextmanager
def filtered(lab: Namespaces, what: str) -> Iterator[None]:
    """Host a drops the echoes that fit; ``SILENCE`` and other tables as they are."""
    rules = what if what.startswith("table") else RULES.format(what=what)
    subprocess.run(["ip", "netns", "exec", lab.name("a"), "nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        lab.run("a", "nft", "delete", "table", "inet", "health")


def figures(service: LiveService) -> dict[str, Any]:
    found: dict[str, Any] = ask(service.data, "health")["figures"]
    return found


def gateway(service: LiveService) -> dict[str, Any]:
    return next((one for one in figures(service).get("probes", ()) if one["role"] == "gateway"), {})


def judged(service: LiveService, name: str) -> dict[str, str]:
    """The judgement of that id; empty while there is none."""
    return next((one for one in figures(service).get("verdicts", ()) if one["id"] == name), {})


def verdict(service: LiveService, name: str) -> str:
    return judged(service, name).get("state", "")


def becomes(service: LiveService, name: str, state: str, seconds: float = 45) -> dict[str, str]:
    """The judgement, once it has that state."""
    assert wait_for(lambda: verdict(service, name) == state, seconds), figures(service).get("verdicts")
    return judged(service, name)


def alert_of(feed: Callable[[str, float], Iterator[dict[str, Any]]], signature: str, seconds: float) -> dict[str, Any]:
    """The finding of the next alert of that name."""
    for message in feed("alert", seconds):
        finding: dict[str, Any] = message["alert"]["finding"]
        if finding["signature"] == signature:
            return finding
    raise AssertionError(f"no alert {signature!r} within {seconds} s")
