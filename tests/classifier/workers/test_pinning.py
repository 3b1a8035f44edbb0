"""A GPU fetches samples from shared memory by itself."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest
import torch

from classifier.inference.batching import stack_clips
from classifier.workers.shared_memory import SMALL_BYTES, ScorerSlotBuffer, SlotBuffer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

DEVICE = torch.device("cuda")


def scorers(buffer: SlotBuffer) -> ScorerSlotBuffer:
    return ScorerSlotBuffer(os.dup(buffer.fd), buffer.n_bytes)


def samples_of(buffer: ScorerSlotBuffer, level: float) -> np.ndarray:
    samples = buffer.samples(0, 1000)
    samples[:] = level
    return samples


def is_pinned(samples: np.ndarray) -> bool:
    return torch.from_numpy(samples).is_pinned()


def test_a_batch_is_what_lies_in_the_slots_pinned_or_not() -> None:
    pinned, plain = (scorers(SlotBuffer(4, SMALL_BYTES)) for _ in range(2))
    pinned.pin(DEVICE)
    clips = [samples_of(buffer, level) for level, buffer in enumerate([pinned, plain], 1)]
    assert [is_pinned(clip) for clip in clips] == [True, False]
    batch = stack_clips(clips, DEVICE)
    np.testing.assert_array_equal(batch.cpu(), clips)


def test_memory_that_is_given_up_is_not_pinned_any_more() -> None:
    """Later memory at the same place would be read from pages that are gone."""
    for level in range(20):
        buffer = scorers(SlotBuffer(2, SMALL_BYTES))
        buffer.pin(DEVICE)
        samples = samples_of(buffer, level)
        assert is_pinned(samples)
        np.testing.assert_array_equal(stack_clips([samples], DEVICE).cpu(), [samples])
        del samples, buffer
        gc.collect()


def test_where_memory_cannot_be_pinned_nothing_breaks() -> None:
    buffer = scorers(SlotBuffer(2, SMALL_BYTES))
    buffer.pin(DEVICE)
    buffer.pin(DEVICE)  # CUDA refuses to pin it twice
    samples = samples_of(buffer, 3.0)
    assert float(stack_clips([samples], DEVICE).sum()) == 3000.0
