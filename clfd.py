"""The command line: every command by name, loaded when it is called.

`clfd --help` and light commands must not wait for torch, so this module and the tops of the
modules in `commands` folders import click and the standard library only.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from classifier.errors import ClassifierError
from classifier.workers.cache_folders import writable_caches
from classifier.workers.cores import quota_cores, usable_cores
from daemon.errors import DaemonError
from storage.commands.command_errors import denied_line, usage_line
from storage.commands.context import HELP_NAMES, Invocation, add_common_options, common_options
from storage.errors import StorageError
from storage.values.distribution import DISTRIBUTION
from storage.values.standard_streams import repair_standard_streams
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from daemon.pipeline.classify_files import classify_frame as classify
    from storage.export.dataframe import results_frame as results
    from trainer.train import train_labels as train

# Heading of the overview, by what people do: package and name of each command; its module lies in
# the package's folder `commands`.
COMMANDS = {
    "Start": ("daemon.init", "trainer.demo", "daemon.doctor"),
    "Listen": (
        *("daemon.run", "daemon.classify", "daemon.scan"),
        *("storage.status", "daemon.service", "daemon.reload", "daemon.bulk"),
    ),
    "Look": ("web.web", "storage.results", "trainer.report", "trainer.clips"),
    "Teach": (
        *("storage.labels", "trainer.train", "trainer.evaluate"),
        *("trainer.checkpoints", "trainer.compare"),
    ),
    "Care": ("storage.retry", "storage.rescore", "storage.config", "storage.db", "daemon.bench"),
}
# Read by torch's OpenMP when it is loaded. Its threads otherwise spin while they wait for each
# other, and on a machine that does anything else beside, say training beside the daemon, a small
# network then takes ten times as long (measured: 154 s instead of 14 s on two shared cores).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if quota_cores() is not None:  # torch sees the cores of the whole machine
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))

MODULES = {
    command.partition(".")[2]: command.replace(".", ".commands.")
    for commands in COMMANDS.values()
    for command in commands
}
INTERRUPTED = 130


# For Python: loaded when they are asked for, with arguments and errors in their own help.
FUNCTIONS = {
    "classify": "daemon.pipeline.classify_files.classify_frame",
    "results": "storage.export.dataframe.results_frame",
    "train": "trainer.train.train_labels",
}
__all__ = ["classify", "results", "train"]


def __getattr__(name: str) -> Any:
    if name not in FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, function = FUNCTIONS[name].rpartition(".")
    return getattr(importlib.import_module(module), function)


class Refusal(click.ClickException):
    """An error of ours as one line and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """In systemd's journal the line is marked as an error."""
        priority = ""
        if "JOURNAL_STREAM" in os.environ:
            from daemon.monitoring.journald import is_journal

            priority = "<3>" if is_journal(sys.stderr) else ""
        click.echo(f"{priority}clfd: {self.message}", file=file or sys.stderr)


class CommandLine(click.Group):
    """Finds commands in their packages and turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in MODULES:
            return None
        command: click.Command = getattr(importlib.import_module(MODULES[name]), name)
        add_common_options(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in COMMANDS.items():
            names = [command.partition(".")[2] for command in commands]
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(heading):
                formatter.write_dl([(n, c.get_short_help_str(70)) for n, c in found if c])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _usage_in_one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _usage_in_one_line():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.ensure_object(Invocation).verbosity > 0:
                traceback.print_exc()
            if isinstance(error, ClassifierError | DaemonError | StorageError | TrainerError):
                raise Refusal(str(error), error.exit_code) from error
            what = f"unexpected {type(error).__name__}: {error}"
            hint = "this is a fault in clfd; run again with -v for the traceback and report it"
            raise Refusal(denied_line(error) or f"{what}; {hint}", 1) from error


@contextmanager
def _usage_in_one_line() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        raise Refusal(usage_line(error), error.exit_code) from error


@click.command(cls=CommandLine, params=common_options(), context_settings=HELP_NAMES)
@click.version_option(package_name=DISTRIBUTION, prog_name="clfd", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Classifies every audio file dropped into a folder, and learns from your labels.

    \b
    clfd classify a.wav       one file, at once
    clfd init                 make a home with an inbox
    clfd train LABELS.csv     learn from labelled files
    clfd run                  classify what is dropped into the inbox
    clfd results              what was heard
    """
    ctx.ensure_object(Invocation)


def main() -> None:
    repair_standard_streams()
    # The interpreter looks through all objects three times before it ends: 0.35 s with torch.
    atexit.register(gc.freeze)
    try:
        with writable_caches():
            cli(prog_name="clfd")
    except StorageError as error:  # help that cannot be written is printed before any command
        Refusal(str(error), error.exit_code).show()
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
