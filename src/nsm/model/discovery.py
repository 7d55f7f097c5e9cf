"""Finds what hangs on the system: every module of a folder that has a ``SPEC``, or ``SPECS``."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

log = logging.getLogger(__name__)


def modules_with_spec(package: str) -> Iterator[tuple[str, Any]]:
    """(module name, SPEC) of every module of ``package``, sorted by name; a broken one is a log line, not a crash."""
    found = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(found.__path__), key=lambda item: item.name):
        try:
            module = importlib.import_module(f"{package}.{info.name}")
        except ImportError as error:
            log.warning("cannot load module=%s.%s reason=%s", package, info.name, error)
            continue
        spec = getattr(module, "SPEC", None)
        if spec is not None:
            yield info.name, spec
        for number, one in enumerate(getattr(module, "SPECS", ())):  # a table of small ones in one file
            yield f"{info.name}.{number}", one


def specs(package: str, group: str) -> dict[str, Any]:
    """Name -> SPEC of a folder and of the entry points of ``group`` that other distributions bring."""
    found = dict(modules_with_spec(package))
    for point in entry_points(group=group):
        try:
            found[point.name] = point.load()
        except (ImportError, AttributeError) as error:
            log.warning("cannot load entry_point=%s reason=%s", point.name, error)
    return dict(sorted(found.items()))
