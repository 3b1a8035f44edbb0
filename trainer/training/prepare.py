"""From a labels file to data that a network can be trained on: clips, split, recipe and parent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from classifier.model.audio_format import AudioFormat
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from classifier.model.flops import gflop_per_clip
from classifier.workers.pool import DecodePool
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.settings.schema import Settings
from storage.trainings.training_progress import ProgressFile
from storage.values.text import listed, visible
from trainer.console import ProgressConsole
from trainer.data.audio_survey import choose_audio_format, survey
from trainer.data.clip_cache import new_cache
from trainer.data.dataset import Dataset, decode_dataset
from trainer.data.examples import Example, LabelSet
from trainer.data.label_checks import validate_examples, validate_labels
from trainer.data.label_warnings import find_warnings, joined_labels
from trainer.data.labels import AUTO, TaskChoice, check_labels, read_labels, refuse_problems
from trainer.data.overlaps import with_shared_labels
from trainer.data.splits import Split, SplitChoice, cross_validation, everything, split_examples
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trainer.distributed.shared_clips import share_clips, without_clips
from trainer.errors import SplitError, first_lines
from trainer.evaluation.train_overlap import find_train_overlap
from trainer.training.fine_tune import EPOCHS_SHARE, fine_tune_recipe
from trainer.training.recipe import Recipe

SCRATCH = "scratch"


@dataclass(frozen=True)
class TrainRequest:
    """What a person asked for.

    `given` names the fields of the recipe that were asked for. `start` says where the weights come
    from: scratch, or the name of a checkpoint. `precision` is wanted of the thresholds; without one
    those of a multi task are for the best F1.
    """

    labels: Path
    recipe: Recipe
    split: SplitChoice = field(default_factory=SplitChoice)
    cross_validate: bool = False
    promote: str = "auto"
    skip_bad: bool = False
    given: Sequence[str] = ()
    start: str = SCRATCH
    resume: bool = False
    allow_label_change: bool = False
    task: str = AUTO
    precision: float | None = None


@dataclass(frozen=True)
class RunContext:
    """What every step of one training run needs: the request, the home and the device."""

    request: TrainRequest
    home: Home
    settings: Settings
    device: torch.device
    console: ProgressConsole
    process_group: ProcessGroup = SINGLE_PROCESS
    progress: ProgressFile | None = None  # of the main process


@dataclass(frozen=True)
class PreparedData:
    """What a network is trained on.

    `groups` (R,) keep relatives and copies together. `folds` are the splits of cross-validation by
    the number of the fold; `split` is that of the network which is published. What the parent or
    its ancestors were trained on validates nothing; `parent_trained` are all such positions, None
    where the parent does not say what it was trained on.
    """

    labels: LabelSet
    dataset: Dataset
    groups: Sequence[str]
    recipe: Recipe
    split: Split
    folds: Mapping[int, Split]
    parent: Checkpoint | None
    left_out: tuple[str, ...]
    parent_trained: frozenset[int] | None = frozenset()
    remarks: tuple[str, ...] = ()  # why the accuracy may flatter

    @property
    def ancestors_known(self) -> bool:
        """Whether everything that the parent and its ancestors were trained on is known."""
        if self.parent is None:
            return True
        known = self.parent.description.training.get("ancestors_known", True) is True
        return known and self.parent_trained is not None

    def gflop_per_clip(self) -> float:
        shape, n_labels = self.recipe.network_shape, len(self.dataset.labels)
        return gflop_per_clip(_audio_format(self.recipe, self.parent), shape, n_labels)


def prepare(context: RunContext) -> PreparedData:
    """Reads labels, decodes, validates and splits, in the main process for all of a group.

    Raises LabelsError with all problems together, SplitError, RecipeError or StorageError.
    """
    process_group, datasets = context.process_group, []

    def prepare_for_others() -> PreparedData:
        data = _prepare(context)
        datasets.append(data.dataset)
        return replace(data, dataset=without_clips(data.dataset))

    if process_group.size == 1:
        data = _prepare(context)
        dataset = data.dataset
    else:
        data = process_group.broadcast(prepare_for_others, slow="data")
        memory_gib = context.settings.training.memory_gib
        cache = partial(new_cache, memory_gib=memory_gib, folder=context.home.runs, is_shared=True)
        dataset = share_clips(process_group, (*datasets, data.dataset)[0], cache)
    return replace(data, dataset=dataset.to_device(context.device))


def _prepare(context: RunContext) -> PreparedData:
    request, console = context.request, context.console
    parent = _parent(request, CheckpointFolder(context.home.checkpoints))
    suffixes, negative = context.settings.intake.suffixes, context.settings.training.negative_labels
    # What goes on with a network of several labels learns several, however few a table has.
    goes_on = request.task == AUTO and parent is not None and parent.description.task == "multi"
    asked = TaskChoice("multi" if goes_on else request.task, negative)
    labels = read_labels(request.labels, suffixes, skip_bad=True, task=asked)
    if labels.source.is_dir():
        console.print_line(labels_line(labels))
    if request.task == AUTO:
        why = f"{parent.name} is" if parent is not None and goes_on else labels.task_reason
        console.print_line(f"task {labels.task}, since {why}")
    joined = joined_labels(label for example in labels.examples for label in example.labels)
    for line in joined:  # before such a label is refused for being rare
        console.print_line(f"note: {line}")
    labels = validate_labels(labels, request.split, request.cross_validate)
    if labels.skipped and not request.skip_bad:
        console.print_line(
            f"{len(labels.skipped)} problems so far; the files are decoded all the same, so that "
            "all are told at once (Ctrl-C stops)"
        )
    # An hour may pass in decoding until a wrong --fold would be noticed.
    choose_split(request, labels.examples, [example.group for example in labels.examples])
    recipe, decoded = _decode(context, labels, parent)
    validated = validate_examples(
        decoded.examples, decoded.digests, request.split, request.cross_validate
    )
    dataset = decoded.subset(validated.kept)
    if labels.task == "multi":
        shared = with_shared_labels(dataset.examples, dataset.digests)
        dataset = replace(dataset, examples=shared)
    left_out = (*labels.skipped, *decoded.problems, *validated.problems)
    refuse_problems(labels.source, left_out, request.skip_bad)
    check_labels(labels.source, dataset.examples, left_out)
    for line in first_lines(left_out):
        console.print_line(f"left out: {line}")
    split, folds = choose_split(request, dataset.examples, validated.groups)
    recipe = _varied(request, recipe, len(dataset.clips_of(split.train)), console)
    data = PreparedData(labels, dataset, validated.groups, recipe, split, folds, parent, left_out)
    if parent is not None:
        if parent.description.task != labels.task:
            console.print_line(
                f"note: {parent.name} has the task {parent.description.task}, and this is "
                f"{labels.task}: its last layer is learned anew, with the labels given here only"
            )
        data = _without_parent_trained(data, parent, console)
    splits = [*data.folds.values(), data.split]
    remarks = find_warnings(dataset.examples, data.groups, splits, negative)
    for line in remarks:
        console.print_line(f"note: {line}")
    return replace(data, remarks=(*joined, *remarks))


def labels_line(labels: LabelSet) -> str:
    """Which folders are taken for labels: a card with a folder for each site looks the same."""
    numbers = Counter(label for example in labels.examples for label in example.strata)
    counts = [f"{label} ({number} files)" for label, number in sorted(numbers.items())]
    return f"each folder in {visible(str(labels.source))} is a label: {listed(counts)}"


def choose_split(
    request: TrainRequest, examples: Sequence[Example], groups: Sequence[str]
) -> tuple[Split, dict[int, Split]]:
    """The split of the published network, and those of the folds by their number.

    Raises SplitError where the examples cannot be split as requested.
    """
    if request.cross_validate:
        return everything(len(examples)), cross_validation(examples, groups, request.split.seed)
    split = split_examples(examples, groups, request.split)
    if not split.validation and request.split.val_fraction != 0:
        raise SplitError(
            f"{request.labels}: nothing to validate on; give a label two groups or more, "
            "or train without validation by --val-fraction 0"
        )
    return split, {}


def without_parent_trained(split: Split, parent_trained: frozenset[int] | None) -> Split:
    """The same split, in which what the parent was trained on trains and does not validate.

    A network that continues knows what its parent learned: it may as well learn from that again.
    """
    known = set(split.validation).intersection(parent_trained or ())
    unknown = tuple(at for at in split.validation if at not in known)
    return replace(split, train=tuple(sorted([*split.train, *known])), validation=unknown)


def _without_parent_trained(
    data: PreparedData, parent: Checkpoint, console: ProgressConsole
) -> PreparedData:
    """The same data by `without_parent_trained`; folds in which nothing is left are dropped."""
    trained = find_train_overlap(parent, data.dataset, data.groups).trained
    split = without_parent_trained(data.split, trained)
    folds = {at: without_parent_trained(each, trained) for at, each in data.folds.items()}
    folds = {at: each for at, each in folds.items() if each.validation}
    found = replace(data, split=split, folds=folds, parent_trained=trained)
    if not found.ancestors_known:
        console.print_line(
            f"note: {parent.name} does not say all that it was trained on: "
            "what validates here may flatter"
        )
    if n_moved := _n_validating(data) - _n_validating(found):
        console.print_line(
            f"note: {n_moved} recordings train instead of validating, since {parent.name} was "
            "trained on them or on relatives of them"
        )
    if dropped := sorted(data.folds.keys() - folds):
        console.print_line(
            f"note: fold {', '.join(map(str, dropped))}: nothing in it that {parent.name} was "
            "not trained on, and so nothing to measure"
        )
    return found


def _n_validating(data: PreparedData) -> int:
    return sum(len(split.validation) for split in (data.split, *data.folds.values()))


def _parent(request: TrainRequest, checkpoint_folder: CheckpointFolder) -> Checkpoint | None:
    if request.start == SCRATCH:
        return None
    return read_checkpoint(checkpoint_folder.path(checkpoint_folder.find(request.start)))


def _decode(
    context: RunContext, labels: LabelSet, parent: Checkpoint | None
) -> tuple[Recipe, Dataset]:
    """The whole recipe, and the clips in its audio format."""
    engine = context.settings.engine
    is_same_task = parent is not None and parent.description.task == labels.task
    with DecodePool[int](engine.decode_workers, engine.decode_timeout_seconds) as pool:
        recipe = _recipe(context.request, parent, labels.examples, pool, context.console)
        if parent is None:
            recipe.mel_bank()  # an impossible recipe is refused before anything is decoded
        dataset = decode_dataset(
            labels.examples,
            _audio_format(recipe, parent),
            pool,
            context.settings.training.memory_gib,
            context.home.runs,
            context.console,
            known_labels=parent.labels if parent and is_same_task else (),
            is_shared=context.process_group.size > 1,
            channel=engine.channel,
        )
        return recipe, dataset


def _audio_format(recipe: Recipe, parent: Checkpoint | None) -> AudioFormat:
    return recipe.audio_format if parent is None else parent.audio_format


def _recipe(
    request: TrainRequest,
    parent: Checkpoint | None,
    examples: Sequence[Example],
    pool: DecodePool[int],
    console: ProgressConsole,
) -> Recipe:
    """The whole recipe: with the parent's audio format, else with the one that fits the files."""
    if parent is not None:
        return fine_tune_recipe(request.recipe, parent, request.given)
    recipe = request.recipe
    if not recipe.fits_the_files:
        return recipe
    rate = recipe.sample_rate_hz if "sample_rate_hz" in request.given else None
    seconds = recipe.clip_seconds if "clip_seconds" in request.given else None
    if rate is not None and seconds is not None:
        return recipe
    chosen = choose_audio_format(survey(examples, pool), rate, seconds)
    for line in chosen.lines:
        console.print_line(line)
    return replace(recipe, sample_rate_hz=chosen.sample_rate_hz, clip_seconds=chosen.clip_seconds)


def _varied(
    request: TrainRequest, recipe: Recipe, n_clips: int, console: ProgressConsole
) -> Recipe:
    """With less variation for a short training, unless a person chose it."""
    if "augmentation" in request.given:
        return recipe
    varied = recipe.for_length(n_clips, 1.0 if request.start == SCRATCH else EPOCHS_SHARE)
    if varied != recipe:
        console.print_line(
            f"clips are varied less, since {recipe.epochs} epochs are few; --vary full does it all"
        )
    return varied
