"""`clfd labels verify`: how often a label is right, and the threshold that follows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from storage.commands.context import Count, Finite, Invocation

if TYPE_CHECKING:
    from storage.database.database import Database
    from storage.labels.label_events import Say
    from storage.review.clip_to_judge import ClipToJudge
    from storage.review.verification import Verified

_SAYS: dict[str, Say] = {"y": "label", "n": "not", "s": "unsure"}


@click.command()
@click.option("--label", required=True, help="Which one.")
@click.option("--n", "number", type=Count(1), default=100, show_default=True, help="So many clips.")
@click.option("--precision", type=Finite(0, 1), default=0.9, show_default=True, help="Wanted.")
@click.option("--seed", type=Count(0), default=0, show_default=True, help="Of the draw.")
@click.option("--write", is_flag=True, help="Write the threshold into clfd.toml.")
@click.pass_obj
def verify(
    invocation: Invocation, label: str, number: int, precision: float, seed: int, write: bool
) -> None:
    """How often a label is right, and from where on.

    Asks of clips that were answered so, spread over all confidences: y, n, s (unsure), u (undo) or
    q. It plays nothing: listen by the path. What was said is kept, and asking again goes on until N
    are judged.

    \b
    Example:
      clfd labels verify --label siren --n 100
    """
    from storage.database.engine import open_database
    from storage.review.verification import verified
    from storage.settings.writing import write_threshold

    with open_database(invocation.database(), "editor") as database:
        with database.transaction() as connection:
            left = number - verified(connection, label, precision).n_judged
        if left > 0:
            _ask_all(invocation, database, label, left, seed)
        with database.transaction() as connection:
            found = verified(connection, label, precision)
    _print(label, found, precision)
    if write and found.threshold is not None:
        click.echo(f"clfd.toml: {write_threshold(invocation.home(), label, found.threshold)}")


def _ask_all(
    invocation: Invocation, database: Database, label: str, number: int, seed: int
) -> None:
    from storage.labels.label_events import LabelEvent, new_act, undo_events, write_events
    from storage.queries.filters import Filters
    from storage.queries.results import results_of
    from storage.review.clip_to_judge import clip_to_judge
    from storage.review.verification import verification_queue
    from storage.values.users import current_user

    author = current_user()
    with database.transaction() as connection:
        ids = verification_queue(connection, label, number, seed)
        rows = results_of(connection, ids, Filters(rules=invocation.display_rules()), True)
    clips, events = [clip_to_judge(row, label) for row in rows], list[str]()
    if not clips:
        invocation.print_note(f"no answer {label} is left that nobody has labelled")
    while len(events) < len(clips):
        clip = clips[len(events)]
        answer = _ask(f"{len(events) + 1}/{len(clips)}  {_shown(clip)}  {label}?")
        if answer == "q":
            break
        if answer == "u":
            if events:
                undo_events(database, [events.pop()], author)
            continue
        say: Say = _SAYS[answer]
        part = clip.part_start_s, clip.part_end_s
        event = LabelEvent(new_act(), clip.digest, say, label, *part, way="verified")
        if say == "unsure":
            event = replace(event, label=None)
        write_events(database, [event], author)
        events.append(event.id)


def _ask(question: str) -> str:
    """An end of the input is a q: what was said until then is kept."""
    choice = click.Choice(["y", "n", "s", "u", "q"])
    try:
        answer: str = click.prompt(question, type=choice, err=True)
    except click.Abort:
        click.echo(err=True)
        return "q"
    return answer


def _shown(clip: ClipToJudge) -> str:
    from storage.values.text import visible
    from storage.values.timestamps import seconds_text

    span = f", {seconds_text(clip.start_s)} to {seconds_text(clip.end_s)} s"
    return visible(clip.path) + (span if clip.part_end_s else "")


def _print(label: str, found: Verified, precision: float) -> None:
    from storage.export.text_formats import output, write_table

    rows = [
        (
            f"{one.low:.1f} to {one.high:.1f}",
            str(one.n_answers),
            str(one.n_judged),
            f"{one.n_right / one.n_judged:.1%}" if one.n_judged else "",
            "{:.1%} to {:.1%}".format(*one.interval) if one.interval else "",
        )
        for one in found.bins
        if one.n_answers
    ]
    with output(None) as stream:
        write_table(stream, ("confidence", "answers", "judged", "right", "interval"), rows)
    if found.right is None:
        click.echo("nothing was judged so far")
        return
    click.echo(f"{label}: {found.right:.1%} right ({found.low:.1%} to {found.high:.1%})")
    if found.threshold is None:
        click.echo(f"no threshold reaches a precision of {precision:g} with what was judged")
    else:
        click.echo(
            f"above {found.threshold:g}: {found.precision:.1%} right, at least"
            f" {found.precision_low:.1%}; set results.thresholds = "
            f'["{label}={found.threshold:g}"], or add --write'
        )
