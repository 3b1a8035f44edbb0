"""What commands share: the options of every verb, and those that select recordings."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from storage.home.paths import Home
    from storage.queries.filters import Filters, Status
    from storage.settings.schema import Settings
    from storage.values.decision import DisplayRules

Command = TypeVar("Command", bound=Callable[..., Any])
HELP_NAMES = {"help_option_names": ["-h", "--help"]}


@contextmanager
def loading_modules() -> Iterator[None]:
    """Around imports of torch: what modules make stays; to look for garbage in it takes 0.2 s."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@dataclass
class Invocation:
    """`--home`, `-v` (+1 each) and `-q` (-1) of one call."""

    home_option: Path | None = None
    verbosity: int = 0

    def print_note(self, line: str) -> None:
        """Beside the data, unless `-q` is given."""
        if self.verbosity >= 0:
            click.echo(line, err=True)

    def home(self) -> Home:
        from storage.home.paths import resolve_home

        return resolve_home(self.home_option)

    def database(self) -> str:
        """The ledger's URL. Raises SettingsError."""
        from storage.settings.loading import effective_database

        return effective_database(self.home())

    def display_rules(self) -> DisplayRules:
        """How stored predictions are shown. Raises SettingsError."""
        from storage.settings.loading import effective_display_rules

        return effective_display_rules(self.home())

    def settings(self, **overrides: object) -> Settings:
        """The effective settings; keys are dotted (`**{"engine.device": "cpu"}`), None is ignored.

        Raises SettingsError.
        """
        from storage.settings.loading import load_settings

        given = {key: value for key, value in overrides.items() if value is not None}
        return load_settings(self.home(), given)


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
        from storage.values.text import printable_path

        return printable_path(os.fsencode(value))


class ExistingPath(click.Path):
    """A file or folder that is there and can be read; it tells which of the two is wrong."""

    def __init__(self, dir_okay: bool = True) -> None:
        super().__init__(exists=True, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            os.stat(value)
        except FileNotFoundError:
            self.fail(f"there is no file or folder {value}", param, ctx)
        except OSError as error:
            problem = f"cannot look at {value}: {error.strerror}"
            self.fail(f"{problem}; check the permissions of its folder", param, ctx)
        if not os.access(value, os.R_OK):
            self.fail(f"cannot read {value}; change its permissions, or leave it out", param, ctx)
        return super().convert(value, param, ctx)


path_option = click.option(
    "--path",
    type=Glob(),
    help="A glob over the path in the inbox, 'pond/*' (absolute: with the inbox).",
)


class Finite(click.FloatRange):
    """A number, which `nan` and `inf` are not."""

    def _describe_range(self) -> str:
        """For the help; click writes `x<=None` where there is no bound."""
        is_bounded = self.min is not None or self.max is not None
        return super()._describe_range() if is_bounded else ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


class Count(click.IntRange):
    """So many or more; at most what SQLite can count, of which nobody needs to hear."""

    def __init__(self, least: int) -> None:
        self.least, self.most = least, 2**63 - 1
        super().__init__(least)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = click.INT.convert(value, param, ctx)
        if number < self.least:
            self.fail(f"{number} is less than {self.least}", param, ctx)
        if number > self.most:
            self.fail(f"{number} is too large", param, ctx)
        return number


class Seconds(Finite):
    """Seconds, also as `m:ss` or `h:mm:ss`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str):
            from storage.values.timestamps import parse_seconds

            try:
                value = parse_seconds(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        if param is not None and value == param.default:  # which may be infinite
            return value
        return super().convert(value, param, ctx)


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
    click.option("--wrong", is_flag=True, help="Where a person says something else, or of a part."),
    click.option(
        "--labelled", is_flag=True, help="Of which, or of a part, a person says what it is."
    ),
    click.option("--unlabelled", is_flag=True, help="Of which nobody says what it is."),
    click.option("--author", metavar="NAME", help="Labelled by this person."),
    click.option("--min-level", type=Finite(), help="RMS of the recording, at least so many dBFS."),
    click.option("--max-level", type=Finite(), help="RMS at most; -90 finds silence."),
    click.option("--clipped", is_flag=True, help="With samples at full scale."),
    click.option(
        "--min-novelty",
        type=_CONFIDENCE,
        help="Least novelty: how unlike anything that was learned, 0 to 1.",
    ),
    click.option("--checkpoint", help="Answers of this checkpoint: name, digest or their start."),
)


def filter_options(command: Command) -> Command:
    """Give a command these options; it takes them as `**options`, for `filters_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def format_option(name: str, text_only: bool = False) -> Callable[[Command], Command]:
    """`--format`, of those that the registry lists; it imports nothing, so `--help` stays quick."""
    from storage.export.text_formats import FORMATS, TEXT_FORMATS

    choice = click.Choice(TEXT_FORMATS if text_only else tuple(FORMATS))
    help_text = "If not said: table, or what the suffix of a file asks for."
    return click.option("--format", name, type=choice, help=help_text)


def json_option(name: str) -> Callable[[Command], Command]:
    """`--json`, beside the `--format` of that name."""
    return click.option("--json", name, flag_value="json", help="The same as --format json.")


def table_or_json(command: Command) -> Command:
    """`--format` and `--json` of a command that has one page for people and one for programs."""
    choice = click.Choice(["table", "json"])
    command = json_option("file_format")(command)
    return click.option("--format", "file_format", type=choice, default="table", show_default=True)(
        command
    )


def filters_of(
    invocation: Invocation,
    options: dict[str, Any],
    status: Status = "done",
    history: bool = False,
) -> Filters:
    """The options as filters. Raises StorageError for a checkpoint that does not exist."""
    from storage.queries.filters import Filters

    if options["unlabelled"] and (options["labelled"] or options["wrong"] or options["author"]):
        raise click.UsageError("--unlabelled does not go with --labelled, --wrong and --author")
    options["by_recorded"] = options.pop("clock") == "recorded"
    if options["checkpoint"] is not None:
        from storage.home.checkpoint_folder import resolve_reference

        options["checkpoint"] = resolve_reference(invocation.home(), options["checkpoint"])
    rules = invocation.display_rules()
    return Filters(status=status, history=history, rules=rules, **options)


def _remember(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    invocation = ctx.ensure_object(Invocation)
    if option.name == "home":
        invocation.home_option = value or invocation.home_option
    else:
        invocation.verbosity += value if option.name == "verbose" else -value


def common_options() -> list[click.Parameter]:
    """Options of the invocation, which may stand before or after the verb."""
    add = partial(click.Option, expose_value=False, callback=_remember)
    folder = click.Path(path_type=Path, file_okay=False)
    home = "The folder clfd keeps everything in. [default: $CLFD_HOME or the user's data]"
    return [
        add(["--home"], type=folder, help=home),
        add(["-v", "--verbose"], count=True, help="Say more; tracebacks."),
        add(["-q", "--quiet"], count=True, help="Say less; no progress."),
    ]


def add_common_options(command: click.Command) -> None:
    """Gives a command, and the commands below it, --home, -v, -q and -h; once."""
    if any(parameter.name == "home" for parameter in command.params):
        return
    command.params.extend(common_options())
    command.context_settings.update(HELP_NAMES)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_common_options(below)
