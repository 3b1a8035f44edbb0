"""The options that select recordings, shared by several commands."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from storage.commands.context import Invocation

if TYPE_CHECKING:
    from storage.queries.filters import Filters, Status

Command = TypeVar("Command", bound=Callable[..., Any])


class When(click.ParamType[str]):
    """A point in time, as `storage.values.timestamps` understands it; gives the ledger's stamp."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from storage.values.timestamps import parse_when, stamp

        try:
            return stamp(parse_when(value, datetime.now(UTC)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Glob(click.ParamType[str]):
    """A glob over paths, which are text whatever bytes they hold."""

    name = "glob"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        import os

        from storage.values.text import printable_path

        return printable_path(os.fsencode(value))


path_option = click.option(
    "--path", type=Glob(), help="A glob over the path in the inbox (absolute: with the inbox)."
)


class Finite(click.FloatRange):
    """A number, which `nan` and `inf` are not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


_CONFIDENCE = Finite(0, 1)
_OPTIONS = (
    click.option("--label", "labels", multiple=True, help="Only this label; may be repeated."),
    click.option("--min-confidence", type=_CONFIDENCE, help="At least this confidence."),
    click.option("--max-confidence", type=_CONFIDENCE, help="At most this confidence."),
    click.option("--since", type=When(), help="From then on: 2h, 3d, yesterday or ISO 8601."),
    click.option("--until", type=When(), help="Before then."),
    click.option(
        "--time",
        "clock",
        type=click.Choice(["classified", "recorded"]),
        default="classified",
        show_default=True,
        help="Which time --since and --until are about.",
    ),
    path_option,
    click.option("--wrong", is_flag=True, help="Of which a person says something else."),
    click.option("--min-level", type=Finite(), help="RMS of the recording, at least so many dBFS."),
    click.option("--max-level", type=Finite(), help="RMS at most; -90 finds silence."),
    click.option("--clipped", is_flag=True, help="With samples at full scale."),
    click.option("--checkpoint", help="Answers of this checkpoint: name, digest or their start."),
)


def filter_options(command: Command) -> Command:
    """Give a command these options; it takes them as `**options`, for `filters_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filters_of(
    invocation: Invocation,
    options: dict[str, Any],
    status: Status = "done",
    history: bool = False,
) -> Filters:
    """The options as filters. Raises StorageError for a checkpoint that does not exist."""
    from storage.queries.filters import Filters

    by_recorded = options.pop("clock") == "recorded"
    if options["checkpoint"] is not None:
        from storage.home.checkpoint_folder import meant_by

        options["checkpoint"] = meant_by(invocation.home(), options["checkpoint"])
    options |= {"by_recorded": by_recorded, "rules": invocation.display_rules()}
    return Filters(**options, status=status, history=history)
