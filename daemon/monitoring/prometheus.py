"""The status as Prometheus's metrics.

Everything here comes from the status that the loop puts together once a second anyway, so nobody
who scrapes makes it do more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from daemon.monitoring.status import STATES
from storage.values.timestamps import from_stamp

Status = Mapping[str, Any]
Publish = Callable[[Status], None]  # to who reads metrics
Samples = Iterable[tuple[Mapping[str, object], object]]  # labels, and a value or None
Source = str | Callable[[Status], Samples]


@dataclass(eq=False)
class StatusCollector(Collector):
    """All metrics of which the newest status knows a value."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _status: Status = field(default_factory=dict)

    def publish(self, status: Status) -> None:
        """From the loop: a reference is exchanged, no more."""
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """From other threads; ages are those of now."""
        status = self._status
        values = {**status, **status.get("figures", {})}
        moments = {key: _moment(status.get(key)) for key in ("heartbeat_at", "last_error_at")}
        pending_at = _moment(status.get("oldest_pending_at"))
        if pending_at is not None:
            values["oldest_pending_s"] = max(0.0, self.now().timestamp() - pending_at)
        for key in ("faults", "open_for_writing"):
            if key in status:
                values[key] = len(status[key])
        for name, (meaning, source) in METRICS.items():
            family = _family(name, meaning, source, values | moments)
            if family.samples:
                yield family


def _family(name: str, meaning: str, source: Source, values: Status) -> Metric:
    kind = "counter" if name.endswith("_total") else "gauge"
    family = Metric(name.removesuffix("_total"), meaning, kind)
    samples = [({}, values.get(source))] if isinstance(source, str) else source(values)
    for labels, value in samples:
        if isinstance(value, int | float):
            family.add_sample(name, {key: str(label) for key, label in labels.items()}, value)
    return family


def _moment(stamp: object) -> float | None:
    return None if stamp is None else from_stamp(str(stamp)).timestamp()


def _stages(status: Status) -> Samples:
    return [({"stage": name}, value) for name, value in status.get("stage_seconds", {}).items()]


def _ignored(status: Status) -> Samples:
    return [({"suffix": name}, n) for name, n in status.get("ignored_suffixes", {}).items()]


def _states(status: Status) -> Samples:
    return [({"status": state}, status.get(state)) for state in STATES]


def _info(status: Status) -> Samples:
    keys = ("version", "device", "precision", "network_path")
    return [({key: status.get(key) or "" for key in keys}, 1)]


def _checkpoints(status: Status) -> Samples:
    kinds = {"active": status.get("checkpoint"), "served": status.get("served_checkpoint")}
    return [({"kind": kind, "name": name}, 1) for kind, name in kinds.items() if name]


def _hooks(key: str) -> Callable[[Status], Samples]:
    return lambda status: [
        ({"hook": name}, counts[key]) for name, counts in status.get("hooks", {}).items()
    ]


# By name: what it means, and its key in the status and the figures, or what makes its samples. The
# values of keys that end in `_at` are seconds since 1970 here.
METRICS: dict[str, tuple[str, Source]] = {
    "clfd_info": ("What runs, and on what; always 1.", _info),
    "clfd_checkpoint_info": ("Active and served checkpoint; 1.", _checkpoints),
    "clfd_uptime_seconds": ("Since the daemon started.", "uptime_s"),
    "clfd_heartbeat_timestamp_seconds": ("When the loop last came round.", "heartbeat_at"),
    "clfd_recordings": ("Recordings in the ledger by status.", _states),
    "clfd_finished_recordings_total": ("Recordings that left the window.", "finished"),
    "clfd_clips_total": ("Clips scored since the start.", "clips_scored"),
    "clfd_clips_per_second": ("Over the last half minute.", "clips_per_s"),
    "clfd_in_flight_recordings": ("Claimed, not answered.", "in_flight"),
    "clfd_settling_files": ("Files that have not come to rest.", "waiting"),
    "clfd_open_files": ("Not taken, since somebody writes into them.", "open_for_writing"),
    "clfd_ignored_files": ("Left out for their names.", "ignored"),
    "clfd_ignored_suffix_files": ("Left out for their suffix.", _ignored),
    "clfd_oldest_pending_seconds": ("Since the oldest pending was seen.", "oldest_pending_s"),
    "clfd_stage_seconds_total": ("What the loop spent in its stages, and scoring.", _stages),
    "clfd_batches_total": ("Batches since the start.", "batches"),
    "clfd_last_batch_clips": ("Size of the last batch.", "last_batch_clips"),
    "clfd_checkpoint_swaps_total": ("Checkpoints taken over.", "checkpoint_swaps"),
    "clfd_checkpoint_refusals_total": ("Checkpoints refused.", "checkpoint_refusals"),
    "clfd_scoring_process_deaths_total": ("Begun anew each time.", "scoring_process_deaths"),
    "clfd_faults": ("Faults that the status lists now.", "faults"),
    "clfd_paused": ("Whether the intake is held.", "paused"),
    "clfd_last_error_timestamp_seconds": ("When a recording last failed.", "last_error_at"),
    "clfd_device_memory_bytes": ("Allocated on the GPU by clfd.", "device_memory_bytes"),
    "process_resident_memory_bytes": ("Of the daemon and the process that scores.", "memory_bytes"),
    "clfd_hook_told_total": ("Results told to a hook.", _hooks("told")),
    "clfd_hook_given_up_total": ("Results a hook refused.", _hooks("given_up")),
    "clfd_hook_held_back_total": ("Alerts a cool-down held back.", _hooks("held_back")),
    "clfd_hook_failing": ("Whether a hook fails now.", _hooks("failing")),
}
