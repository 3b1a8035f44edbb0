"""Imports go down only: clfd -> daemon, trainer -> classifier, storage."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "clfd": {"daemon", "trainer", "classifier", "storage"},
    "daemon": {"classifier", "storage"},
    "trainer": {"classifier", "storage"},
    "classifier": set(),
    "storage": set(),
}
FOLDERS = MAY_IMPORT.keys() - {"clfd"}


def sources(part: str) -> list[Path]:
    return [ROOT / "clfd.py"] if part == "clfd" else sorted((ROOT / part).rglob("*.py"))


def is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def names_in(node: ast.AST) -> set[str]:
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "an import by dots; write the folder's name"
        return {(node.module or "").split(".")[0]}
    return {alias.name.split(".")[0] for alias in node.names}


def imported_by(source: Path) -> set[str]:
    """The top names of all imports of a file, also those inside functions."""
    nodes = ast.walk(ast.parse(source.read_text()))
    return set().union(*(names_in(node) for node in nodes if is_import(node)))


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_go_down_only(part: str) -> None:
    others = MAY_IMPORT.keys() - MAY_IMPORT[part] - {part}
    upward = {
        str(source.relative_to(ROOT)): sorted(imported_by(source) & others)
        for source in sources(part)
        if source.exists() and imported_by(source) & others
    }
    assert upward == {}


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_a_package_has_an_empty_init(folder: str) -> None:
    assert (ROOT / folder / "__init__.py").read_text() == ""


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_no_file_is_a_drawer_for_everything(folder: str) -> None:
    drawers = {"utils", "helpers", "common", "manager", "misc"}
    assert [path for path in sources(folder) if path.stem in drawers] == []


def is_of_commands(node: ast.AST) -> bool:
    """What commands share; held to the same rule."""
    return isinstance(node, ast.ImportFrom) and ".commands." in str(node.module)


@pytest.mark.parametrize(
    "path",
    sorted(ROOT.glob("*/commands/[a-z]*.py")),
    ids=lambda path: f"{path.parts[-3]}.{path.stem}",
)
def test_commands_import_only_click_and_the_standard_library_at_the_top(path: Path) -> None:
    imports = [node for node in ast.parse(path.read_text()).body if is_import(node)]
    top = set().union(*(names_in(node) for node in imports if not is_of_commands(node)))
    assert top - sys.stdlib_module_names <= {"click"}
