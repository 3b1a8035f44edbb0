"""The status as Prometheus's metrics.

Everything here comes from the status that the loop puts together once a second anyway, so nobody
who scrapes makes it do more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from storage.values.timestamps import from_stamp

Status = Mapping[str, object]
Samples = Iterable[tuple[Mapping[str, object], object]]  # labels, and a value or None


class StatusCollector(Collector):
    """All metrics of which the newest status knows a value."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._status: Status = {}

    def publish(self, status: Status) -> None:
        """From the loop: a reference is exchanged, no more."""
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """From other threads; ages are those of now."""
        status = self._status
        figures = status.get("figures")
        figures = figures if isinstance(figures, Mapping) else {}
        oldest_pending_s = _age(status.get("oldest_pending_at"), self._now())
        values = {**status, **figures, "oldest_pending_s": oldest_pending_s}
        yield from filter(lambda family: family.samples, (row.read(values) for row in METRICS))


class MetricRow(NamedTuple):
    """`samples` finds its values in a status; None is left out."""

    name: str
    kind: str  # counter or gauge
    meaning: str
    samples: Callable[[Status], Samples]

    def read(self, status: Status) -> Metric:
        family = Metric(self.name.removesuffix("_total"), self.meaning, self.kind)
        for labels, value in self.samples(status):
            if isinstance(value, int | float):
                family.add_sample(self.name, {k: str(v) for k, v in labels.items()}, value)
        return family


def _age(stamp: object, now: datetime) -> float | None:
    return None if stamp is None else max(0.0, (now - from_stamp(str(stamp))).total_seconds())


def _moment(stamp: object) -> float | None:
    return None if stamp is None else from_stamp(str(stamp)).timestamp()


def _of(key: str) -> Callable[[Status], Samples]:
    return lambda status: [({}, status.get(key))]


def _time_of(key: str) -> Callable[[Status], Samples]:
    return lambda status: [({}, _moment(status.get(key)))]


def _each(key: str, label: str) -> Callable[[Status], Samples]:
    """A sample for each entry of a mapping in the status."""

    def samples(status: Status) -> Samples:
        entries = status.get(key)
        entries = entries if isinstance(entries, Mapping) else {}
        return [({label: name}, value) for name, value in entries.items()]

    return samples


def _states(status: Status) -> Samples:
    states = ("pending", "done", "failed", "superseded")
    return [({"status": state}, status.get(state)) for state in states]


def _about(status: Status) -> Samples:
    keys = ("version", "device", "precision", "network_path")
    return [({key: status.get(key) or "" for key in keys}, 1)]


def _checkpoints(status: Status) -> Samples:
    kinds = {"active": status.get("checkpoint"), "served": status.get("served_checkpoint")}
    return [({"kind": kind, "name": name}, 1) for kind, name in kinds.items() if name]


def _faults(status: Status) -> Samples:
    faults = status.get("faults")
    return [({}, len(faults) if isinstance(faults, list) else None)]


def _hooks(key: str) -> Callable[[Status], Samples]:
    def samples(status: Status) -> Samples:
        hooks = status.get("hooks")
        hooks = hooks if isinstance(hooks, Mapping) else {}
        return [({"hook": name}, counts.get(key)) for name, counts in hooks.items()]

    return samples


METRICS = (
    MetricRow("clfd_info", "gauge", "What runs, and on what; always 1.", _about),
    MetricRow("clfd_checkpoint_info", "gauge", "Active and served checkpoint; 1.", _checkpoints),
    MetricRow("clfd_uptime_seconds", "gauge", "Since the daemon started.", _of("uptime_s")),
    MetricRow(
        "clfd_heartbeat_timestamp_seconds",
        "gauge",
        "When the loop last came round.",
        _time_of("heartbeat_at"),
    ),
    MetricRow("clfd_recordings", "gauge", "Recordings in the ledger by status.", _states),
    MetricRow(
        "clfd_finished_recordings_total",
        "counter",
        "Recordings that left the window since the start.",
        _of("finished"),
    ),
    MetricRow("clfd_clips_total", "counter", "Clips scored since the start.", _of("clips_scored")),
    MetricRow("clfd_clips_per_second", "gauge", "Over the last half minute.", _of("clips_per_s")),
    MetricRow("clfd_in_flight_recordings", "gauge", "Claimed, not answered.", _of("in_flight")),
    MetricRow("clfd_settling_files", "gauge", "Files that have not come to rest.", _of("waiting")),
    MetricRow("clfd_ignored_files", "gauge", "Left out for their names.", _of("ignored")),
    MetricRow(
        "clfd_oldest_pending_seconds",
        "gauge",
        "How long ago the oldest recording that is pending was first seen.",
        _of("oldest_pending_s"),
    ),
    MetricRow(
        "clfd_stage_seconds_total",
        "counter",
        "What the loop spent in its stages since the start.",
        _each("stage_seconds", "stage"),
    ),
    MetricRow("clfd_batches_total", "counter", "Batches since the start.", _of("batches")),
    MetricRow("clfd_last_batch_clips", "gauge", "Size of the last batch.", _of("last_batch_clips")),
    MetricRow(
        "clfd_checkpoint_swaps_total",
        "counter",
        "Checkpoints taken over since the start.",
        _of("checkpoint_swaps"),
    ),
    MetricRow(
        "clfd_checkpoint_refusals_total",
        "counter",
        "Checkpoints refused since the start.",
        _of("checkpoint_refusals"),
    ),
    MetricRow("clfd_faults", "gauge", "Faults that the status lists now.", _faults),
    MetricRow("clfd_paused", "gauge", "Whether the intake is held.", _of("paused")),
    MetricRow(
        "clfd_last_error_timestamp_seconds",
        "gauge",
        "When a recording last failed.",
        _time_of("last_error_at"),
    ),
    MetricRow(
        "clfd_device_memory_bytes",
        "gauge",
        "Allocated on the GPU by this process.",
        _of("device_memory_bytes"),
    ),
    MetricRow(
        "process_resident_memory_bytes",
        "gauge",
        "Of the daemon's process, without its workers.",
        _of("memory_bytes"),
    ),
    MetricRow("clfd_hook_told_total", "counter", "Results told to a hook.", _hooks("told")),
    MetricRow("clfd_hook_given_up_total", "counter", "Results a hook refused.", _hooks("given_up")),
    MetricRow("clfd_hook_failing", "gauge", "Whether a hook fails now.", _hooks("failing")),
)
