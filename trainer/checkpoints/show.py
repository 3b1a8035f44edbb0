"""One checkpoint as text: audio format, measured quality, origin and parents.

A file may come from anywhere and say anything under `training`: what is not as expected is left
out, and never stops the rest from being read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from classifier.errors import CheckpointError
from classifier.model.audio_format import AudioFormat
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from classifier.model.classifier import NetworkShape
from storage.home.checkpoint_folder import CheckpointFolder
from storage.values.text import visible
from trainer.checkpoints.import_checkpoint import stored_name
from trainer.checkpoints.list import accuracy_text, local_time, percent

Row = tuple[str, str | None]  # what is None is not known, and not shown
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
        "What it hears": _audio_rows(about.labels, about.audio_format, about.network),
        "How good it is": _quality_rows(training, about.temperature),
        "Where it comes from": _origin_rows(checkpoint.digest, training),
        "Its parents": _parent_rows(training, ancestors(checkpoint_folder, training)),
    }
    for heading, rows in groups.items():
        known = [(name, text) for name, text in rows if text]
        if known:
            _print_group(console, heading, known)


def _print_group(console: Console, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    table = Table.grid("name", "text", padding=(0, 2))
    for name, text in rows:
        table.add_row(Text(visible(name)), Text(visible(text)))
    console.print(Text(f"\n{heading}"), Padding(table, (0, 0, 0, 2), expand=False), sep="\n")


def _audio_rows(labels: Sequence[str], audio: AudioFormat, network: NetworkShape) -> Iterator[Row]:
    yield "labels", f"{', '.join(labels)} ({len(labels)})"
    yield "clips", f"{audio.clip_seconds:g} s at {audio.sample_rate_hz} Hz"
    yield "bands", f"{audio.n_mels} from {audio.min_hz:g} to {audio.max_hz:g} Hz"
    yield "widths", "-".join(str(width) for width in network.widths)


def _quality_rows(training: Facts, temperature: float) -> Iterator[Row]:
    yield "accuracy", accuracy_text(training)
    yield "macro-F1", _formatted(training.get("val_macro_f1"), lambda f1: f"{f1:.3f}")
    before = _formatted(training.get("ece_before"), lambda ece: f"({ece:.3f} before temperature)")
    error = _formatted(training.get("ece"), lambda ece: f"{ece:.3f}")
    yield "calibration error", error and _joined(error, before, between=" ")
    yield "temperature", f"{temperature:.3g}"
    for probe in _list(training.get("probes")):
        name, label, sure = (_mapping(probe).get(key) for key in ("name", "label", "confidence"))
        yield str(name), _joined(label, percent(sure), between=" ")
    yield "promotion", _promotion(_mapping(training.get("promotion")))


def _origin_rows(digest: str, training: Facts) -> Iterator[Row]:
    recipe, versions = _mapping(training.get("recipe")), _mapping(training.get("versions"))
    seconds = _formatted(training.get("seconds"), lambda seconds: f"in {seconds:.0f} s")
    device = _formatted(training.get("device"), lambda device: f"on {device}")
    yield "made", _joined(local_time(training.get("created_at")), seconds, device, between=" ")
    yield "labels file", _text(training.get("labels_file"))
    yield "its digest", _text(training.get("labels_digest"))
    yield "recordings", _recordings(training)
    yield "split", _text(training.get("split"))
    yield "seed", _text(training.get("seed"))
    yield "recipe", _recipe(recipe)
    yield "versions", ", ".join(f"{name} {number}" for name, number in versions.items())
    yield "attribution", _text(training.get("attribution"))
    yield "digest", digest


def _parent_rows(training: Facts, line: Sequence[Ancestor]) -> Iterator[Row]:
    if "parent" in training and training["parent"] is None:
        yield "none", "it began with random weights"
    for ancestor in line:
        where = "" if ancestor["on_shelf"] else " (not on this shelf)"
        yield ancestor["name"], f"{ancestor['digest']}{where}"


def _promotion(promotion: Facts) -> str | None:
    word = "promoted" if promotion.get("promoted") is True else "not promoted"
    return _joined(word, promotion.get("reason"), between=": ") if promotion else None


def _recordings(training: Facts) -> str | None:
    trained = _formatted(training.get("train_files"), lambda n: f"{n} learned from")
    held_out = _formatted(training.get("val_files"), lambda n: f"{n} held out")
    skipped = _formatted(training.get("skipped"), lambda n: f"{n} left out" if n else None)
    return _joined(trained, held_out, skipped, between=", ")


def _recipe(recipe: Facts) -> str | None:
    return _joined(
        recipe.get("name"),
        _formatted(recipe.get("epochs"), lambda epochs: f"{epochs} epochs"),
        _formatted(
            recipe.get("learning_rate"), lambda rate: f"{recipe.get('optimizer')} at {rate:g}"
        ),
        _formatted(recipe.get("batch_size"), lambda size: f"batches of {size}"),
        between=", ",
    )


def _formatted(value: object, write: Callable[[Any], str | None]) -> str | None:
    """`write(value)`; None where there is no value, or one of another kind."""
    try:
        return None if value is None else write(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _joined(*parts: object, between: str) -> str | None:
    return between.join(str(part) for part in parts if part) or None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _mapping(value: object) -> Facts:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


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
