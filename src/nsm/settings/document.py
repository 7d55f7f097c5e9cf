"""What the settings say of themselves: the text under each field, as a reference and as a commented example file."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from nsm.settings.section import SettingsField, SettingsSection, fields_of

ABOUT: Final = """\
Settings come from, weakest first: defaults, the file, the page, the environment, options.

File: --config, $NSM_CONFIG, ~/.config/nsm/config.toml, /etc/nsm/config.toml; .yaml and .json too.
Environment: NSM_SECTION__KEY, two underscores for each dot: NSM_FLOW__TCP_NEW_S=20.
Secrets: write file:/path or env:NAME in place of the value.
Under sudo the file and the data are those of the calling user.

  nsm config init             a file with every setting, commented
  nsm config show --source    what is in effect, and where it is from
  nsm config check            the first fault with its line
"""


def field_texts(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Field name -> the string under it in the source; empty when it has none or there is no source."""
    texts: dict[str, str] = {}
    for kind in reversed(struct.__mro__):  # a subclass may say it anew
        if kind in {msgspec.Struct, object}:
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        except (OSError, TypeError, SyntaxError):
            continue
        texts.update(_texts_under_fields(tree))
    return texts


def _texts_under_fields(tree: ast.stmt) -> Iterator[tuple[str, str]]:
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for statement, after in itertools.pairwise(body):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            yield statement.target.id, inspect.cleandoc(after.value.value)


def reference(sections: Iterable[SettingsSection]) -> Iterator[tuple[SettingsField, str]]:
    """(setting, what it does) of all sections, in the order of their names."""
    for section in sorted(sections, key=lambda section: section.name):
        texts = field_texts(section.struct)
        for field in fields_of(section):
            yield field, texts.get(field.name, "")


def example(sections: Iterable[SettingsSection]) -> str:
    """A TOML file with every setting at its default, commented out, and what it does above it."""
    lines = [
        "# Settings of netsecmonitor. Every line that begins with # shows a default: take the # away to change it.",
        "# Stronger than this file: the page, the environment (NSM_SECTION__KEY) and options of the command line.",
        "# Check it:  nsm config check",
    ]
    title = None
    for field, text in reference(sections):
        if field.section != title:
            title = field.section
            lines += ["", f"[{title}]"]
        lines += [f"# {line}".rstrip() for line in textwrap.wrap(text, 112)]
        value = "..." if field.default is None else toml_value(msgspec.to_builtins(field.default))
        lines.append(f"# {field.name} = {value}")
    return "\n".join(lines) + "\n"


def toml_value(value: Any) -> str:
    """A plain value as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(str(key))} = {toml_value(item)}" for key, item in value.items()) + "}"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """A JSON string is a TOML basic string, but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
