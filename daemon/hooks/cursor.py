"""How far a hook has come among the answers of the ledger, over restarts and new versions.

Answers are numbered, and a hook keeps the number of the last one that was sent. So no clock has a
say, and an answer that is given anew has its turn again. The cool-down is kept with the place, so
that after a kill both are of the same moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from daemon.hooks.cooldown import Cooldown
from storage.errors import ConfigurationError, StorageError
from storage.home.atomic_write import write_whole
from storage.home.paths import FILE_MODE
from storage.home.safe_open import read_plain
from storage.queries.result import Result
from storage.values.timestamps import stamp

MARGIN_OF_A_START = timedelta(seconds=60)  # nobody watched the clock since the older daemon ended


class Unnumbered(NamedTuple):
    """The last answer that was sent, as versions kept it whose answers have no numbers."""

    moment: str
    recording: int


Place = int | Unnumbered


@dataclass(eq=False)
class HookCursor:
    """`place` is the last answer that was sent; it is kept in `file` by `save`."""

    file: Path
    newest: Callable[[], int]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        """Without a file it begins with what comes after the `newest` answer, and is saved at once.

        Where the ledger or the disk does not allow that, as soon as they do. Raises
        ConfigurationError for a file without a place.
        """
        self.place, self.cooldown = _read(self.file)
        self._saved = self._state()
        with suppress(StorageError):  # the hook reports it when it reads or saves
            self._begin(self.now())

    def read(self, answers: Callable[[Place], list[Result]]) -> list[Result]:
        """What comes behind this place. Raises StorageError."""
        if self.place is None:
            self.place = self.newest()
        found = answers(self.place)
        if not found and isinstance(self.place, Unnumbered):
            self.place = 0  # whatever has a number came after that
            found = answers(self.place)
        return found

    def move_behind(self, answer: Result) -> None:
        number = answer.answer_number
        self.place = Unnumbered(str(answer.classified_at), answer.id) if number is None else number
        self.cooldown.commit()

    def save(self) -> None:
        """Raises StorageError where it cannot be written."""
        state = self._state()
        if state and state != self._saved:
            write_whole(self.file, json.dumps(state).encode(), FILE_MODE)
            self._saved = state

    def _state(self) -> dict[str, object]:
        """As the file has it; nothing where there is no place yet."""
        place, quiet = self.place, self.cooldown.state()
        state: dict[str, object] = {"cooldown": quiet} if quiet else {}
        if isinstance(place, Unnumbered):
            return {**place._asdict(), **state}
        return {} if place is None else {"number": place, **state}

    def _begin(self, now: datetime) -> None:
        if isinstance(self.place, Unnumbered):
            if self.place.moment > stamp(now):  # by a clock that was set back since
                self.place = Unnumbered(stamp(now - MARGIN_OF_A_START), 0)
            return
        newest = self.newest()
        # A ledger that was put back from a backup gives the numbers behind it again.
        self.place = newest if self.place is None else min(self.place, newest)
        self.save()


def _read(file: Path) -> tuple[Place | None, Cooldown]:
    try:
        saved = json.loads(read_plain(file))
        cooldown = Cooldown(saved.get("cooldown"))
        if "number" in saved:
            return int(saved["number"]), cooldown
        return Unnumbered(str(saved["moment"]), int(saved["recording"])), cooldown
    except FileNotFoundError:
        return None, Cooldown()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            f"{file} does not say which result the hook was told last; remove it to go on with"
            " what comes from now on"
        ) from error
