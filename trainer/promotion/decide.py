"""A new network before the gate: the facts that the rule is fed with."""

from __future__ import annotations

from functools import partial

import torch

from classifier.inference.predictor import Scores
from classifier.workers.pool import DecodePool
from storage.home.checkpoint_folder import CheckpointFolder
from trainer.evaluation.assessment import Assessment
from trainer.evaluation.metrics import Truth, score_recordings
from trainer.promotion.compare_active import HeldOut, compare, read_active
from trainer.promotion.rule import Promotion, decide, find_flaw
from trainer.promotion.training_facts import FEW_RECORDINGS, heard_digests
from trainer.training.loop import Trained
from trainer.training.prepare import PreparedData, RunContext


def admit(
    room: RunContext, lessons: PreparedData, trained: Trained, judgement: Assessment | None
) -> Promotion:
    """Whether the new network is to be served; decided before it is written, to be part of it."""
    dataset, request = lessons.dataset, room.request
    scores, truth = scores_and_truth(lessons, trained, judgement)
    engine, shelf = room.settings.engine, CheckpointFolder(room.home.checkpoints)
    active = read_active(shelf)
    compare_with_active = partial(
        compare,
        shelf.path(active.name if active else ""),
        held_out(lessons, judgement),
        dataset,
        lessons.groups,
        partial(DecodePool[int], engine.decode_workers, engine.decode_timeout_seconds),
        room.device,
    )
    return decide(
        request.promote,
        find_flaw(scores, truth, dataset.labels),
        dataset.labels,
        active,
        request.allow_label_change,
        compare_with_active,
    )


def scores_and_truth(
    lessons: PreparedData, trained: Trained, judgement: Assessment | None
) -> tuple[Scores, Truth]:
    """Of the network that is published: on its validation recordings, else on what it heard.

    A few recordings may rightly have one answer.
    """
    enough = len(lessons.split.validation) >= FEW_RECORDINGS
    if judgement is not None and enough and not lessons.rounds:
        return judgement.scores, judgement.statements.truth
    dataset, positions = lessons.dataset, lessons.split.train
    scores = score_recordings(trained.model, dataset, positions, lessons.recipe.batch_size)
    return scores, dataset.truth.cpu().numpy()[list(positions)]


def held_out(lessons: PreparedData, judgement: Assessment | None) -> HeldOut:
    """Recordings that whoever answers for the new network has not heard, nor its ancestors."""
    labels = lessons.dataset.labels
    if judgement is None:
        return HeldOut(labels, (), torch.empty(0, len(labels)).numpy())
    by_folds = bool(lessons.rounds)
    heard = heard_digests(lessons, with_own=not by_folds) if lessons.ancestors_known else None
    return HeldOut(labels, judgement.statements.positions, judgement.scores, heard, by_folds)
