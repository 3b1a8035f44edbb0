"""docs/licences.md names what comes along: no more, no less."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
BUILD_ONLY = {"setuptools"}  # torch asks for it; pip has it


def listed(text: str) -> dict[str, str]:
    """Package to licence."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", text, re.MULTILINE)
    return {canonicalize_name(name): licence.strip() for name, licence in rows}


def pinned() -> set[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    return {canonicalize_name(line.split("==")[0]) for line in lines}


def installed_with(requirements: list[str]) -> set[str]:
    """All that these ask for, and what that asks for, on this machine."""
    found: set[str] = set()
    todo = list(requirements)
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            todo += requires(name) or []
        except PackageNotFoundError:
            continue
    return found - BUILD_ONLY


def test_every_package_that_is_installed_has_its_licence_on_the_page() -> None:
    assert set(listed(PAGE)) == pinned()
    assert all(listed(PAGE).values())


def test_what_the_product_brings_along_stands_first() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first = PAGE.split("\n## For tests")[0]
    assert installed_with(project["dependencies"]) <= set(listed(first))


def test_the_gpl_in_the_wheel_of_av_is_named() -> None:
    (row,) = re.findall(r"^\| `av` .*$", PAGE, re.MULTILINE)
    assert all(name in row for name in ("FFmpeg", "x264", "x265", "GPL"))
