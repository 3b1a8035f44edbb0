"""The documentation says what is so: settings, commands, columns, exit codes, links."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from command_tree import every_command, example_of

import clfd
from classifier.errors import ClassifierError
from daemon.errors import DaemonError
from storage.errors import StorageError
from storage.export.text_formats import FORMATS
from storage.queries.daemon_status import KEYS
from storage.queries.result import COLUMN_TABLE
from storage.settings.loading import described_settings
from trainer.errors import TrainerError

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
MEASUREMENTS = sorted((ROOT / "benchmarks").rglob("*.md"))
COMMANDS = dict(every_command())
OVERVIEW_LETTERS = 55
COMMON_OPTIONS = {"--home", "--verbose", "--quiet", "--help"}


@cache
def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def cells(text: str, heading: str) -> list[list[str]]:
    """The rows of the table whose header begins with `heading`, without backticks."""
    table = text.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


def section(text: str, heading: str) -> str:
    """What stands below the heading that begins so, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(heading)}.*?\n(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    return found[1] if found else ""


def slugs(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> Iterator[tuple[str, str]]:
    """File and anchor of every link that leads nowhere else."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            yield file, anchor


def exit_codes(error: type[Exception]) -> set[int]:
    below = (exit_codes(child) for child in error.__subclasses__())
    return {getattr(error, "exit_code", 1)}.union(*below)


def test_the_table_of_settings_is_that_of_the_code() -> None:
    printed = [
        (key, tomllib.loads(f"x = {default}")["x"])
        for key, default, _ in cells(page("docs/settings.md"), "key")
    ]
    assert printed == [(s.key, plain(s.default)) for s in described_settings()]


def plain(value: object) -> object:
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return value


@pytest.mark.parametrize("row", cells(page("docs/settings.md"), "key"), ids=lambda row: row[0])
def test_every_setting_has_a_reason(row: list[str]) -> None:
    assert len(row[2]) > 20


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example(name: str) -> None:
    assert (example_of(COMMANDS[name]) or "").startswith(f"clfd {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_first_sentence_of_help_fits_the_overview(name: str) -> None:
    assert not COMMANDS[name].get_short_help_str(OVERVIEW_LETTERS).endswith("...")


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if not isinstance(c, click.Group)])
def test_a_command_is_documented_with_all_its_options(name: str) -> None:
    printed = section(page("docs/commands.md"), f"`clfd {name}")
    options = [p for p in COMMANDS[name].params if isinstance(p, click.Option) and not p.hidden]
    flags = {max(option.opts, key=len) for option in options}
    shown = {flag if flag != "--output" else "-o" for flag in flags - COMMON_OPTIONS}
    assert printed
    assert [flag for flag in sorted(shown) if f"`{flag}" not in printed] == []


def test_exit_codes_are_all_in_the_table() -> None:
    printed = {int(row[0]) for row in cells(page("docs/commands.md"), "exit code")}
    bases = (ClassifierError, DaemonError, StorageError, TrainerError)
    assert printed == {0, 2, 3, clfd.INTERRUPTED}.union(*map(exit_codes, bases))


def test_columns_of_results_are_those_of_the_code() -> None:
    printed = [[each.name, each.doc.strip("`")] for each in COLUMN_TABLE if not each.is_of_clip]
    assert cells(page("docs/results.md"), "column") == printed


def test_formats_of_results_are_documented() -> None:
    printed = page("docs/results.md")
    assert [name for name in FORMATS if f"`{name}`" not in printed] == []


def test_keys_of_status_are_documented() -> None:
    printed = section(page("docs/commands.md"), "`clfd status")
    assert [key for key in KEYS if f"`{key}`" not in printed] == []


def test_kinds_of_failure_are_those_of_the_code() -> None:
    folders = ("classifier", "daemon", "storage", "web")
    code = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    kinds = re.findall(r'DecodingError\(\s*"(\w+)"', code)
    kinds += re.findall(r'Failed\([\w.()]+, "(\w+)"', code)
    assert sorted({row[0] for row in cells(page("docs/audio.md"), "kind")}) == sorted({*kinds})


@pytest.mark.parametrize("source", [*PAGES, *MEASUREMENTS], ids=lambda path: path.name)
def test_links_lead_somewhere(source: Path) -> None:
    lost = []
    for file, anchor in links(source.read_text(encoding="utf-8")):
        target = (source.parent / file).resolve() if file else source
        if not target.exists() or (anchor and anchor not in slugs(target.read_text())):
            lost.append(f"{file}#{anchor}")
    assert lost == []


def test_every_page_is_linked_from_the_index_and_that_from_the_readme() -> None:
    linked = {file for file, _ in links(page("docs/index.md"))}
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages - linked == {"index.md"}
    assert "docs/index.md" in {file for file, _ in links(page("README.md"))}


def test_the_first_screen_has_an_answer_and_no_word_about_modules() -> None:
    screen = page("README.md").splitlines()[:25]
    assert any(line.startswith("$ clfd classify ") for line in screen)
    assert not re.search(r"\w+\.py\b|(daemon|trainer|classifier|storage)/", "\n".join(screen))


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_readme_names_the_make_targets(target: str) -> None:
    assert re.search(rf"^make {target}\b", page("README.md"), re.M)
    assert re.search(rf"^{target}:", page("Makefile"), re.M)


def test_make_targets_in_the_docs_exist() -> None:
    rows = cells(page("docs/development.md"), "make target")
    printed = {row[0].removeprefix("make ") for row in rows}
    assert printed <= set(re.findall(r"^([\w-]+):", page("Makefile"), re.M))
