"""Labels that settings name: a misspelt one rings no alert, and nobody notices."""

from __future__ import annotations

from collections.abc import Sequence

from storage.settings.schema import Settings
from storage.values.decision import NONE, UNKNOWN, thresholds_of
from storage.values.text import listed, nearest


def unknown_labels(settings: Settings, checkpoint: str, labels: Sequence[str]) -> list[str]:
    """A sentence for each label that a setting names and this checkpoint does not know."""
    thresholds = [label for label, _ in thresholds_of(settings.results.thresholds)]
    # Hooks may ask for what the thresholds leave without a label.
    hooks = [label for label in settings.hooks.labels if label not in (NONE, UNKNOWN)]
    named = {"results.thresholds": thresholds, "hooks.labels": hooks}
    return [
        f"{key} names {label!r}, which checkpoint {checkpoint} does not know{_hint(label, labels)}"
        for key, those in named.items()
        for label in those
        if label not in labels
    ]


def _hint(label: str, labels: Sequence[str]) -> str:
    near = nearest(label, labels)
    return f"; did you mean {near[0]!r}?" if near else f"; it knows {listed(labels)}"
