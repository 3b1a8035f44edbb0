"""Decoded clips in memory or, beyond a limit, in a mapped file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.data.clip_cache import ClipCache, available_bytes, map_clips
from trainer.errors import TrainerError

PARTS = [np.arange(n * 10, dtype=np.int16).reshape(n, 10) for n in (3, 1, 4)]


def filled(cache: ClipCache) -> ClipCache:
    for part in PARTS:
        cache.append(part)
    return cache


def test_clips_come_back_in_the_order_of_their_arrival() -> None:
    assert np.array_equal(filled(ClipCache(10)).tensor().numpy(), np.concatenate(PARTS))


def test_beyond_the_limit_they_lie_in_a_file_and_read_the_same(tmp_path: Path) -> None:
    cache = filled(ClipCache(10, limit_bytes=50, folder=tmp_path))
    assert cache.is_mapped
    assert np.array_equal(cache.tensor().numpy(), np.concatenate(PARTS))


def test_within_the_limit_nothing_is_written(tmp_path: Path) -> None:
    assert not filled(ClipCache(10, limit_bytes=160, folder=tmp_path)).is_mapped


def test_the_file_has_no_name_that_could_be_left_behind(tmp_path: Path) -> None:
    filled(ClipCache(10, limit_bytes=0, folder=tmp_path)).tensor()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit_bytes", [50, 160])
def test_shared_clips_can_be_mapped_by_another_process(tmp_path: Path, limit_bytes: int) -> None:
    cache = filled(ClipCache(10, limit_bytes, tmp_path, is_shared=True))
    own = cache.tensor()
    assert cache.is_mapped == (limit_bytes == 50)
    assert cache.file is not None
    with cache.file, open(f"/proc/self/fd/{cache.file.fileno()}", "r+b") as other:
        clips = map_clips(other, (8, 10))
    assert np.array_equal(clips.numpy(), np.concatenate(PARTS))
    own[0, 0] = 7
    assert clips[0, 0] == 7


def test_a_store_without_clips_is_an_empty_tensor(tmp_path: Path) -> None:
    assert ClipCache(10, 0, tmp_path).tensor().shape == (0, 10)


def test_a_folder_that_cannot_take_them_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"no room for 0.0 GB .*missing.* training.memory_gib"):
        filled(ClipCache(10, 0, tmp_path / "missing"))


def test_this_machine_has_memory() -> None:
    assert available_bytes(torch.device("cpu")) > 2**20
