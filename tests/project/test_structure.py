"""The tree: how full folders are, that names are unique, and what may import what.

Imports between packages and between their folders are held by import-linter (`make check`).
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("classifier", "daemon", "storage", "trainer", "web")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_MODULES = 12
# What several subjects have: each its errors, its status, an export, a preparation.
SHARED_NAMES = {"__init__", "errors", "status", "export", "prepare"}
DRAWERS = {"utils", "helpers", "common", "manager", "misc"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def names_in(node: ast.AST) -> set[str]:
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "an import by dots; write the folder's name"
        return {(node.module or "").split(".")[0]}
    return {alias.name.split(".")[0] for alias in node.names}


def test_a_folder_holds_at_most_twelve_modules() -> None:
    counts = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    full = {name_of(folder): n for folder, n in counts.items() if n > MAX_MODULES}
    assert full == {}


def test_a_module_name_stands_for_one_thing() -> None:
    counts = Counter(path.stem for path in MODULES if path.parent.name != "commands")
    assert {name for name, n in counts.items() if n > 1} <= SHARED_NAMES


def test_no_module_is_a_drawer_for_everything() -> None:
    assert [name_of(path) for path in MODULES if path.stem in DRAWERS] == []


def test_an_init_file_is_empty() -> None:
    inits = [path for path in MODULES if path.name == "__init__.py"]
    assert [name_of(path) for path in inits if path.read_text()] == []


def test_nothing_imports_the_command_line() -> None:
    trees = {path: ast.walk(ast.parse(path.read_text())) for path in MODULES}
    imported = {
        path: {n for node in t if is_import(node) for n in names_in(node)}
        for path, t in trees.items()
    }
    assert [name_of(path) for path, names in imported.items() if "clfd" in names] == []


def is_light(node: ast.AST) -> bool:
    """What commands share is held to the same rule; the table of formats imports no library."""
    module = getattr(node, "module", None)
    return ".commands." in f"{module}" or module == "storage.export.text_formats"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.parent.name == "commands"], ids=name_of
)
def test_commands_import_only_click_and_the_standard_library_at_the_top(path: Path) -> None:
    imports = [node for node in ast.parse(path.read_text()).body if is_import(node)]
    top = {name for node in imports if not is_light(node) for name in names_in(node)}
    assert top - sys.stdlib_module_names <= {"click"}


def test_the_glossary_names_every_module_and_no_other() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    described = [
        path.stem
        for path in MODULES
        if path.stem != "__init__" and not {"commands", "migrations"} & set(path.parts)
    ]
    assert sorted(named) == sorted(described)
