"""Runs of the daemon with other settings, until the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from daemon.benchmark.advice import Changes
from daemon.benchmark.figures import Run
from daemon.errors import DaemonError
from storage.settings.schema import Settings

Say = Callable[[str], None]
RunOnce = Callable[[Sequence[Path], Settings], Run]


class Trials:
    """`end` is a moment of `time.monotonic`; a run counts as long as the longest one so far."""

    def __init__(
        self, run: RunOnce, files: list[Path], settings: Settings, say: Say, end: float
    ) -> None:
        self._run, self._files, self._settings = run, files, settings
        self._say, self._end = say, end
        self._longest_seconds = 0.0

    def rate(self, changes: Changes) -> float:
        """Clips a second; none where the daemon does not work with these settings."""
        told = (f"engine.{setting} = {value}" for setting, value in changes.items())
        self._say(f"trying {', '.join(told) or 'the settings as they are'}")
        began = time.monotonic()
        engine = self._settings.engine.model_copy(update=changes)
        try:
            run = self._run(self._files, self._settings.model_copy(update={"engine": engine}))
        except DaemonError:
            return 0.0
        finally:
            self._longest_seconds = max(self._longest_seconds, time.monotonic() - began)
        return run.clips_per_second

    def has_time_for(self, n_runs: int) -> bool:
        return time.monotonic() + n_runs * self._longest_seconds <= self._end
