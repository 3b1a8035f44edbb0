"""ResNet-9 in the reference's layout, for one-channel spectrograms.

Source: the residual network of David C. Page, "How to train your ResNet" (2018), as the reference
uses it: conv, conv+pool, residual, conv+pool, conv+pool, residual, global pooling, linear.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d

REFERENCE_WIDTHS = (64, 128, 256, 512)


def widths_from(first: int) -> tuple[int, int, int, int]:
    """The reference's proportions at another width: 64 gives 64-128-256-512."""
    return first, 2 * first, 4 * first, 8 * first


def conv_block(channels_in: int, channels_out: int, pool: bool = False) -> nn.Sequential:
    """Pooling stands before the ReLU: the greatest of four stays the greatest, and costs less."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        *([nn.MaxPool2d(2)] if pool else []),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two convolutions around which the input also passes unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_block(channels, channels), conv_block(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + x  # type: ignore[no-any-return]


class GlobalPooling(nn.Module):
    """Maps (B, C, M, F) to (B, C, 1, 1): means, or means plus maxima, for sounds that are short."""

    def __init__(self, with_maxima: bool) -> None:
        super().__init__()
        self.with_maxima = with_maxima

    def forward(self, maps: Tensor) -> Tensor:
        means = adaptive_avg_pool2d(maps, 1)
        return means + adaptive_max_pool2d(maps, 1) if self.with_maxima else means


class ResNet9(nn.Module):
    """Spectrograms (B, 1, M, F) to logits (B, L).

    Args:
        n_labels: L.
        widths: channels of the four stages.
        early_pooling: also pool after the first block; a quarter of the arithmetic.
        max_pooling: add each channel's maximum to its mean before the last layer.
    """

    def __init__(
        self,
        n_labels: int,
        widths: Sequence[int] = REFERENCE_WIDTHS,
        early_pooling: bool = False,
        max_pooling: bool = False,
    ) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.stages = nn.Sequential(
            conv_block(1, first, pool=early_pooling),
            conv_block(first, second, pool=True),
            Residual(second),
            conv_block(second, third, pool=True),
            conv_block(third, fourth, pool=True),
            Residual(fourth),
        )
        self.head = nn.Sequential(
            GlobalPooling(max_pooling), nn.Flatten(), nn.Linear(fourth, n_labels)
        )

    def features(self, spectrograms: Tensor) -> Tensor:
        """(B, C): the pooled channels of the last stage, which the last layer reads."""
        return self.head[:-1](self.stages(spectrograms))  # type: ignore[no-any-return]

    def forward(self, spectrograms: Tensor) -> Tensor:
        return self.head[-1](self.features(spectrograms))  # type: ignore[no-any-return]
