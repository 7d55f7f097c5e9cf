"""What the receivers of messages beside a service got (the program is ``receiving``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab.service import wait_for


class Receivers:
    """What the receivers beside the service got."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        assert wait_for((folder / "got.json").exists, 20)
        self.ports: dict[str, int] = json.loads((folder / "ports.json").read_text())

    def got(self, name: str) -> Any:
        return json.loads((self._folder / "got.json").read_text())[name]

    def scans(self, name: str) -> list[Any]:
        """Messages about a port scan."""
        if name == "udp":
            return [line for line in self.got("udp") if " network_scan " in line]
        return [one for one in self.got(name) if "ort scan" in json.dumps(one)]
