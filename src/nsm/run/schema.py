"""What can be set, collected from the parts of the system: nobody keeps a list.

Every module of these packages may have ``SETTINGS``, a SettingsSection; detectors, sinks and other plug-ins
bring a struct in their ``SPEC``, whose section is the folder's name, a dot and the plug-in's name. This lives
above all parts because ``settings`` must not import them.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping
from importlib.abc import InspectLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from nsm.errors import SettingsError
from nsm.settings.load import Settings, load
from nsm.settings.places import config_file
from nsm.settings.section import SettingsSection

log = logging.getLogger(__name__)

PACKAGES: Final = (
    "alert", "capture", "decode", "detect", "health", "intel", "learn", "notify", "output", "parse", "report", "rules",
    "run", "scan", "serve", "store", "track",
)  # fmt: skip


def collect() -> tuple[SettingsSection, ...]:
    """Every declared section, by name; SettingsError when two parts declare one name.

    Imports the modules that declare some, so it costs what they cost: commands call it when they need settings, not before.
    """
    found: dict[str, SettingsSection] = {}
    for package in PACKAGES:
        for module in _modules(f"nsm.{package}"):
            for section in sections_of(package, module):
                other = found.setdefault(section.name, section)
                if other.struct is not section.struct:
                    raise SettingsError(f"two parts declare the settings {section.name}", where=module.__name__)
    return tuple(found[name] for name in sorted(found))


def sections_of(package: str, module: Any) -> Iterator[SettingsSection]:
    """The sections that one module declares."""
    declared = getattr(module, "SETTINGS", None)
    if isinstance(declared, SettingsSection):
        yield declared
    spec = getattr(module, "SPEC", None)
    struct = getattr(spec, "settings", None)
    if spec is not None and isinstance(struct, type) and issubclass(struct, msgspec.Struct):
        yield SettingsSection(name=f"{package}.{spec.name}", struct=struct)


def _modules(package: str) -> Iterator[ModuleType]:
    """The package and every module below it; one that cannot be imported is a log line, not a crash."""
    if importlib.util.find_spec(package) is None:
        return
    root = importlib.import_module(package)
    yield root
    for info in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not _declares(info.name):
            continue
        try:
            yield importlib.import_module(info.name)
        except ImportError as error:
            log.warning("cannot load module=%s reason=%s", info.name, error)


def _declares(name: str) -> bool:
    """Does the module's source have a ``SETTINGS``, or a ``SPEC`` that can have some? The others need not be loaded to know."""
    spec = importlib.util.find_spec(name)
    loader = spec.loader if spec is not None else None
    source = loader.get_source(name) if isinstance(loader, InspectLoader) else None
    return source is None or re.search(r"^(SETTINGS\b|SPEC\b.*Spec\()", source, re.MULTILINE) is not None


def load_settings(
    *,
    config: str | Path | None = None,
    page: Mapping[str, Any] | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """The effective settings of this process; NsmError leaves say what is wrong and where."""
    return load(collect(), file=config_file(config, environ), page=page, environ=environ, flags=flags)
