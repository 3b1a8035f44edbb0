from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from classifier.inference.batching import CALM_PASSES, BatchSizer
from classifier.inference.pooling import pool_scores

CLIPS = np.arange(32, dtype=np.float32)[:, None]
DOUBLED = torch.from_numpy(2 * CLIPS)


class SmallDevice:
    """Doubles clips; has memory for so many of them at once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.portions: list[int] = []

    def double(self, clips: np.ndarray) -> Tensor:
        if len(clips) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.portions.append(len(clips))
        return torch.from_numpy(2 * clips)


def test_a_batch_goes_in_portions_of_the_size_that_suits() -> None:
    device = SmallDevice(room=100)
    torch.testing.assert_close(BatchSizer(10).run(device.double, CLIPS), DOUBLED)
    assert device.portions == [10, 10, 10, 2]


def test_want_of_memory_halves_the_portion_and_loses_no_clip() -> None:
    device = SmallDevice(room=5)
    torch.testing.assert_close(BatchSizer(32).run(device.double, CLIPS), DOUBLED)
    assert device.portions == [4] * 8


def test_what_was_halved_stays_small_for_a_while() -> None:
    device, portions = SmallDevice(room=5), BatchSizer(32)
    portions.run(device.double, CLIPS)
    device.room = 100
    portions.run(device.double, CLIPS)
    assert device.portions == [4] * 16


def test_with_memory_free_again_portions_climb_back() -> None:
    device, portions = SmallDevice(room=5), BatchSizer(32)
    portions.run(device.double, CLIPS)
    device.room = 100
    while portions.at_once < 32:
        assert len(device.portions) < 10 * CALM_PASSES, "never climbed back"
        portions.run(device.double, CLIPS)
    assert portions.run(device.double, CLIPS).shape == CLIPS.shape
    assert device.portions[-1] == 32


def test_portions_never_outgrow_what_suits() -> None:
    device, portions = SmallDevice(room=100), BatchSizer(8)
    for _ in range(2 * CALM_PASSES):
        portions.run(device.double, CLIPS)
    assert set(device.portions) == {8}


def test_one_clip_too_many_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        BatchSizer(32).run(SmallDevice(room=0).double, CLIPS)


def test_another_fault_is_no_reason_to_try_again() -> None:
    calls = []

    def broken(clips: np.ndarray) -> Tensor:
        calls.append(len(clips))
        raise RuntimeError("illegal instruction")

    with pytest.raises(RuntimeError, match="illegal"):
        BatchSizer(32).run(broken, CLIPS)
    assert calls == [32]


def test_maxima_of_a_single_task_are_shares_and_of_several_labels_probabilities() -> None:
    clips = np.array([[0.75, 0.25], [0.25, 0.75]], np.float32)
    assert pool_scores(clips, "max").tolist() == [0.5, 0.5]
    assert pool_scores(clips, "max", "multi").tolist() == [0.75, 0.75]
    assert pool_scores(clips, "mean", "multi").tolist() == [0.5, 0.5]
