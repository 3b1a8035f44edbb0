from __future__ import annotations

import pytest
import torch

from classifier.model.resnet9 import REFERENCE_WIDTHS, ResNet9, widths_from


def test_the_reference_width_gives_the_reference_widths() -> None:
    assert widths_from(64) == REFERENCE_WIDTHS


def test_the_reference_network_has_the_published_number_of_weights() -> None:
    widths, n_labels = REFERENCE_WIDTHS, 10
    edges = [(1, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 512), *[(512, 512)] * 2]
    expected = sum(9 * a * b + 2 * b for a, b in edges) + (widths[3] + 1) * n_labels
    network = ResNet9(n_labels)
    assert sum(weight.numel() for weight in network.parameters()) == expected


@pytest.mark.parametrize("early_pooling", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (128, 216), (17, 63)])
def test_spectrograms_of_any_size_give_one_logit_per_label(
    size: tuple[int, int], early_pooling: bool
) -> None:
    network = ResNet9(3, widths_from(4), early_pooling).eval()
    assert network(torch.zeros(2, 1, *size)).shape == (2, 3)


def test_the_residual_branch_adds_to_what_passes_unchanged() -> None:
    residual = ResNet9(3, widths_from(4)).eval().stages[2]
    for weight in residual.parameters():
        torch.nn.init.zeros_(weight)
    passed = torch.rand(1, 8, 4, 4)
    torch.testing.assert_close(residual(passed), passed)


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    network = ResNet9(3, widths_from(4)).train()
    network(torch.randn(4, 1, 16, 32)).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in network.parameters())
