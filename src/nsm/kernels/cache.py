"""Where compiled kernels are kept: a directory of the running user, named by all that decides their code.

Cache files are pickles, so the directory must belong to the user who loads them and to nobody else.
The name is a digest of the kernels' sources and the versions of Python and Numba: never stale, safe to
delete. Tried in order: ``NSM_CACHE_DIR``, the service's ``STATE_DIRECTORY``, ``XDG_CACHE_HOME/nsm``,
``~/.cache/nsm``, and at last a private temporary directory.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path


def candidates() -> Iterator[Path]:
    """The directories that are tried, best first."""
    if named := os.environ.get("NSM_CACHE_DIR"):
        yield Path(named)
    if state := os.environ.get("STATE_DIRECTORY"):
        yield Path(state.split(":")[0]) / "cache"
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        yield Path(xdg) / "nsm"
    home = os.environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - Path.expanduser raises where there is no home
    if home.startswith("/"):
        yield Path(home) / ".cache" / "nsm"


def usable(directory: Path) -> bool:
    """Is it (made now if it can be) a directory of this user that nobody else can write?

    One that others could write is refused, not mended: what lies in it may be theirs already.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = directory.stat()
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
            return False
        return os.access(directory, os.W_OK | os.X_OK)
    except OSError:
        return False


def digest() -> str:
    """16 hex digits over the kernels' sources and the versions that compile them."""
    total = hashlib.sha256(f"{sys.version_info[:3]} {version('numba')} {version('numpy')}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        total.update(source.name.encode() + source.read_bytes())
    return total.hexdigest()[:16]


def safe_directory() -> Path | None:
    """The directory for this version of the kernels, made when missing; None when no place is safe."""
    for place in candidates():
        if usable(place) and usable(place / "kernels") and usable(place / "kernels" / digest()):
            return place / "kernels" / digest()
    return None


def cache_directory() -> str:
    """The directory for this version of the kernels: the safe one, else a private one that goes with the process."""
    if found := safe_directory():
        return str(found)
    private = tempfile.mkdtemp(prefix="nsm-kernels-")
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    return private


def cold() -> bool:
    """Will the engine have to compile its kernels first? Asked before Numba is imported, so that a line can be printed.

    Judged by the flow kernel, which ``warm`` compiles last and which takes longest: there is no whole cache without it.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        return False
    named = os.environ.get("NUMBA_CACHE_DIR")
    place = Path(named) if named else safe_directory()
    return place is None or not any(place.rglob("flows.track-*.nbc"))
