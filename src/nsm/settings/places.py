"""Where the configuration file, the data and the caches are. Standard library only, and nothing is made on import.

Under sudo these belong to the calling user (who could not delete them otherwise), so the places of that
user are taken, not root's. A service has its own through ``STATE_DIRECTORY``, which systemd sets.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from nsm.errors import SettingsError

SYSTEM_CONFIG: Final = Path("/etc/nsm/config.toml")
SYSTEM_DATA: Final = Path("/var/lib/nsm")
CONFIG_SUFFIXES: Final = (".toml", ".yaml", ".yml", ".json")  # in this order: TOML first


class Owner(NamedTuple):
    """Whose the files are. ``by_sudo``: not the user that this process runs as."""

    uid: int
    gid: int
    home: Path
    by_sudo: bool


def owner(environ: Mapping[str, str] = os.environ) -> Owner:
    """The user behind this process: under sudo the calling one."""
    uid = os.geteuid()
    if uid == 0 and environ.get("SUDO_UID", "").isdigit() and int(environ["SUDO_UID"]):
        try:
            entry = pwd.getpwuid(int(environ["SUDO_UID"]))
        except KeyError:  # a user of another machine's directory: stay with root
            pass
        else:
            return Owner(entry.pw_uid, entry.pw_gid, Path(entry.pw_dir), by_sudo=True)
    home = environ.get("HOME", "")
    return Owner(uid, os.getegid(), Path(home) if home.startswith("/") else Path.home(), by_sudo=False)


def config_places(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """The files that are looked for when none is named, best first."""
    user = owner(environ)
    base = user.home / ".config"
    if not user.by_sudo and environ.get("XDG_CONFIG_HOME", "").startswith("/"):
        base = Path(environ["XDG_CONFIG_HOME"])
    folders = (base / "nsm", SYSTEM_CONFIG.parent)
    return tuple(folder / f"config{suffix}" for folder in folders for suffix in CONFIG_SUFFIXES)


def config_file(named: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The configuration file in use, or None; SettingsError when a named one is missing.

    Tried in order: ``named`` (the option ``--config``), ``NSM_CONFIG``, the user's, the system's.
    """
    for value, source in ((named, "--config"), (environ.get("NSM_CONFIG"), "NSM_CONFIG")):
        if value:
            path = Path(value)
            if path.is_file():
                return path
            raise SettingsError(
                f"no configuration file at {path}", where=source, mend="nsm config init   writes one with comments"
            )
    for path in config_places(environ):
        if path.is_file():
            return path
    return None


def data_dir(named: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Where store, logs and state are; not made here.

    ``named`` (the option ``--data``), ``NSM_DATA``, ``STATE_DIRECTORY``, then the user's state directory;
    for root ``/var/lib/nsm``.
    """
    for value in (named, environ.get("NSM_DATA"), environ.get("STATE_DIRECTORY", "").split(":")[0]):
        if value:
            return Path(value).absolute()
    user = owner(environ)
    if user.uid == 0:
        return SYSTEM_DATA
    if not user.by_sudo and environ.get("XDG_STATE_HOME", "").startswith("/"):
        return Path(environ["XDG_STATE_HOME"]) / "nsm"
    return user.home / ".local" / "state" / "nsm"


def cache_dir() -> Path:
    """Where compiled kernels are kept; made when missing, private when no place is safe.

    The rule lives with the kernels, which know what makes a cache stale.
    """
    from nsm.kernels.cache import cache_directory  # costs more than the rest of this file together

    return Path(cache_directory())


def make_private(directory: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """``directory``, made with mode 0700 for its owner when missing; SettingsError when it is not safe to use.

    Refused: not a directory, of another user, or writable by others.
    """
    user = owner(environ)
    missing = [part for part in (directory, *directory.parents) if not part.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in missing:
            os.chown(part, user.uid, user.gid)
        status = directory.stat()
    except OSError as error:
        raise SettingsError(
            f"cannot make {directory}: {error.strerror}", where="data directory", mend="name another one with --data"
        ) from error
    if status.st_uid not in {user.uid, os.geteuid()}:
        raise SettingsError(
            f"{directory} belongs to user {status.st_uid}, not to {user.uid}",
            where="data directory",
            mend=f"sudo chown -R {user.uid}:{user.gid} {directory}   or name another one with --data",
        )
    if stat.S_IMODE(status.st_mode) & 0o022:
        raise SettingsError(
            f"{directory} can be written by other users", where="data directory", mend=f"chmod 700 {directory}"
        )
    return directory
