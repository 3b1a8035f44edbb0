"""Recipes that differ from a base in one choice each, by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from classifier.model.resnet9 import widths_from
from trainer.training.augmentation import Augmentation
from trainer.training.recipe import REFERENCE, Recipe

VARIED = Augmentation(
    mixing=0.5, shift=True, gain_decibels=6.0, equalise_decibels=12.0, band_masks=2, time_masks=2
)
BASE = Recipe(
    name="base",
    epochs=75,
    optimizer="adamw",
    learning_rate=5e-3,
    batch_size=16,
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
    augmentation=VARIED,
)


def _varied(**changes: Any) -> Recipe:
    return replace(BASE, augmentation=replace(VARIED, **changes))


VARIANTS = {
    "reference": REFERENCE,
    "base": BASE,
    "no equaliser": _varied(equalise_decibels=0.0),
    "equaliser 6 dB": _varied(equalise_decibels=6.0),
    "equaliser 18 dB": _varied(equalise_decibels=18.0),
    "equaliser 6 dB, speed 1.25": _varied(equalise_decibels=6.0, speed=1.25),
    "no equaliser, speed 1.25": _varied(equalise_decibels=0.0, speed=1.25),
    "no mixing": _varied(mixing=0.0),
    "all mixed": _varied(mixing=1.0),
    "no masks": _varied(band_masks=0, time_masks=0),
    "wide masks": _varied(mask_share=0.25),
    "no shift": _varied(shift=False),
    "mean pooling, equaliser 6 dB": replace(_varied(equalise_decibels=6.0), max_pooling=False),
    "peak decibels": replace(BASE, peak_decibels=True),
    "batch 32": replace(BASE, batch_size=32),
    "decay 0.1": replace(BASE, weight_decay=0.1),
    "rate 0.01": replace(BASE, learning_rate=1e-2),
    "width 8": replace(BASE, widths=widths_from(8)),
    "width 24": replace(BASE, widths=widths_from(24)),
    "width 32": replace(BASE, widths=widths_from(32)),
    "width 45": replace(BASE, widths=widths_from(45)),
    "128 bands": replace(BASE, n_mels=128),
}
