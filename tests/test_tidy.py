"""The shape of the tree: what style can be checked without running anything."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "nsm"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "static" not in path.parts)
KERNELS = [path for path in FILES if path.parent.name == "kernels"]

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
KERNEL_LINES_MAX = 250  # a kernel is one loop over columns: a call would cost more than the length does
BANNED_FOLDERS = {"utils", "util", "helpers", "common", "manager", "managers", "types", "misc", "lib", "core"}
REGISTRY = re.compile(r"https?://|--index-url|--extra-index-url|--find-links|--trusted-host|(?m:^registry\s*=)")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(item, ast.Name) and item.id in {"kernel", "inline"} for item in function.decorator_list)


def test_long_files_say_why() -> None:
    long = []
    for path in FILES:
        lines = path.read_text(encoding="utf-8").count("\n")
        reason = "long because" in (ast.get_docstring(tree_of(path)) or "").lower()
        if lines > FILE_LINES_MAX and not reason:
            long.append(f'{name_of(path)}: {lines} lines and no "Long because" in its docstring')
    assert not long


def test_functions_are_short() -> None:
    long = []
    for path in FILES:
        for function in functions_of(path):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > (KERNEL_LINES_MAX if is_kernel(function) else FUNCTION_LINES_MAX):
                long.append(f"{name_of(path)}:{function.lineno} {function.name}: {lines} lines")
    assert not long


def test_no_folder_or_file_is_named_after_nothing() -> None:
    names = {part.removesuffix(".py") for path in FILES for part in path.relative_to(SOURCE).parts}
    assert names.isdisjoint(BANNED_FOLDERS)


def test_every_file_says_what_it_is_for() -> None:
    assert not [name_of(path) for path in FILES if not ast.get_docstring(tree_of(path))]


def test_nothing_inside_imports_from_the_package_itself() -> None:
    guilty = [
        f"{name_of(path)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.module == "nsm"
    ]
    assert not guilty


def test_handlers_are_added_to_the_log_in_one_place() -> None:
    guilty = [
        name_of(path)
        for path in FILES
        if path != SOURCE / "run" / "logs.py"
        and re.search(r"\.addHandler\(|basicConfig\(", path.read_text(encoding="utf-8"))
    ]
    assert not guilty


def test_every_kernel_is_compiled_by_doctor_warm() -> None:
    text = (SOURCE / "kernels" / "warm.py").read_text(encoding="utf-8")
    entries = {
        function.name
        for path in KERNELS
        for function in functions_of(path)
        if any(isinstance(item, ast.Name) and item.id == "kernel" for item in function.decorator_list)
    }
    assert entries
    assert not {name for name in entries if not re.search(rf"\b{name}\b", text)}


def plug_ins(folder: str) -> list[Path]:
    return [path for path in FILES if path.parent == SOURCE / folder and "\nSPEC" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", plug_ins("detect"), ids=lambda path: path.stem)
def test_every_detector_has_a_test_that_fires_and_one_that_stays_silent(path: Path) -> None:
    test = ROOT / "tests" / "detect" / f"test_{path.stem}.py"
    assert test.exists()
    names = [function.name for function in functions_of(test) if function.name.startswith("test_")]
    silent = [name for name in names if "silent" in name or "quiet" in name]
    assert silent
    assert len(names) > len(silent)


@pytest.mark.parametrize("path", plug_ins("detect"), ids=lambda path: path.stem)
def test_every_detector_is_completely_declared(path: Path) -> None:
    import importlib

    from nsm.settings.document import field_texts

    spec = importlib.import_module(f"nsm.detect.{path.stem}").SPEC
    assert spec.name == path.stem
    assert spec.quiet_for
    assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", technique) for technique in spec.attack)
    texts = field_texts(spec.settings)
    assert not [name for name in spec.settings.__struct_fields__ if not texts.get(name)]


def test_every_sink_has_a_test() -> None:
    tests = ROOT / "tests" / "output"
    assert not [path.stem for path in plug_ins("output") if not (tests / f"test_{path.stem}.py").exists()]


@pytest.mark.parametrize(
    "name", ["requirements/run.txt", "requirements/dev.txt", "web/package-lock.json", "web/.npmrc"]
)
def test_locks_hold_no_address_of_a_registry(name: str) -> None:
    path = ROOT / name
    if name.endswith("package-lock.json"):
        # Packages name their own home pages for funding; what is fetched from stands under "resolved".
        assert '"resolved": "http' not in path.read_text(encoding="utf-8")
    else:
        assert not REGISTRY.search(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["run", "dev"])
def test_every_locked_package_has_hashes(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    packages = re.findall(r"(?m)^[a-z0-9][\w.-]*==.*?(?=^\S|\Z)", text + "\n", re.DOTALL)
    assert len(packages) > 20
    assert not [package.split()[0] for package in packages if "--hash=sha256:" not in package]


def test_the_lock_of_developers_has_every_pin_of_the_other() -> None:
    pins = [
        set(
            re.findall(
                r"(?m)^([a-z0-9][\w.-]*==\S+)", (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
            )
        )
        for name in ("run", "dev")
    ]
    assert pins[0] <= pins[1]


def test_an_old_python_can_read_the_set_up_script_to_learn_that_it_is_too_old() -> None:
    ast.parse((ROOT / "scripts" / "setup.py").read_text(encoding="utf-8"), feature_version=(3, 6))
