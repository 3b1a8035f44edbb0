"""One checkpoint as text: audio format, measured quality, origin and parents.

A file may come from anywhere and say anything under `training`: what is not as expected is left
out, and never stops the rest from being read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from classifier.errors import CheckpointError
from classifier.model.checkpoint import Checkpoint, Description, read_checkpoint
from storage.home.checkpoint_folder import CheckpointFolder
from storage.values.text import visible
from trainer.checkpoints.import_checkpoint import stored_name
from trainer.checkpoints.list import accuracy_text, fact, local_time

Row = tuple[str, str | None]  # None is unknown, and not shown
Facts = Mapping[str, Any]


class Ancestor(TypedDict):
    """`on_shelf`: whether its file is in the folder, with exactly the content that was used."""

    name: str
    digest: str
    on_shelf: bool


def describe(checkpoint_folder: CheckpointFolder, checkpoint: Checkpoint) -> dict[str, Any]:
    """The object of `--json`: the checkpoint's description, its state in the folder, its ancestors.

    The state is active, previous or None. Weights and canary are left out.
    """
    about = checkpoint.description.model_dump(mode="json", exclude={"canary"})
    return {
        "checkpoint": checkpoint.name,
        "digest": checkpoint.digest,
        **about,
        "state": state(checkpoint_folder, checkpoint.name),
        "lineage": ancestors(checkpoint_folder, checkpoint.description.training),
    }


def state(checkpoint_folder: CheckpointFolder, name: str) -> str | None:
    return {checkpoint_folder.previous(): "previous", checkpoint_folder.active(): "active"}.get(
        name
    )


def print_description(
    checkpoint_folder: CheckpointFolder, checkpoint: Checkpoint, console: Console
) -> None:
    about, training = checkpoint.description, checkpoint.description.training
    current_state = state(checkpoint_folder, checkpoint.name)
    console.print(Text(f"{checkpoint.name}{f' ({current_state})' if current_state else ''}"))
    groups: dict[str, Iterator[Row]] = {
        "What it hears": _audio_rows(about),
        "How good it is": _quality_rows(training, about),
        "Where it comes from": _origin_rows(checkpoint.digest, training),
        "Its parents": _parent_rows(training, ancestors(checkpoint_folder, training)),
    }
    for heading, rows in groups.items():
        given = [(name, text) for name, text in rows if text]
        if given:
            _print_group(console, heading, given)


def _print_group(console: Console, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    table = Table.grid("name", "text", padding=(0, 2))
    for name, text in rows:
        table.add_row(Text(visible(name)), Text(visible(text)))
    console.print(Text(f"\n{heading}"), Padding(table, (0, 0, 0, 2), expand=False), sep="\n")


def _audio_rows(about: Description) -> Iterator[Row]:
    labels, audio, network = about.labels, about.audio_format, about.network
    yield "task", "several labels at once, or none" if about.task == "multi" else None
    yield "labels", f"{', '.join(labels)} ({len(labels)})"
    yield "clips", f"{audio.clip_seconds:g} s at {audio.sample_rate_hz} Hz"
    yield "bands", f"{audio.n_mels} from {audio.min_hz:g} to {audio.max_hz:g} Hz"
    yield "widths", "-".join(str(width) for width in network.widths)


def _quality_rows(training: Facts, about: Description) -> Iterator[Row]:
    is_multi = about.task == "multi"
    yield "quality" if is_multi else "accuracy", accuracy_text(training)
    yield "macro-F1", fact(training, "val_macro_f1", "{:.3f}")
    error, before = fact(training, "ece", "{:.3f}"), fact(training, "ece_before", "{:.3f}")
    note = f"({before} before temperature)" if before else None
    yield "calibration error", error and _joined(" ", error, note)
    if not is_multi:
        yield "temperature", f"{about.temperature:.3g}"
    elif about.temperatures:
        yield "temperatures", f"{min(about.temperatures):.3g} to {max(about.temperatures):.3g}"
    for label, each in about.thresholds.items():
        share = f"precision {each.precision:.1%} (at least {each.precision_low:.1%})"
        rests_on = f"{each.n_found} found, {each.n_examples} examples, {each.rests_on}"
        yield f"threshold {label}", f"{each.threshold:.3g}: {share}, {rests_on}"
    probes = training.get("probes")
    for probe in map(_mapping, probes if isinstance(probes, list) else []):
        confidence = fact(probe, "confidence", "{:.1%}")
        yield str(probe.get("name")), _joined(" ", probe.get("label"), confidence)
    if promotion := _mapping(training.get("promotion")):
        word = "promoted" if promotion.get("promoted") is True else "not promoted"
        yield "promotion", _joined(": ", word, promotion.get("reason"))


def _origin_rows(digest: str, training: Facts) -> Iterator[Row]:
    recipe, versions = _mapping(training.get("recipe")), _mapping(training.get("versions"))
    seconds, device = fact(training, "seconds", "in {:.0f} s"), fact(training, "device", "on {}")
    left_out = fact(training, "skipped", "{} left out") if training.get("skipped") else None
    yield "made", _joined(" ", local_time(training.get("created_at")), seconds, device)
    yield "labels file", fact(training, "labels_file")
    yield "its digest", fact(training, "labels_digest")
    learned = _number_of(training, "train", "{} learned from")
    held_out = _number_of(training, "val", "{} held out")
    yield "recordings", _joined(", ", learned, held_out, left_out)
    yield "split", fact(training, "split")
    yield "seed", fact(training, "seed")
    epochs, batches = (
        fact(recipe, "epochs", "{} epochs"),
        fact(recipe, "batch_size", "batches of {}"),
    )
    optimizer = _joined(" at ", recipe.get("optimizer"), fact(recipe, "learning_rate", "{:g}"))
    yield "recipe", _joined(", ", recipe.get("name"), epochs, optimizer, batches)
    yield "versions", ", ".join(f"{name} {number}" for name, number in versions.items())
    yield "attribution", fact(training, "attribution")
    yield "digest", digest


def _parent_rows(training: Facts, line: Sequence[Ancestor]) -> Iterator[Row]:
    if "parent" in training and training["parent"] is None:
        yield "none", "it began with random weights"
    for ancestor in line:
        where = "" if ancestor["on_shelf"] else " (its file is not here)"
        yield ancestor["name"], f"{ancestor['digest']}{where}"


def _joined(between: str, *parts: object) -> str | None:
    return between.join(str(part) for part in parts if part) or None


def _mapping(value: object) -> Facts:
    return value if isinstance(value, Mapping) else {}


def ancestors(checkpoint_folder: CheckpointFolder, training: Mapping[str, Any]) -> list[Ancestor]:
    """The parent, its parent and so on, as far as their files are there; [] from scratch."""
    found: dict[str, Ancestor] = {}
    parent = _parent(training)
    while parent is not None and parent["digest"] not in found:  # a forged file may lead in a ring
        checkpoint = _find(checkpoint_folder, parent["digest"])
        found[parent["digest"]] = {**parent, "on_shelf": checkpoint is not None}
        parent = None if checkpoint is None else _parent(checkpoint.description.training)
    return list(found.values())


def _parent(training: Mapping[str, Any]) -> Ancestor | None:
    match training.get("parent"):
        case {"name": str(name), "digest": str(digest)}:
            return {"name": name, "digest": digest, "on_shelf": False}
    return None


def _find(checkpoint_folder: CheckpointFolder, digest: str) -> Checkpoint | None:
    try:
        name = stored_name(checkpoint_folder, digest)
        return None if name is None else read_checkpoint(checkpoint_folder.path(name))
    except CheckpointError:
        return None


def _number_of(training: Mapping[str, Any], side: str, template: str) -> str | None:
    """Of examples; checkpoints of earlier versions tell their files alone."""
    name = f"{side}_examples"
    return fact(training, name if name in training else f"{side}_files", template)
