"""The text of a configuration file as plain values, and the line on which a key stands.

TOML first; YAML and JSON by their suffix. A key is a dotted path: ``detect.port_scan.ports_min``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from nsm.errors import SettingsError

FILE_BYTES_MAX: Final = 1 << 20  # ours: a hundred times the commented example

_HEADER = re.compile(r"^\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}")
_ASSIGNMENT = re.compile(r"^\s*((?:[\w-]+|\"[^\"]+\"|'[^']+')(?:\s*\.\s*(?:[\w-]+|\"[^\"]+\"|'[^']+'))*)\s*=")
_TOML_PLACE = re.compile(r"\(at line (\d+)")


def read_text(path: Path) -> str:
    """The file's text; SettingsError when it cannot be read, is too long or is not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}", where=f"file {path}") from error
    if len(data) > FILE_BYTES_MAX:
        raise SettingsError(f"{path} is longer than {FILE_BYTES_MAX} bytes", where=f"file {path}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path} is not UTF-8 text", where=f"file {path} line {line}") from error


def parse(path: Path, text: str) -> dict[str, Any]:
    """The values of a configuration file; SettingsError with the line of the first fault."""
    suffix = path.suffix.lower()
    value = _parse_toml(path, text) if suffix not in {".yaml", ".yml", ".json"} else _parse_yaml_or_json(path, text)
    if value is None:  # an empty YAML file
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SettingsError(f"{path} does not hold named settings", where=f"file {path}", mend="nsm config init")
    return value


def _parse_toml(path: Path, text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        line = int(place[1]) if place else text.count("\n") + 1
        reason = str(error).split(" (at ")[0]
        raise SettingsError(f"{path} is not TOML: {reason}", where=f"file {path} line {line}") from error
    except RecursionError as error:
        raise SettingsError(f"{path} is nested too deeply", where=f"file {path}") from error


def _parse_yaml_or_json(path: Path, text: str) -> Any:
    import json

    import yaml

    try:
        if path.suffix.lower() == ".json":
            return json.loads(text)
        return yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path} is not JSON: {error.msg}", where=f"file {path} line {error.lineno}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        reason = getattr(error, "problem", None) or "it cannot be read"
        raise SettingsError(f"{path} is not YAML: {reason}", where=f"file {path} line {line}") from error
    except (RecursionError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {type(error).__name__}", where=f"file {path}") from error


def line_of(path: Path, text: str, key: str) -> int | None:
    """The line (from 1) on which ``key`` or the nearest table around it stands; None when it is not in the text."""
    toml = path.suffix.lower() not in {".yaml", ".yml", ".json"}
    lines = dict(reversed(list(_toml_lines(text) if toml else _yaml_lines(text))))  # the first mention wins
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        line = lines.get(".".join(parts[:length]))
        if line is not None:
            return line
    return None


def _toml_lines(text: str) -> Iterator[tuple[str, int]]:
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _plain(header[1])
            parts = table.split(".")
            yield from ((".".join(parts[:length]), number) for length in range(len(parts), 0, -1))
        elif assignment := _ASSIGNMENT.match(line):
            name = _plain(assignment[1])
            yield f"{table}.{name}" if table else name, number


def _plain(key: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def _yaml_lines(text: str) -> Iterator[tuple[str, int]]:
    """JSON as well: it is YAML, but for odd cases that then have no line."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        prefix, node = waiting.pop()
        if not isinstance(node, yaml.MappingNode) or prefix.count(".") > 8:  # deeper than any section; ends cycles
            continue
        for name, value in node.value:
            key = f"{prefix}{name.value}"
            yield key, name.start_mark.line + 1
            waiting.append((f"{key}.", value))


def flatten(value: Mapping[str, Any], sections: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """(key, value) of every setting; a table is opened while a section is named like it or below it.

    Tables that are values of their own (``{"dns": 53}`` of one field) stay whole.
    """
    waiting = [("", value)]
    while waiting:
        prefix, table = waiting.pop()
        for name, item in table.items():
            key = f"{prefix}{name}"
            within = any(section == key or section.startswith(f"{key}.") for section in sections)
            if within and isinstance(item, Mapping):
                waiting.append((f"{key}.", item))
            else:
                yield key, item
