"""`clfd train`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from storage.commands.context import ExistingPath, Invocation, Seconds
from storage.commands.option_headings import CommandWithHeadings


class LabelsPath(ExistingPath):
    """Of several processes the main one looks, which alone reads labels, and tells the others."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            return Path(value)
        return super().convert(value, param, ctx)


@click.command(
    cls=CommandWithHeadings,
    headings={
        "--recipe": "Recipe",
        "--val-fraction": "What it is judged by",
        "--from": "Where it begins",
        "--promote": "What becomes of it",
        "--device": "How it runs",
    },
)
@click.argument("labels", type=LabelsPath(), metavar="LABELS.csv")
@click.option(
    "--recipe",
    type=click.Choice(["default", "reference"]),
    default="default",
    show_default=True,
    help="Hyperparameters to begin with: what measures best for its cost (AdamW, one-cycle to "
    "0.005, batch 16, 150 epochs, varied and mixed clips, 64 bands, width 16), or the reference: "
    "Adam, 0.001, batch 32, 20 epochs, 5 s at 22050 Hz, 128 bands, width 64.",
)
@click.option(
    "--task",
    type=click.Choice(["auto", "single", "multi"]),
    default="auto",
    show_default=True,
    help="One label of all (single), or several at once and sometimes none (multi). auto: multi "
    "where one part of a file bears several labels, in several rows or in one cell as a;b.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training files.")
@click.option(
    "--lr", "learning_rate", type=click.FloatRange(min=0, min_open=True), help="Learning rate."
)
@click.option("--batch-size", type=click.IntRange(min=2), help="Clips in a step.")
@click.option("--optimizer", type=click.Choice(["adam", "adamw"]), help="Without or with decay.")
@click.option(
    "--vary",
    type=click.Choice(["full", "shift", "none"]),
    help="How clips are varied: in full, turned round in time only, or not.  [default: as the "
    "recipe does, in full from 40 epochs on and less before]",
)
@click.option(
    "--balance",
    type=click.Choice(["none", "sqrt", "full"]),
    help="How often an epoch takes clips of rare labels: as they are, by one over the root of "
    "their number, or every label alike.  [default: the recipe's]",
)
@click.option("--clip-seconds", type=Seconds(0, 60, min_open=True), help="Clip length.")
@click.option("--sample-rate", "sample_rate_hz", type=click.IntRange(1000, 768_000), help="In Hz.")
@click.option("--mels", "n_mels", type=click.IntRange(8, 1024), help="Mel bands.")
@click.option("--width", type=click.IntRange(1, 256), help="Channels of the first block.")
@click.option(
    "--val-fraction",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of each label's groups that validates; 0 trains on everything. "
    "[default: the split column, else 0.2]",
)
@click.option("--fold", type=int, help="Validate on this fold, train on the others.")
@click.option(
    "--cross-validate",
    is_flag=True,
    help="Train once for each fold (fold column, else five by hash) and report the accuracies; "
    "the published checkpoint then learns from all files, with the same recipe.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Decides the split, the first weights and the order of clips.",
)
@click.option(
    "--from",
    "start",
    default="scratch",
    show_default=True,
    metavar="scratch|active|NAME",
    help="Begin with new weights, or go on with a checkpoint: in a quarter of the epochs, with its "
    "audio format, and with the labels it knows beside those of the file.",
)
@click.option(
    "--resume", is_flag=True, help="Go on with the same training where it was stopped, if it was."
)
@click.option(
    "--promote",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Make the new checkpoint the active one; auto: unless it is worse than the active one.",
)
@click.option(
    "--allow-label-change",
    is_flag=True,
    help="Let --promote auto drop labels that the active checkpoint knows.",
)
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Choose the threshold of each label for this precision, from held-out recordings. "
    "[default: multi for the best F1, single none]",
)
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps.  [default: engine.device]")
@click.option("--skip-bad", is_flag=True, help="Leave out rows and files that cannot be used.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@click.option("--folder", type=click.Path(path_type=Path), hidden=True, help="Made by the page.")
@click.pass_obj
def train(
    invocation: Invocation, /, labels: Path, as_json: bool, folder: Path | None, **options: Any
) -> None:
    """Learn from labelled files, and publish a checkpoint.

    LABELS.csv has the columns path (or file, filename, file_name) and label (or category, class;
    several as a;b), and may have start, end (seconds), fold, group (or src_file, source) and split
    (train, val). Paths are relative to its folder. A folder with one sub-folder per label does as
    well.

    The name of the checkpoint goes to stdout; pictures and numbers go to reports/NAME in the home.

    \b
    Example:
      clfd train sounds/labels.csv --epochs 30
    """
    from trainer.console import ProgressConsole
    from trainer.distributed.process_group import open_process_group
    from trainer.errors import OptionError, ToldElsewhere
    from trainer.train import train_checkpoint
    from trainer.training.request import train_request

    settings = invocation.settings(**{"engine.device": options.pop("device")})
    try:
        request = train_request(labels, **options)
    except OptionError as error:
        raise click.UsageError(str(error)) from error
    with staying_without_terminal(), listed_problems(), open_process_group() as process_group:
        console = ProgressConsole(invocation.verbosity if process_group.is_main_process else -1)
        try:
            trained = train_checkpoint(
                request, invocation.home(), settings, console, process_group, folder
            )
        except ToldElsewhere as error:
            raise click.exceptions.Exit(error.exit_code) from error
    if trained is None:
        return
    for line in _summary(trained.outcome):
        console.print_line(line)
    if trained.report:
        console.print_line(f"report: {trained.report}")
    click.echo(json.dumps(trained.outcome) if as_json else trained.outcome["checkpoint"])


@contextmanager
def staying_without_terminal() -> Iterator[None]:
    """A terminal that closes takes no hours of work along; the workers inherit this."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def listed_problems() -> Iterator[None]:
    """Where labels have several problems, a line for each stands above the error's one line."""
    from trainer.errors import LabelsError

    try:
        yield
    except LabelsError as error:
        if len(error.problems) > 1:
            click.echo("\n".join(error.listing()), err=True)
        raise


def _summary(outcome: dict[str, Any]) -> list[str]:
    """What a person wants to know at the end."""
    from trainer.checkpoints.list import accuracy_text

    promoted = "is active now" if outcome["promoted"] else "was not promoted"
    quality = "quality" if outcome["task"] == "multi" else "accuracy"
    return [
        f"{quality}: {accuracy_text(outcome)}",
        f"checkpoint {outcome['checkpoint']} {promoted}: {outcome['promotion_reason']}",
    ]
