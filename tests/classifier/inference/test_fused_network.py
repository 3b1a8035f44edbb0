"""The network as it serves says what the trained one says."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import max_pool2d

from classifier.inference.fused_network import HalvingMaxPool, for_serving
from classifier.model.resnet9 import ResNet9, widths_from


@pytest.mark.parametrize("rows, columns", [(8, 12), (9, 12), (8, 13), (9, 13), (2, 2), (3, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_greatest_of_four_is_what_torch_finds(
    rows: int, columns: int, dtype: torch.dtype
) -> None:
    maps = torch.randn(3, 5, rows, columns, generator=torch.Generator().manual_seed(0)).to(dtype)
    maps = maps.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert torch.equal(HalvingMaxPool()(maps), max_pool2d(maps, 2))


def test_no_number_is_passed_on_as_torch_does() -> None:
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 1, 2, 3] = float("nan")
    pooled = HalvingMaxPool()(maps)
    assert torch.equal(pooled.isnan(), max_pool2d(maps, 2).isnan()) and pooled.isnan().any()


def test_pooled_maps_stay_channels_last_for_the_next_convolution() -> None:
    maps = torch.zeros(2, 16, 10, 14).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert HalvingMaxPool()(maps).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("early_pooling", [True, False])
def test_a_served_network_gives_logits_and_features_of_the_trained_one(early_pooling: bool) -> None:
    torch.manual_seed(0)
    trained = ResNet9(4, widths_from(8), early_pooling).eval()
    spectrograms = torch.randn(3, 1, 65, 43)
    with torch.inference_mode():
        served = for_serving(trained, torch.float32)(spectrograms)
        wanted = torch.cat([trained(spectrograms), trained.features(spectrograms)], dim=1)
        assert torch.allclose(served, wanted, atol=1e-5)
