"""Receivers of messages in the namespace of the service: ``python -m tests.live.receiving FOLDER``.

Writes the ports to ``ports.json``, then what came to ``got.json`` ten times a second.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.notify.receivers import datagram_collector, http_receiver, mail_receiver, refused_port, stream_collector


def main(folder: Path) -> None:
    with (
        http_receiver() as hook, http_receiver() as service, http_receiver(0) as hanging, mail_receiver() as box,
        datagram_collector() as collector, stream_collector() as stream,
    ):  # fmt: skip
        ports = {
            "webhook": hook.port, "apprise": service.port, "hanging": hanging.port, "mail": box.port, "udp": collector.port,
            "tcp": stream.port, "refused": refused_port(),
        }  # fmt: skip
        (folder / "ports.json").write_text(json.dumps(ports))
        while True:
            got = {
                "webhook": hook.bodies(), "apprise": service.bodies(), "mail": [str(mail) for mail in box.mails],
                "udp": [line.decode() for line in collector.lines], "hanging": hanging.asked,
            }  # fmt: skip
            made = folder / "got.new"
            made.write_text(json.dumps(got))
            made.replace(folder / "got.json")
            time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
