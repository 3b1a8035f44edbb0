"""From a labels file to what a network can be trained on: data, split, recipe, and its parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
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
from trainer.console import ProgressConsole
from trainer.data.audio_survey import choose_hearing, survey
from trainer.data.clip_cache import ClipCache
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.examples import Example, LabelSet
from trainer.data.labels import check_problems, read_labels
from trainer.data.overlaps import merged_groups
from trainer.data.splits import Split, SplitChoice, everything, folds, split_examples
from trainer.data.validation import sift, sift_labels
from trainer.data.warnings import remarks
from trainer.errors import SplitError
from trainer.evaluation.train_overlap import acquaintance
from trainer.training.distributed import ALONE, ProcessGroup
from trainer.training.fine_tune import warm_recipe
from trainer.training.recipe import Recipe

SCRATCH = "scratch"


@dataclass(frozen=True)
class TrainRequest:
    """What a person asked for.

    `given` names the fields of the recipe that were asked for, `start` where the weights come from:
    scratch, or a checkpoint by its name on the shelf.
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


@dataclass(frozen=True)
class PreparedData:
    """What there is to learn from.

    `groups` (R,) keep relatives and copies together. `rounds` are the splits of cross-validation by
    the number of the fold; `split` is that of the network which is published. What the parent or
    its ancestors learned from validates nothing; `met` are all such positions, None where the
    parent does not say what it learned from.
    """

    labels: LabelSet
    dataset: Dataset
    groups: Sequence[str]
    recipe: Recipe
    split: Split
    rounds: Mapping[int, Split]
    parent: Checkpoint | None
    left_out: tuple[str, ...]
    met: frozenset[int] | None = frozenset()

    @property
    def ancestors_known(self) -> bool:
        """Whether all that the parent and those before it learned from is known."""
        if self.parent is None:
            return True
        known = self.parent.description.training.get("ancestors_known", True) is True
        return known and self.met is not None

    def gflop_per_clip(self) -> float:
        shape, n_labels = self.recipe.network_shape, len(self.dataset.labels)
        return gflop_per_clip(_audio_format(self.recipe, self.parent), shape, n_labels)


def prepare(
    request: TrainRequest,
    home: Home,
    settings: Settings,
    device: torch.device,
    narrator: ProgressConsole,
    team: ProcessGroup = ALONE,
) -> PreparedData:
    """Reads, decodes, sifts and divides. Raises LabelsError with all problems, or SplitError."""
    parent = _parent(request, CheckpointFolder(home.checkpoints))
    labels = read_labels(request.labels, settings.intake.suffixes, skip_bad=True)
    labels = sift_labels(labels, request.split, request.cross_validate)
    if labels.skipped and not request.skip_bad:
        narrator.say(
            f"{len(labels.skipped)} problems so far; the files are decoded all the same, so that "
            "all are told at once (Ctrl-C stops)"
        )
    choose(request, labels.examples, [example.group for example in labels.examples])
    engine = settings.engine
    with DecodePool[int](engine.decode_workers, engine.decode_timeout_seconds) as pool:
        ears = partial(_recipe, request, parent, labels.examples, pool, narrator)
        recipe = team.agree(ears)
        if parent is None:
            recipe.mel_bank()  # an impossible recipe is refused before anything is decoded
        decode = partial(_decode, labels, recipe, parent, home, settings, pool, team, narrator)
        decoded = team.load(decode).on(device)
    sifted = sift(decoded.examples, decoded.digests, request.split, request.cross_validate)
    dataset = decoded.only(sifted.kept)
    left_out = (*labels.skipped, *decoded.problems, *sifted.problems)
    check_problems(labels.source, dataset.examples, left_out, request.skip_bad)
    for line in left_out:
        narrator.say(f"left out: {line}")
    groups = merged_groups(dataset.examples, dataset.digests)
    split, rounds = choose(request, dataset.examples, groups)
    met = frozenset() if parent is None else acquaintance(parent, dataset, groups).trained
    asked = [split, *rounds.values()]
    gone = set(rounds)
    split, rounds = validated_by_strangers(split, rounds, met)
    n_moved = _n_validating(asked) - _n_validating([split, *rounds.values()])
    lessons = PreparedData(labels, dataset, groups, recipe, split, rounds, parent, left_out, met)
    _tell_of_parent(lessons, n_moved, gone.difference(rounds), narrator)
    for line in remarks(dataset.examples, dataset.digests, [*rounds.values(), split]):
        narrator.say(f"note: {line}")
    return lessons


def choose(
    request: TrainRequest, examples: Sequence[Example], groups: Sequence[str]
) -> tuple[Split, dict[int, Split]]:
    """The split of the published network, and those of the folds by their number.

    Done before decoding as well, where an hour may pass until a wrong --fold would be noticed.
    """
    if request.cross_validate:
        return everything(len(examples)), folds(examples, groups, request.split.seed)
    split = split_examples(examples, groups, request.split)
    if not split.validation and request.split.val_fraction != 0:
        raise SplitError(
            f"{request.labels}: nothing to validate on; give a label two groups or more, "
            "or train without validation by --val-fraction 0"
        )
    return split, {}


def validated_by_strangers(
    split: Split, rounds: Mapping[int, Split], met: frozenset[int] | None
) -> tuple[Split, dict[int, Split]]:
    """The same splits, validated only by what the parent has not met; rounds without such go.

    A network that goes on knows what its parent learned, whatever it learns from itself: so it may
    as well learn from that again.
    """

    def of_strangers(each: Split) -> Split:
        known = set(each.validation).intersection(met or ())
        strangers = tuple(at for at in each.validation if at not in known)
        return replace(each, train=tuple(sorted([*each.train, *known])), validation=strangers)

    left = {fold: of_strangers(each) for fold, each in rounds.items()}
    return of_strangers(split), {fold: each for fold, each in left.items() if each.validation}


def _n_validating(splits: Sequence[Split]) -> int:
    return sum(len(split.validation) for split in splits)


def _tell_of_parent(
    lessons: PreparedData, n_moved: int, folds_gone: Set[int], narrator: ProgressConsole
) -> None:
    """What the parent's past takes away from the validation."""
    if lessons.parent is None:
        return
    name = lessons.parent.name
    if not lessons.ancestors_known:
        narrator.say(
            f"note: {name} does not say all that it was trained on: what validates here may flatter"
        )
    if n_moved:
        narrator.say(
            f"note: {n_moved} recordings train instead of validating, since {name} was trained on "
            "them or on relatives of them"
        )
    if folds_gone:
        narrator.say(
            f"note: fold {', '.join(map(str, sorted(folds_gone)))}: nothing in it that {name} was "
            "not trained on, and so nothing to measure"
        )


def _audio_format(recipe: Recipe, parent: Checkpoint | None) -> AudioFormat:
    return recipe.audio_format if parent is None else parent.audio_format


def _parent(request: TrainRequest, shelf: CheckpointFolder) -> Checkpoint | None:
    if request.start == SCRATCH:
        return None
    return read_checkpoint(shelf.path(shelf.find(request.start)))


def _recipe(
    request: TrainRequest,
    parent: Checkpoint | None,
    examples: Sequence[Example],
    pool: DecodePool[int],
    narrator: ProgressConsole,
) -> Recipe:
    """The recipe in full: with the parent's audio format, else that which the files call for."""
    if parent is not None:
        return warm_recipe(request.recipe, parent, request.given)
    recipe = request.recipe
    if not recipe.fits_the_files:
        return recipe
    rate = recipe.sample_rate_hz if "sample_rate_hz" in request.given else None
    seconds = recipe.clip_seconds if "clip_seconds" in request.given else None
    if rate is not None and seconds is not None:
        return recipe
    hearing = choose_hearing(survey(examples, pool), rate, seconds)
    for line in hearing.lines:
        narrator.say(line)
    return replace(recipe, sample_rate_hz=hearing.sample_rate_hz, clip_seconds=hearing.clip_seconds)


def _decode(
    labels: LabelSet,
    recipe: Recipe,
    parent: Checkpoint | None,
    home: Home,
    settings: Settings,
    pool: DecodePool[int],
    team: ProcessGroup,
    narrator: ProgressConsole,
) -> Dataset:
    audio_format = _audio_format(recipe, parent)
    known_labels = () if parent is None else parent.labels
    memory_gib = settings.training.memory_gib
    store = ClipCache.within(audio_format.clip_samples, memory_gib, home.runs, team.size)
    with narrator.bar("decoding", len(labels.examples)) as advance:
        dataset = load_dataset(
            labels.examples, audio_format, pool, torch.device("cpu"), advance, store, known_labels
        )
    if store.remark:
        narrator.say(store.remark)
    return dataset


@dataclass(frozen=True)
class RunContext:
    """What every step of one call needs: the wish, the place, and who else is there."""

    request: TrainRequest
    home: Home
    settings: Settings
    device: torch.device
    narrator: ProgressConsole
    team: ProcessGroup = ALONE
