from __future__ import annotations

import pytest
import torch

from classifier.errors import DeviceError
from classifier.inference.device import (
    available_devices,
    choose_device,
    describe_device,
    refusing_when_memory_ends,
)


def test_auto_takes_the_first_device_there_is() -> None:
    assert choose_device("auto") == torch.device(available_devices()[0])


def test_the_cpu_is_always_there() -> None:
    assert available_devices()[-1] == "cpu"


@pytest.mark.parametrize("wanted", ["cuda:99", "abacus", "", "meta:x"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(wanted: str) -> None:
    with pytest.raises(DeviceError, match=r"choose 'auto' or one of: .*cpu") as caught:
        choose_device(wanted)
    assert caught.value.exit_code == 78
    assert "\n" not in str(caught.value)


def test_memory_that_ends_is_known_in_each_of_torchs_ways() -> None:
    refusal = DeviceError("too little memory")
    with pytest.raises(DeviceError), refusing_when_memory_ends(refusal):
        torch.empty(2**60)
    with pytest.raises(DeviceError), refusing_when_memory_ends(refusal):
        raise torch.OutOfMemoryError
    for words in ("CUDA error: out of memory", "CUFFT_ALLOC_FAILED", "MPS backend out of memory"):
        with pytest.raises(DeviceError), refusing_when_memory_ends(refusal):
            raise RuntimeError(words)
    with pytest.raises(RuntimeError, match="shape"), refusing_when_memory_ends(refusal):
        torch.ones(2).view(3)


def test_the_cpu_is_described_with_its_threads() -> None:
    assert describe_device(torch.device("cpu")) == f"cpu ({torch.get_num_threads()} threads)"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_described_by_its_name() -> None:
    assert torch.cuda.get_device_name() in describe_device(choose_device("cuda"))
