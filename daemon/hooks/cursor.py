"""How far a hook has come among the answers of the ledger: over restarts, and over clocks set back.

Answers are read in the order of their stamps. Where the clock is set back, new answers have stamps
before those that were sent already; so the cursor goes back as far as the clock went. What was sent
of that time is sent again then, but nothing is left out.

There is no number that rises with each answer: a copy shares the prediction of another recording,
and an answer that changes keeps its row.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from storage.errors import ConfigurationError, StorageError
from storage.home.atomic_write import write_whole
from storage.home.paths import FILE_MODE
from storage.home.safe_open import read_plain
from storage.queries.results import Cursor
from storage.values.timestamps import stamp

# The two clocks are read one after the other, and time servers stretch one of them by 0.05 %.
DRIFT_SECONDS = 0.1
DRIFT_SHARE = 0.001
MARGIN = timedelta(seconds=1)
MARGIN_OF_A_START = timedelta(seconds=60)  # nobody watched the clock since the daemon ended


@dataclass(eq=False)
class HookCursor:
    """`position` is the last answer that was sent; it is kept in `file` by `save`."""

    file: Path
    newest: Callable[[], Cursor]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Without a file it begins with what comes after the `newest` answer, and is saved at once.

        Where the ledger or the disk does not allow that, it begins with this moment, and is saved
        later. Raises ConfigurationError for a file without a position.
        """
        self._last_reading = (self.now(), self.monotonic())
        found = _read(self.file)
        self._saved: Cursor | None = found
        self.position = found or (stamp(self._last_reading[0]), 0)
        if found is None:
            with suppress(StorageError):
                self.position = self.newest()
            with suppress(StorageError):  # the hook reports it when it saves
                self.save()
        self._go_back_to(self._last_reading[0] - MARGIN_OF_A_START, if_after=self._last_reading[0])

    def until(self) -> str:
        """The stamp before which answers may be read; goes back first if the clock did."""
        now, monotonic = self.now(), self.monotonic()
        last, last_monotonic = self._last_reading
        passed = timedelta(seconds=monotonic - last_monotonic)
        set_back = last + passed - now
        drift = timedelta(seconds=DRIFT_SECONDS) + DRIFT_SHARE * passed
        if set_back > drift:
            earliest = last - set_back - MARGIN
            self._go_back_to(earliest, if_after=earliest)
        self._last_reading = (now, monotonic)
        return stamp(now + MARGIN)

    def save(self) -> None:
        """Raises StorageError where it cannot be written."""
        if self.position != self._saved:
            moment, recording_id = self.position
            text = json.dumps({"moment": moment, "recording": recording_id})
            write_whole(self.file, text.encode(), FILE_MODE)
            self._saved = self.position

    def _go_back_to(self, moment: datetime, if_after: datetime) -> None:
        if self.position[0] > stamp(if_after):
            self.position = (stamp(moment), 0)


def _read(file: Path) -> Cursor | None:
    try:
        saved = json.loads(read_plain(file))
        return str(saved["moment"]), int(saved["recording"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"{file} does not say which result the hook was told last; remove it to go on with"
            " what comes from now on"
        ) from error
