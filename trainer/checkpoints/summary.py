"""A checkpoint in figures: where it comes from, and how good it was; two of them side by side.

A file may say anything under `training`: what is not as expected is None, and stops nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from classifier.errors import CheckpointError
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from storage.export.text_formats import write_csv, write_table
from storage.home.checkpoint_folder import CheckpointFolder
from storage.settings.loading import flat
from storage.values.text import listed

Summary = dict[str, Any]
Row = tuple[str, Any, Any]

DIGEST_LETTERS, FEW_LABELS = 12, 3  # for people
_DATA = ("labels_file", "labels_digest", "train_files", "val_files", "skipped", "split", "seed")
_FIGURES = (
    *("val_accuracy", "val_macro_f1", "val_macro_ap", "val_macro_auc", "val_loss"),
    *("mean_accuracy", "std_accuracy", "mean_macro_ap"),
    *("ece", "seconds", "gflop_per_clip"),
)


def summary_of(checkpoint: Checkpoint) -> Summary:
    """Name, data, recipe, epochs and figures; one level deep, and None for what is not known."""
    about, training = checkpoint.description, checkpoint.description.training
    parent = training.get("parent")
    return {
        "checkpoint": checkpoint.name,
        "digest": checkpoint.digest,
        "created_at": _plain(training.get("created_at")),
        "task": about.task,
        "labels": len(about.labels),
        **{name: _plain(training.get(name)) for name in _DATA},
        "parent": _plain(parent.get("name")) if isinstance(parent, Mapping) else None,
        "recipe": _plain(_recipe(checkpoint).get("name")),
        "epochs": _plain(training.get("epochs")),
        "clip_seconds": about.audio_format.clip_seconds,
        "sample_rate_hz": about.audio_format.sample_rate_hz,
        "n_mels": about.audio_format.n_mels,
        "widths": "-".join(map(str, about.network.widths)),
        **{name: _plain(training.get(name)) for name in _FIGURES},
    }


def summaries(folder: CheckpointFolder) -> list[Summary]:
    """Of every checkpoint, newest first, with its state and size; of a refused one the reason."""
    active, previous, found = folder.active(), folder.previous(), []
    for name in folder.names():
        state = "active" if name == active else "previous" if name == previous else None
        place: Summary = {"checkpoint": name, "state": state, "refused": None}
        try:
            place["size_bytes"] = folder.path(name).stat().st_size
            found.append(place | summary_of(read_checkpoint(folder.path(name))))
        except CheckpointError as error:
            found.append(place | {"refused": str(error)})
        except FileNotFoundError:  # removed meanwhile
            continue
    return found


@dataclass(frozen=True)
class SideBySide:
    """Two trainings: their summaries, and every value of their recipes that differs."""

    a: Checkpoint
    b: Checkpoint

    def rows(self) -> Iterator[Row]:
        """What is compared, with the value of each."""
        a, b = summary_of(self.a), summary_of(self.b)
        yield from ((name, a[name], b[name]) for name in a)
        of_a, of_b = set(self.a.labels), set(self.b.labels)
        yield "labels_of_one", sorted(of_a - of_b), sorted(of_b - of_a)
        recipes = [dict(flat(_recipe(each))) for each in (self.a, self.b)]
        for name in sorted((recipes[0].keys() | recipes[1].keys()) - a.keys() - {"name"}):
            of_recipe, of_other = (_plain(recipe.get(name)) for recipe in recipes)
            if of_recipe != of_other:
                yield f"recipe.{name}", of_recipe, of_other

    def as_object(self) -> dict[str, Any]:
        rows = list(self.rows())
        return {
            "a": {name: a for name, a, _ in rows},
            "b": {name: b for name, _, b in rows},
            "different": [name for name, a, b in rows if a != b],
        }


def write_side_by_side(stream: TextIO, found: SideBySide, output_format: str) -> None:
    """As a table, in which what differs is marked, as JSON or as CSV."""
    if output_format == "json":
        stream.write(f"{json.dumps(found.as_object(), ensure_ascii=False)}\n")
    elif output_format == "csv":
        records = ({"fact": name, "a": _plain(a), "b": _plain(b)} for name, a, b in found.rows())
        write_csv(stream, ("fact", "a", "b"), records)
    else:
        cells = [
            ("≠" if a != b else "", name, _cell(name, a), _cell(name, b))
            for name, a, b in found.rows()
            if (a, b) not in ((None, None), ([], []))
        ]
        write_table(stream, ("", "", "A", "B"), cells)


def _recipe(checkpoint: Checkpoint) -> Mapping[str, Any]:
    recipe = checkpoint.description.training.get("recipe")
    return recipe if isinstance(recipe, Mapping) else {}


def _plain(value: object) -> str | int | float | None:
    """One value; a list as text."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str | int | float) else None


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return listed(value, FEW_LABELS)
    if name.endswith("digest"):
        return str(value)[:DIGEST_LETTERS]
    return f"{value:.4g}" if isinstance(value, float) else str(value)
