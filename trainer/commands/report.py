"""`clfd report`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from storage.commands.context import Finite, Invocation, When, path_option


@click.command()
@click.option(
    "--since",
    type=When(),
    default="7d",
    show_default=True,
    help="From then on: 12h, 7d, yesterday or ISO 8601.",
)
@click.option("--until", type=When(), default="now", show_default=True, help="Before.")
@click.option(
    "--time",
    "clock",
    type=click.Choice(["classified", "recorded"]),
    default="classified",
    show_default=True,
    help="Of when recordings were answered, or began.",
)
@click.option("--label", "labels", multiple=True, help="Only this label; may be repeated.")
@path_option
@click.option("--clips", is_flag=True, help="Count runs of clips, for sounds in long recordings.")
@click.option(
    "--min-confidence", type=Finite(0, 1), help="With --clips: only runs at least this sure."
)
@click.option("--no-audio", is_flag=True, help="Without players: a smaller page.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write.  [default: reports/period-TIME.html in the home]",
)
@click.pass_obj
def report(
    invocation: Invocation,
    /,
    since: str,
    until: str,
    clock: str,
    labels: tuple[str, ...],
    path: str | None,
    clips: bool,
    min_confidence: float | None,
    no_audio: bool,
    as_json: bool,
    output: Path | None,
) -> None:
    """Picture a period on one page.

    Which labels were heard when, where and how surely, what people corrected, what failed and why,
    which files were left out, whether the answers have drifted from those to the validation
    recordings, and the most and least confident recordings to look at and to listen to. The page
    opens in any browser, without a network. With --clips it counts how often a label was heard: a
    run of neighbouring clips is one time.

    Its path goes to stdout. Exit 1, and no page, where nothing happened in the period.

    \b
    Example:
      clfd report --since 7d -o report.html
    """
    from storage.queries.filters import Filters
    from trainer.reports.period_report import write_period_report

    if min_confidence is not None and not clips:
        raise click.UsageError("--min-confidence is about clips; add --clips")
    settings, now = invocation.settings(), datetime.now(UTC)
    filters = Filters(
        labels=labels,
        min_confidence=min_confidence,
        since=since,
        until=until,
        path=path,
        by_recorded=clock == "recorded",
        rules=settings.results.display_rules,
    )
    figures = write_period_report(
        filters, clips, output, not no_audio, invocation.home(), settings, now
    )
    click.echo(json.dumps(figures, ensure_ascii=False) if as_json else figures["report"])
