"""`clfd evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from storage.commands.context import ExistingPath, Invocation
from trainer.commands.train import listed_problems


@click.command()
@click.argument("labels", type=ExistingPath(), metavar="LABELS.csv")
@click.option("--checkpoint", default="active", show_default=True, help="Name, prefix or file.")
@click.option("--fold", type=int, help="Only the recordings of this fold.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps.  [default: engine.device]")
@click.option(
    "--skip-bad",
    is_flag=True,
    help="Leave out rows and files that cannot be used, and labels the checkpoint does not know.",
)
@click.option(
    "--include-trained", is_flag=True, help="Also count recordings that it was trained on."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the report.  [default: reports/CHECKPOINT-evaluation-TIME in the home]",
)
@click.pass_obj
def evaluate(invocation: Invocation, /, device: str | None, as_json: bool, **options: Any) -> None:
    """Score a checkpoint on labelled files.

    LABELS.csv, or a folder with one sub-folder per label, is as for `clfd train`. Recordings that
    the checkpoint was trained on, and relatives of them, are left out: they would prove nothing.
    A label that it does not know is an error; with --skip-bad its recordings are left out.

    A summary goes to stdout; the report, with pictures and all numbers, into a folder.

    \b
    Example:
      clfd evaluate sounds/labels.csv
    """
    from trainer.console import ProgressConsole
    from trainer.evaluate import evaluate_checkpoint, summary
    from trainer.evaluation.prepare import EvaluateRequest

    settings = invocation.settings(**{"engine.device": device})
    console = ProgressConsole(invocation.verbosity)
    with listed_problems():
        outcome = evaluate_checkpoint(
            EvaluateRequest(**options), invocation.home(), settings, console
        )
    console.print_line(f"report: {outcome['report']}")
    click.echo(json.dumps(outcome) if as_json else "\n".join(summary(outcome)))
