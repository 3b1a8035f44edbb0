"""The most confident errors of a network: look at them first, for often a label is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from classifier.model.log_mel import LogMel
from storage.values.text import printable
from trainer.data.dataset import Dataset
from trainer.evaluation.assessment import Assessment

MAX_TOP_ERRORS = 12


@dataclass(frozen=True)
class TopError:
    """A recording with a wrong answer, and the clip with the highest score for that answer.

    In a multi task any label that was found is an answer, and the truth may be several, or none.

    `row` is that of the labels file, where there is one. The clip begins at `start_seconds` in
    the audio file; `decibels` (M, F) is its log-mel spectrogram.
    """

    file: str
    row: int | None
    start_seconds: float
    truth: str
    answer: str
    confidence: float
    decibels: npt.NDArray[np.float32] = field(repr=False)


@torch.inference_mode()
def find_top_errors(
    dataset: Dataset, assessment: Assessment, logmel: LogMel
) -> tuple[TopError, ...]:
    """At most MAX_TOP_ERRORS, the most confident first, of the recordings of `assessment`."""
    told_scores, truth, found = (
        assessment.told_scores,
        assessment.predictions.truth,
        assessment.found,
    )
    if found is None:
        answers = told_scores.argmax(axis=1)
        wrong = np.flatnonzero(answers != truth)
        pairs = np.stack([wrong, answers[wrong]], axis=1)
    else:
        pairs = np.argwhere(found & ~truth)
    confidence = told_scores[pairs[:, 0], pairs[:, 1]]
    most_confident = pairs[np.argsort(-confidence, kind="stable")][:MAX_TOP_ERRORS]
    return tuple(_top_error(dataset, assessment, logmel, *pair) for pair in most_confident.tolist())


def _top_error(
    dataset: Dataset, assessment: Assessment, logmel: LogMel, at: int, answer: int
) -> TopError:
    predictions, labels = assessment.predictions, assessment.evaluation.labels
    position, is_single = predictions.positions[at], assessment.found is None
    clip_logits = predictions.clip_logits.subset(np.arange(len(assessment.told_scores)) == at)
    clip = int(clip_logits.probabilities(1.0)[:, answer].argmax())
    example = dataset.examples[position]
    audio = dataset.audio(dataset.clips_of([position])[[clip]])
    return TopError(
        file=printable(example.file),
        row=example.row,
        start_seconds=example.start_seconds + clip * logmel.audio_format.clip_seconds,
        truth=labels[predictions.truth[at]] if is_single else ";".join(example.strata),
        answer=labels[answer],
        confidence=float(assessment.told_scores[at, answer]),
        decibels=logmel(audio.to(logmel.window.device))[0].cpu().numpy(),
    )
