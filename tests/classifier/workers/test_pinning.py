"""A GPU fetches samples from shared memory by itself."""

from __future__ import annotations

import gc
from functools import partial

import numpy as np
import pytest
import torch

from classifier.inference.batching import stack_clips
from classifier.workers.shared_memory import SMALL_BYTES, SlotBuffer, Slots, pin

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

DEVICE = torch.device("cuda")


def samples_of(buffer: SlotBuffer, level: float) -> np.ndarray:
    slot = buffer.take()
    assert slot is not None
    samples = slot.view(1000)
    samples[:] = level
    return samples


def is_pinned(samples: np.ndarray) -> bool:
    return torch.from_numpy(samples).is_pinned()


def test_small_slots_are_pinned_and_large_ones_are_not() -> None:
    small, large = (slots := Slots(4, partial(pin, device=DEVICE))).buffers
    slots.pin()
    assert small.slot_bytes == SMALL_BYTES
    assert is_pinned(samples_of(small, 1.0))
    assert not is_pinned(samples_of(large, 1.0))


def test_a_batch_is_what_lies_in_the_slots_pinned_or_not() -> None:
    pinned, plain = SlotBuffer(4, SMALL_BYTES), SlotBuffer(4, SMALL_BYTES)
    pin(pinned, DEVICE)
    clips = [samples_of(buffer, level) for level, buffer in enumerate([pinned, plain, pinned], 1)]
    batch = stack_clips(clips, DEVICE)
    np.testing.assert_array_equal(batch.cpu(), clips)


def test_memory_that_is_given_up_is_not_pinned_any_more() -> None:
    """Later memory at the same place would be read from pages that are gone."""
    for level in range(20):
        buffer = SlotBuffer(2, SMALL_BYTES)
        pin(buffer, DEVICE)
        samples = samples_of(buffer, level)
        assert is_pinned(samples)
        np.testing.assert_array_equal(stack_clips([samples], DEVICE).cpu(), [samples])
        del samples, buffer
        gc.collect()


def test_where_memory_cannot_be_pinned_nothing_breaks() -> None:
    buffer = SlotBuffer(2, SMALL_BYTES)
    pin(buffer, DEVICE)
    pin(buffer, DEVICE)  # CUDA refuses to pin it twice
    samples = samples_of(buffer, 3.0)
    assert float(stack_clips([samples], DEVICE).sum()) == 3000.0
