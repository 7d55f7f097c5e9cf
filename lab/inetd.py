"""Starts a program for each connection, with the connection as its input and output: for servers that cannot listen.

python lab/inetd.py ADDRESS PORT PROGRAM [ARGUMENT...]
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys


def main() -> None:
    """Serve until killed; children are left to themselves."""
    address, port, *command = sys.argv[1:]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.create_server((address, int(port))) as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                subprocess.Popen(command, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
