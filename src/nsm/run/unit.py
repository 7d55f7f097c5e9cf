"""The systemd unit of the service: its own user, CAP_NET_RAW and nothing else, no way to write outside its state directory.

What is left open on purpose: the network (it is what is watched), and writable executable memory (compiled kernels).
Options: systemd.exec(5), systemd.service(5).
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from nsm.errors import ServiceError

NAME: Final = "nsm.service"
FOLDER: Final = Path("/etc/systemd/system")
PRIVATE_HOMES: Final = ("/root", "/home")

UNIT: Final = """\
[Unit]
Description=netsecmonitor, network security monitor
Documentation=man:nsm(1)
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart={executable} run
Restart=on-failure
RestartSec=5
TimeoutStopSec=30
DynamicUser=yes
StateDirectory=nsm
StateDirectoryMode=0700
ConfigurationDirectory=nsm
UMask=0077
AmbientCapabilities=CAP_NET_RAW
CapabilityBoundingSet=CAP_NET_RAW
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
LimitNOFILE=65536
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
"""


def unit(executable: Path) -> str:
    """The text of the unit. A program in a home directory can be read there, but no home can be written."""
    at_home = any(executable.is_relative_to(home) for home in PRIVATE_HOMES)
    return UNIT.format(executable=executable, home="read-only" if at_home else "yes")


def install(executable: Path, folder: Path = FOLDER) -> Path:
    """Write the unit and have systemd read it; ServiceError when there is no systemd or no permission."""
    if executable.is_relative_to("/root"):
        raise ServiceError(
            f"no service can run {executable}: only root may read it", where=str(folder / NAME),
            mend="install nsm where all may read it: python3 -m venv /opt/nsm && /opt/nsm/bin/pip install netsecmonitor",
        )  # fmt: skip
    path = folder / NAME
    try:
        path.write_text(unit(executable))
        subprocess.run(["systemctl", "daemon-reload"], check=True, capture_output=True, timeout=30)  # noqa: S607  wherever it is
    except PermissionError as error:
        raise ServiceError(f"cannot write {path}", where="systemd", mend="sudo nsm doctor --fix") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceError(
            f"cannot install the service: {error}", where=str(path), mend="without systemd: sudo nsm run"
        ) from error
    return path
