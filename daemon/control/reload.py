"""Reads settings again while the daemon runs, and applies those that can change.

Between two ticks nothing is half done, so what each tick looks up anew can be exchanged there. The
rest was built into threads, processes, the device or the ledger, and waits for a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.component import Component
from daemon.monitoring.sd_notify import monotonic_stamp, notify
from daemon.pipeline.model_manager import ModelManager
from storage.errors import StorageError
from storage.home.paths import Home
from storage.settings.loading import flat
from storage.settings.named_labels import unknown_labels
from storage.settings.schema import Settings
from storage.values.timestamps import utc_now

logger = logging.getLogger(__name__)

APPLIED = (
    "intake.suffixes",
    "intake.ignore",
    "intake.settle_seconds",
    "intake.scan_seconds",
    "engine.batch_clips",
    "engine.channel",
    "engine.clip_pooling",
    "engine.embeddings",
    "engine.long_clips",
    "engine.max_hours",
    "results.time_zone",
    "results.thresholds",
    "results.unknown_below",
    "results.novel_above",
    "results.site_pattern",
    "log.format",
    "log.level",
    "hooks.labels",
    "hooks.min_confidence",
    "hooks.per",
    "hooks.cooldown",
    "hooks.body",
)
OF_OTHERS = ("training.", "checkpoints.")  # read by other commands, whenever they are called
POLL_SECONDS = 0.5  # between two looks for a request
KEPT_IDS = 200  # of earlier requests, beside those that the last reload answers


@dataclass(eq=False)
class Reload(Component):
    """`read` gives the settings as they are now, or raises StorageError.

    Asked for by a signal, or by a file in the home, whose id comes back in the answer. A reload
    has ended when the checkpoint that is active by then is served, or refused. A later one answers
    for those before it.
    """

    settings: Settings
    read: Callable[[], Settings]
    change_settings: Callable[[Settings], None]
    model: ModelManager
    home: Home

    def __post_init__(self) -> None:
        self._request_ids: list[str] = []
        self._is_requested = self._is_under_way = False
        self._poll_due = 0.0
        self._generation = 0
        self._applied: list[str] = []
        self._restart_to_apply: list[str] = []
        self._answer: Mapping[str, object] | None = None
        self._checked: tuple[Settings, str] | None = None
        self._warnings: list[str] = []

    def status(self) -> Mapping[str, object]:
        """The last answer, the settings that wait for a restart, and those that look wrong."""
        return {
            "reload": self._answer,
            "restart_to_apply": self._restart_to_apply,
            "warnings": self._warnings,
        }

    def request(self) -> None:
        """From a signal handler."""
        self._is_requested = True

    def step(self, now: float) -> None:
        """Between two ticks."""
        self._check_labels()
        if self._is_under_way:
            if self.model.is_preparing:
                return
            self._end()
        if now >= self._poll_due:
            self._poll_due = now + POLL_SECONDS
            self._poll()
        if self._is_requested:
            self._begin()

    def _poll(self) -> None:
        requests: list[Path] = []
        self._request_ids = self._request_ids[-KEPT_IDS:]
        with suppress(OSError):  # a home out of reach is reported where something is written
            requests += self.home.root.glob(self.home.reload_request("*").name)
        for request in requests:
            request_id = request.name.partition("-")[2]
            if request_id not in self._request_ids:  # one that cannot be deleted asks once
                self._request_ids.append(request_id)
                self._is_requested = True
            with suppress(OSError):
                request.unlink()

    def _begin(self) -> None:
        notify("RELOADING=1", monotonic_stamp())
        self._is_requested, self._is_under_way = False, True
        self._applied = []
        try:
            self._apply(self.read())
            self.fault = None
        except StorageError as error:
            self.fault = f"the settings stay as they were: {error}"
            logger.error("%s", self.fault)
        self.model.recheck()

    def _apply(self, loaded: Settings) -> None:
        running = _applied_settings(self.settings, loaded)
        before, now, target = (
            dict(flat(each.model_dump(mode="json"))) for each in (self.settings, running, loaded)
        )
        self._applied = [key for key in APPLIED if before[key] != now[key]]
        self._restart_to_apply = [
            key for key in target if target[key] != now[key] and not key.startswith(OF_OTHERS)
        ]
        if self._applied:
            self.change_settings(running)
        self.settings = running
        self._check_labels()
        logger.info("settings read again; changed: %s", ", ".join(self._applied) or "nothing")
        if self._restart_to_apply:
            logger.warning("restart to apply: %s", ", ".join(self._restart_to_apply))

    def _check_labels(self) -> None:
        """After a start, a reload and a swap of checkpoint."""
        checkpoint = self.model.served.predictor.checkpoint
        if self._checked == (self.settings, checkpoint.name):
            return
        self._checked = (self.settings, checkpoint.name)
        self._warnings = unknown_labels(self.settings, checkpoint.name, checkpoint.labels)
        for warning in self._warnings:
            logger.warning("%s", warning)

    def _end(self) -> None:
        self._is_under_way = False
        self._generation += 1
        self._answer = {
            "generation": self._generation,
            "requests": list(self._request_ids),
            "at": utc_now(),
            "applied": self._applied,
            "error": "; ".join(filter(None, (self.fault, self.model.refusal))) or None,
        }
        notify("READY=1")


def _applied_settings(running: Settings, loaded: Settings) -> Settings:
    """The running settings, with the wanted ones of those that can be applied."""
    for section, _, name in (key.partition(".") for key in APPLIED):
        value = getattr(getattr(loaded, section), name)
        changed = getattr(running, section).model_copy(update={name: value})
        running = running.model_copy(update={section: changed})
    return running
