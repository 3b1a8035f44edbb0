"""Help of a command with many options."""

from __future__ import annotations

import re

import click
from click.testing import CliRunner

from storage.commands.context import add_common_options
from storage.commands.option_headings import CommandWithHeadings
from storage.commands.results import results


def sections(command: click.Command) -> dict[str, list[str]]:
    printed = CliRunner().invoke(command, ["--help"]).stdout
    parts = re.findall(r"^(\w[\w ]*):\n((?:  .*\n)+)", printed, re.M)
    return {heading: re.findall(r"^  (-\S+)", text, re.M) for heading, text in parts}


def test_options_stand_under_the_heading_that_began_before_them() -> None:
    @click.command(cls=CommandWithHeadings, headings={"--label": "Filters", "--sort": "Output"})
    @click.argument("folder")
    @click.option("--label")
    @click.option("--path")
    @click.option("--sort")
    def listing(folder: str) -> None: ...

    add_common_options(listing)
    assert list(sections(listing).items()) == [
        ("Filters", ["--label", "--path"]),
        ("Output", ["--sort"]),
        ("Options", ["--home", "-v,", "-q,", "-h,"]),
    ]


def test_results_has_every_option_under_one_heading() -> None:
    shown = sections(results)
    assert list(shown)[:3] == ["Filters", "What to show", "Output"]
    flags = [flag for flags in shown.values() for flag in flags]
    assert len(flags) == len(set(flags)) == len(results.get_params(click.Context(results)))
