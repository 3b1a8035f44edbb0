"""docs/licences.md names what comes along, and an image holds the texts: no more, no less."""

from __future__ import annotations

import csv
import re
import tomllib
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docs.licences.collect_licences import COMMON, TABLE, collect

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


def product() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return installed_with(project["dependencies"])


def native_libraries() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_the_product_brings_along_stands_first() -> None:
    first = PAGE.split("\n## For tests")[0]
    assert product() <= set(listed(first))


def test_the_gpl_in_the_wheel_of_av_is_named() -> None:
    (row,) = re.findall(r"^\| `av` .*$", PAGE, re.MULTILINE)
    assert all(name in row for name in ("FFmpeg", "x264", "x265", "GPL"))


@pytest.mark.skipif(not COMMON.is_dir(), reason="Debian's texts of the GPL are not here")
def test_an_image_holds_the_texts_of_every_package_and_native_library(tmp_path: Path) -> None:
    installed: list[Distribution] = []
    for name in product():
        with suppress(PackageNotFoundError):
            installed.append(distribution(name))
    assert list(collect(tmp_path, installed)) == []
    assert "GNU GENERAL PUBLIC LICENSE" in (tmp_path / "common" / "GPL-2").read_text()


def test_the_sources_that_are_named_are_of_the_installed_versions() -> None:
    import av
    import soundfile
    import soxr

    named = {
        (row["wheel"], row["library"].split()[0]): row["version"] for row in native_libraries()
    }
    assert named["av", "FFmpeg"] == av.ffmpeg_version_info
    assert named["soundfile", "libsndfile"] == soundfile.__libsndfile_version__
    assert named["soxr", "libsoxr"] == soxr.__libsoxr_version__


def test_every_native_library_says_where_its_source_is() -> None:
    assert [row["library"] for row in native_libraries() if "https://" not in row["source"]] == []


def test_the_page_names_every_wheel_that_holds_a_native_library() -> None:
    bringing = set(re.findall(r"^\| `([^`]+)` \| [^|]+ \| [^|\s]", PAGE, re.MULTILINE))
    assert {row["wheel"] for row in native_libraries()} <= bringing
