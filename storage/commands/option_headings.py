"""A command with many options: its help lists them under headings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click


class CommandWithHeadings(click.Command):
    """`headings` has one for each option that begins a section: `{"--label": "Filters", ...}`.

    Options stand in the order in which they are declared, those of every command last.
    """

    def __init__(self, *args: Any, headings: Mapping[str, str], **options: Any) -> None:
        super().__init__(*args, **options)
        self._headings = {**headings, "--home": "Options"}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        heading = "Options"
        sections: dict[str, list[tuple[str, str]]] = {}
        options = (each for each in self.get_params(ctx) if isinstance(each, click.Option))
        for option in options:
            begun = [self._headings[flag] for flag in option.opts if flag in self._headings]
            heading = begun[0] if begun else heading
            if record := option.get_help_record(ctx):
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
