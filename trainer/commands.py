"""The trainer's commands: train, checkpoints, demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from storage.invocation import Invocation
    from trainer.learning import Request


@click.command()
@click.argument("labels", type=click.Path(exists=True, path_type=Path), metavar="LABELS.csv")
@click.option(
    "--recipe",
    type=click.Choice(["default", "reference"]),
    default="default",
    show_default=True,
    help="Hyperparameters to begin with: what measures best (for now the reference), or the "
    "reference: Adam, 1e-3, batch 32, 20 epochs, 5 s at 22050 Hz, 128 bands, width 64.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training files.")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Learning rate.")
@click.option("--batch-size", type=click.IntRange(min=2), help="Clips in a step.")
@click.option("--optimizer", type=click.Choice(["adam", "adamw"]), help="Without or with decay.")
@click.option("--clip-seconds", type=click.FloatRange(0, 60, min_open=True), help="Clip length.")
@click.option("--sample-rate", type=click.IntRange(1000, 768_000), help="In Hz.")
@click.option("--mels", type=click.IntRange(8, 1024), help="Mel bands.")
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
    "--promote",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Make the new checkpoint the active one; auto refuses one that hears a single label.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Decides the split, the first weights and the order of clips.",
)
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps.  [default: engine.device]")
@click.option("--skip-bad", is_flag=True, help="Leave out rows and files that cannot be used.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@click.pass_obj
def train(invocation: Invocation, /, labels: Path, as_json: bool, **options: Any) -> None:
    """Learn from labelled files, and publish a checkpoint.

    LABELS.csv has the columns path (or file, filename, file_name) and label (or category, class),
    and may have start, end (seconds), fold, group (or src_file, source) and split (train, val).
    Paths are relative to its folder. A folder with one sub-folder per label does as well.

    The name of the checkpoint goes to stdout; pictures and numbers go to reports/NAME in the home.

    \b
    Example:
      clfd train sounds/labels.csv --epochs 30
    """
    from trainer.errors import LabelsError
    from trainer.learning import learn
    from trainer.progress import Narrator

    settings = invocation.settings(**{"engine.device": options["device"]})
    narrator = Narrator(invocation.verbosity)
    request = _request(labels, options)
    try:
        lesson = learn(request, invocation.home(), settings, narrator)
    except LabelsError as error:
        if len(error.problems) > 1:
            click.echo("\n".join(error.listing()), err=True)
        raise
    for line in _summary(lesson.outcome):
        narrator.say(line)
    narrator.say(f"report: {lesson.report}")
    click.echo(json.dumps(lesson.outcome) if as_json else lesson.outcome["checkpoint"])


def _request(labels: Path, options: dict[str, Any]) -> Request:
    """Raises UsageError where options contradict each other."""
    from classifier.resnet9 import widths_from
    from trainer.learning import Request
    from trainer.recipes import recipe_with
    from trainer.splits import SplitChoice

    exclusive = ("val_fraction", "fold", "cross_validate")
    ways = [name for name in exclusive if options[name] is not None and options[name] is not False]
    if len(ways) > 1:
        both = " and ".join("--" + way.replace("_", "-") for way in ways)
        raise click.UsageError(f"{both} exclude each other; choose one of them")
    recipe = recipe_with(
        options["recipe"],
        epochs=options["epochs"],
        learning_rate=options["lr"],
        batch_size=options["batch_size"],
        optimizer=options["optimizer"],
        clip_seconds=options["clip_seconds"],
        sample_rate_hz=options["sample_rate"],
        n_mels=options["mels"],
        widths=options["width"] and widths_from(options["width"]),
    )
    choice = SplitChoice(options["seed"], options["val_fraction"], options["fold"])
    return Request(
        labels, recipe, choice, options["cross_validate"], options["promote"], options["skip_bad"]
    )


def _summary(outcome: dict[str, Any]) -> list[str]:
    """What a person wants to know at the end."""
    from trainer.listing import accuracy_text

    promoted = "is active now" if outcome["promoted"] else "was not promoted"
    return [
        f"accuracy: {accuracy_text(outcome)}",
        f"checkpoint {outcome['checkpoint']} {promoted}: {outcome['promotion_reason']}",
    ]


@click.group()
def checkpoints() -> None:
    """List, show and activate checkpoints.

    \b
    Example:
      clfd checkpoints list
    """


@checkpoints.command("list")
@click.pass_obj
def list_checkpoints(invocation: Invocation) -> None:
    """All checkpoints, newest first.

    \b
    Example:
      clfd checkpoints list
    """
    from storage.shelf import Shelf
    from trainer.listing import print_table

    shelf = Shelf(invocation.home().checkpoints)
    if not shelf.names():
        click.echo(f"no checkpoint in {shelf.folder}; `clfd train` makes one", err=True)
        return
    for refusal in print_table(shelf):
        click.echo(refusal, err=True)


@checkpoints.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the whole description as JSON.")
@click.pass_obj
def show(invocation: Invocation, name: str, as_json: bool) -> None:
    """What a checkpoint hears, and how it was made.

    NAME is a checkpoint's name or the start of it or of its digest, `active` or `previous`.

    \b
    Example:
      clfd checkpoints show active
    """
    from classifier.checkpoint import read_checkpoint
    from storage.shelf import Shelf
    from trainer.listing import describe, print_description

    shelf = Shelf(invocation.home().checkpoints)
    facts = describe(read_checkpoint(shelf.path(shelf.find(name))))
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        print_description(facts)


@checkpoints.command()
@click.argument("name")
@click.pass_obj
def activate(invocation: Invocation, name: str) -> None:
    """Make a checkpoint the one to be served.

    A running daemon takes it over without a restart. NAME is as for `clfd checkpoints show`.
    A file that is not sound is refused.

    \b
    Example:
      clfd checkpoints activate 20260131T120000Z-1a2b3c4d
    """
    from classifier.checkpoint import read_checkpoint
    from storage.shelf import Shelf

    shelf = Shelf(invocation.home().checkpoints)
    chosen = shelf.find(name)
    read_checkpoint(shelf.path(chosen))
    if chosen == shelf.active():
        click.echo(f"{chosen} is active already", err=True)
        return
    shelf.activate(chosen)
    click.echo(f"{chosen} is active now; `clfd checkpoints rollback` undoes it", err=True)


@checkpoints.command()
@click.pass_obj
def rollback(invocation: Invocation) -> None:
    """Make the previous checkpoint the active one.

    The active one becomes the previous one, so that a second rollback undoes the first.

    \b
    Example:
      clfd checkpoints rollback
    """
    from classifier.checkpoint import read_checkpoint
    from storage.shelf import Shelf

    shelf = Shelf(invocation.home().checkpoints)
    read_checkpoint(shelf.path(shelf.find("previous")))
    click.echo(f"{shelf.rollback()} is active now", err=True)


@click.command()
@click.pass_obj
def demo(invocation: Invocation) -> None:
    """Show the whole loop on sounds made from numbers.

    It happens in a throw-away home; nothing of yours is touched.

    \b
    Example:
      clfd demo
    """
    from trainer.demo import run_demo

    run_demo(quiet=invocation.verbosity < 0)
