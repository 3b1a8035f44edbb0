"""The promotion of a new network: collects the facts, and applies the rule to them."""

from __future__ import annotations

from functools import partial

import torch

from classifier.inference.pooling import Scores
from classifier.workers.pool import DecodePool
from storage.home.checkpoint_folder import CheckpointFolder
from storage.values.decision import says_nothing
from trainer.evaluation.assessment import Assessment
from trainer.evaluation.metrics import Truth, answer_recordings
from trainer.promotion.compare_active import HeldOut, compare, read_active
from trainer.promotion.rule import Promotion, decide, find_flaw
from trainer.promotion.training_facts import FEW_RECORDINGS, trained_digests
from trainer.training.loop import Trained
from trainer.training.prepare import PreparedData, RunContext


def decide_promotion(
    context: RunContext, data: PreparedData, trained: Trained, assessment: Assessment | None
) -> Promotion:
    """Whether the new network is to be served; decided before the checkpoint, which holds it."""
    dataset, request = data.dataset, context.request
    told_scores, truth = told_and_truth(data, trained, assessment)
    engine, checkpoint_folder = context.settings.engine, CheckpointFolder(context.home.checkpoints)
    active = read_active(checkpoint_folder)
    compare_with_active = partial(
        compare,
        checkpoint_folder.path(active.name if active else ""),
        held_out(data, assessment),
        dataset,
        data.groups,
        partial(DecodePool[int], engine.decode_workers, engine.decode_timeout_seconds),
        context.device,
    )
    # A network of several labels has none for what holds nothing, and knows it all the same.
    is_multi = dataset.task == "multi"
    words = context.settings.training.negative_labels
    nothing = [each for each in active.labels if says_nothing(each, words)] if active else []
    return decide(
        request.promote,
        find_flaw(told_scores, truth, dataset.labels),
        (*dataset.labels, *nothing) if is_multi else dataset.labels,
        active,
        request.allow_label_change,
        compare_with_active,
    )


def told_and_truth(
    data: PreparedData, trained: Trained, assessment: Assessment | None
) -> tuple[Scores, Truth]:
    """Of the network that is published: on its validation recordings, else on those it trained on.

    A few recordings may rightly all have one answer.
    """
    enough = len(data.split.validation) >= FEW_RECORDINGS
    if assessment is not None and enough and not data.folds:
        return assessment.told_scores, assessment.predictions.truth
    dataset, positions = data.dataset, data.split.train
    batch_size = data.recipe.batch_size
    answers = answer_recordings(trained.model, dataset.labels, dataset, positions, batch_size)
    return answers.told_scores, dataset.truth.cpu().numpy()[list(positions)]


def held_out(data: PreparedData, assessment: Assessment | None) -> HeldOut:
    """The recordings that neither the new network nor its ancestors were trained on."""
    labels = data.dataset.labels
    if assessment is None:
        return HeldOut(labels, (), torch.empty(0, len(labels)).numpy())
    by_folds = bool(data.folds)
    trained_on = trained_digests(data, with_own=not by_folds) if data.ancestors_known else None
    return HeldOut(
        labels, assessment.predictions.positions, assessment.told_scores, trained_on, by_folds
    )
