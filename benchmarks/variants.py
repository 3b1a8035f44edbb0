"""Recipes that differ from a base in one choice each, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from classifier.resnet9 import widths_from
from trainer.augmentation import Augmentation
from trainer.recipes import REFERENCE, Recipe

MIXED = Augmentation(
    mixing=0.5, shift=True, speed=1.25, gain_decibels=6.0, band_masks=2, time_masks=2
)
BASE = Recipe(
    name="base",
    epochs=150,
    optimizer="adamw",
    learning_rate=5e-3,
    weight_decay=1e-2,
    schedule="one-cycle",
    averaging=0.98,
    bfloat16=True,
    widths=widths_from(16),
    early_pooling=True,
    n_mels=64,
    peak_decibels=False,
    normalise=True,
    max_pooling=True,
    augmentation=MIXED,
)


def _augmented(**changes: Any) -> Recipe:
    return replace(BASE, augmentation=replace(MIXED, **changes))


VARIANTS = {
    "reference": REFERENCE,
    "base": BASE,
    "all mixed": _augmented(mixing=1.0),
    "no mixing": _augmented(mixing=0.0),
    "no masks": _augmented(band_masks=0, time_masks=0),
    "no speed": _augmented(speed=1.0),
    "no shift": _augmented(shift=False),
    "mean pooling": replace(BASE, max_pooling=False),
    "peak decibels": replace(BASE, peak_decibels=True),
    "batch 16": replace(BASE, batch_size=16),
    "width 8": replace(BASE, widths=widths_from(8)),
    "width 24": replace(BASE, widths=widths_from(24)),
    "width 32": replace(BASE, widths=widths_from(32)),
    "128 bands": replace(BASE, n_mels=128),
    # Screened before mixing half of the clips, not all, became the base.
    "width 24, all mixed": replace(_augmented(mixing=1.0), widths=widths_from(24)),
    "width 24, all mixed, mean pooling": replace(
        _augmented(mixing=1.0), widths=widths_from(24), max_pooling=False
    ),
    "width 24, all mixed, mean pooling, peak decibels": replace(
        _augmented(mixing=1.0), widths=widths_from(24), max_pooling=False, peak_decibels=True
    ),
}
