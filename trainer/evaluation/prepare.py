"""Labelled recordings to judge a checkpoint by, as that checkpoint hears them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from classifier.model.audio_format import AudioFormat
from classifier.model.checkpoint import Checkpoint
from classifier.workers.pool import DecodePool
from storage.settings.schema import Settings
from trainer.console import ProgressConsole
from trainer.data.clip_cache import ClipCache
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.examples import Example, LabelSet
from trainer.data.labels import read_labels
from trainer.data.overlaps import contradictions
from trainer.errors import LabelsError, TrainerError


@dataclass(frozen=True)
class EvaluationData:
    """What a labels file gave: the recordings that can be judged, and how many were left out."""

    labels: LabelSet
    dataset: Dataset
    skipped: int


def gather(
    source: Path,
    fold: int | None,
    skip_bad: bool,
    checkpoint: Checkpoint,
    folder: Path,
    settings: Settings,
    device: torch.device,
    narrator: ProgressConsole,
) -> EvaluationData:
    """Reads labels, of one fold or all, and decodes their files; `folder` may take their clips.

    Raises LabelsError naming what is wrong with the labels, what cannot be decoded, the same sound
    under two labels, and labels that the checkpoint does not know; with `skip_bad` such recordings
    are left out and named.
    """
    labels = read_labels(source, settings.intake.suffixes, skip_bad, min_labels=1)
    asked = of_fold(labels, fold)
    unknown = unknown_labels(asked, checkpoint, source)
    refuse(source, unknown, skip_bad)
    examples = [each for each in asked if each.label in checkpoint.labels]
    decoded = decode(examples, checkpoint.audio_format, folder, settings, device, narrator)
    faults = contradictions(decoded.examples, decoded.digests)
    problems = (*decoded.problems, *(fault.line for fault in faults))
    refuse(source, problems, skip_bad)
    contradictory = {at for fault in faults for at in fault.positions}
    dataset = decoded.only([n for n in range(len(decoded.examples)) if n not in contradictory])
    if not dataset.examples:
        raise TrainerError(f"{source}: no recording is left to judge by; correct the labels")
    for line in (*labels.skipped, *unknown, *problems):
        narrator.say(f"left out: {line}")
    n_rows = len(labels.skipped) + len(asked)
    return EvaluationData(labels, dataset, skipped=n_rows - len(dataset.examples))


def of_fold(labels: LabelSet, fold: int | None) -> list[Example]:
    """All examples, or those of one fold. Raises TrainerError where that fold is empty."""
    asked = [each for each in labels.examples if fold is None or each.fold == fold]
    if not asked:
        known = sorted({each.fold for each in labels.examples if each.fold is not None})
        which = f"choose one of: {', '.join(map(str, known))}" if known else "add a fold column"
        raise TrainerError(f"{labels.source}: no example is in fold {fold}; {which}")
    return asked


def unknown_labels(examples: Sequence[Example], checkpoint: Checkpoint, source: Path) -> list[str]:
    """A line for each label that the checkpoint does not know.

    Their recordings would be no mistakes of the network, which was never told that there is such a
    sound. Raises TrainerError where it knows none of the labels.
    """
    strange: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if example.label not in checkpoint.labels:
            strange[example.label].append(example)
    if sum(map(len, strange.values())) == len(examples):
        raise TrainerError(
            f"{source}: {checkpoint.name} knows none of its labels, only "
            f"{', '.join(checkpoint.labels)}; name another --checkpoint, or other labels"
        )
    return [
        f"label {label!r}: unknown to {checkpoint.name} (recordings: {len(found)}, the first: "
        f"{found[0].place})"
        for label, found in sorted(strange.items())
    ]


def refuse(source: Path, problems: Sequence[str], skip_bad: bool) -> None:
    if problems and not skip_bad:
        raise LabelsError(source, problems, of_rows=True)


def decode(
    examples: Sequence[Example],
    audio_format: AudioFormat,
    folder: Path,
    settings: Settings,
    device: torch.device,
    narrator: ProgressConsole,
) -> Dataset:
    """Every example as clips of this format, in a nameless file in `folder` if they are many."""
    engine = settings.engine
    store = ClipCache.within(audio_format.clip_samples, settings.training.memory_gib, folder)
    with (
        DecodePool[int](engine.decode_workers, engine.decode_timeout_seconds) as pool,
        narrator.bar("decoding", len(examples)) as advance,
    ):
        dataset = load_dataset(examples, audio_format, pool, device, advance, store)
    if store.remark:
        narrator.say(store.remark)
    return dataset
