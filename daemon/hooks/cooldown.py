"""The cool-down of a hook: after an alert, further ones of its label and site are only counted.

Its clock is `classified_at`, when this machine gave the answer. The recorder's clock has no say,
for a card may bring a month at once; nor has the moment of sending: alerts that waited for a target
out of reach are told as they would have been, and after a kill each is decided as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from storage.values.alert import Alert
from storage.values.text import text_digest
from storage.values.timestamps import from_stamp

KEPT = 1000  # labels and sites; of those before, an alert may come too early
KEY_LETTERS = 16  # a site is as long as who writes into an inbox likes, the file is bounded


class Quiet(NamedTuple):
    """Since when a label and site are quiet, and the alerts that were held back since."""

    since: str  # the `classified_at` of the last alert that was sent
    held_back: int


class Cooldown:
    """What an answer changes counts from `commit`, together with the hook's place."""

    def __init__(self, saved: Mapping[str, Iterable[object]] | None = None) -> None:
        """`saved` as `state` gave it. Raises ValueError or TypeError for something else."""
        self._kept = {key: _quiet(*value) for key, value in (saved or {}).items()}
        self._changed: dict[str, Quiet] = {}

    def hold(self, alert: Alert, seconds: float) -> bool:
        """Whether it is held back, and counted."""
        quiet, at = self._of(alert), str(alert.classified_at)
        if quiet is None or not _is_within(quiet.since, at, seconds):
            return False
        self._changed[_key(alert)] = quiet._replace(held_back=quiet.held_back + 1)
        return True

    def held_back(self, alert: Alert) -> int:
        """Alerts of its label and site since the last one that was sent."""
        quiet = self._of(alert)
        return quiet.held_back if quiet else 0

    def begin(self, alert: Alert) -> None:
        """With an alert that was sent."""
        self._changed[_key(alert)] = Quiet(str(alert.classified_at), 0)

    def commit(self) -> None:
        for key, quiet in self._changed.items():
            self._kept.pop(key, None)  # so that the newest come last
            self._kept[key] = quiet
        self._changed.clear()
        for key in [*self._kept][:-KEPT]:
            del self._kept[key]

    def roll_back(self) -> None:
        """The answer has its turn again."""
        self._changed.clear()

    def state(self) -> dict[str, list[object]]:
        return {key: [*quiet] for key, quiet in self._kept.items()}

    def _of(self, alert: Alert) -> Quiet | None:
        key = _key(alert)
        return self._changed.get(key) or self._kept.get(key)


def _is_within(since: str, at: str, seconds: float) -> bool:
    """Not where the clock was set back meanwhile: nobody knows how much time has passed."""
    return 0 <= (from_stamp(at) - from_stamp(since)).total_seconds() < seconds


def _quiet(since: object, held_back: object) -> Quiet:
    from_stamp(str(since))
    return Quiet(str(since), int(str(held_back)))


def _key(alert: Alert) -> str:
    return text_digest(json.dumps((alert.label, alert.site)))[:KEY_LETTERS]
