"""What a benchmark measures, and what follows from it by arithmetic.

A stage's cost is the CPU time of the process that runs it, alone and on one core, for one clip.
Costs of that kind can be added: a machine that did nothing but the stages, on all its cores and
without ever waiting, would pass `cores / sum` clips a second. That is the limit, and what the
daemon takes beyond it is work between the stages, or waiting, or other programs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

DECODE, RESAMPLE, LOG_MEL, NETWORK, LEDGER = "decode", "resample", "log-mel", "network", "ledger"
STAGES = (DECODE, RESAMPLE, LOG_MEL, NETWORK, LEDGER)
OF_THE_MODEL = (LOG_MEL, NETWORK)


@dataclass(frozen=True)
class Costs:
    """Milliseconds per clip of each stage alone; `on_gpu` says that those of the model are one's.

    A GPU's are read from a clock, as it has no CPU time.
    """

    stages: Mapping[str, float]
    on_gpu: bool = False

    @property
    def on_cores(self) -> dict[str, float]:
        """The stages that run on the processor."""
        on_gpu = OF_THE_MODEL if self.on_gpu else ()
        return {name: ms for name, ms in self.stages.items() if name not in on_gpu}

    @property
    def core_ms(self) -> float:
        return sum(self.on_cores.values())

    @property
    def gpu_ms(self) -> float:
        return sum(self.stages.values()) - self.core_ms

    def limit(self, cores: int) -> float:
        """Clips a second that the stages allow on so many cores and, beside them, one GPU."""
        return 1000 / max(self.core_ms / cores, self.gpu_ms)


@dataclass(frozen=True)
class Start:
    """Seconds of one start: the first four make up the time to READY=1.

    What comes after it: the first listing of the inbox up to the first row, then the start of the
    workers and the first batch up to the first answer.
    """

    imports: float
    ledger: float
    checkpoint: float
    rest: float
    first_row: float
    first_answer: float

    @property
    def ready(self) -> float:
        return self.imports + self.ledger + self.checkpoint + self.rest


@dataclass(frozen=True)
class Run:
    """One whole daemon over `files` recordings.

    `seconds` lie between the first row and the last answer, by the ledger's own times. The
    daemon and its workers used `cpu_seconds` from READY=1 to their end, and everything else on
    the machine `others_cores` cores meanwhile. Workers begin while the network loads: of the CPU
    time of their start, `started_seconds` had passed by READY=1.
    """

    files: int
    failed: int
    clips: int
    audio_seconds: float
    seconds: float
    cpu_seconds: float
    others_cores: float
    peak_bytes: int
    start: Start
    started_seconds: float = 0.0

    @property
    def files_per_second(self) -> float:
        return self.files / self.seconds

    @property
    def clips_per_second(self) -> float:
        return self.clips / self.seconds

    @property
    def times_real_time(self) -> float:
        return self.audio_seconds / self.seconds


@dataclass(frozen=True)
class Whole:
    """Core-milliseconds of the whole machine that a clip takes, by where they went.

    `starting` is what was left of the start of the workers; a longer run would see less of it.
    `between` is all other CPU time beyond the stages: handing clips over, the loop, and what stages
    cost more beside each other than alone. `others` is what other programs used, and `idle` are
    cores that waited.
    """

    stages: float
    starting: float
    between: float
    others: float
    idle: float

    @property
    def total(self) -> float:
        return self.stages + self.starting + self.between + self.others + self.idle


def whole_of(run: Run, costs: Costs, cores: int, starting_seconds: float = 0.0) -> Whole:
    """The daemon's own time is exact, and what others used is known for a little longer than it.

    So they share what it has left.
    """
    ms_per_clip = 1000 / run.clips
    used = run.cpu_seconds * ms_per_clip
    left = max(0.0, cores * run.seconds * ms_per_clip - used)
    others = min(left, run.others_cores * run.seconds * ms_per_clip)
    beyond = max(0.0, used - costs.core_ms)
    starting = min(beyond, max(0.0, starting_seconds - run.started_seconds) * ms_per_clip)
    return Whole(used - beyond, starting, beyond - starting, others, left - others)


def spread(rates: Sequence[float]) -> float:
    """How far apart repeats lie, as a share of their median; infinite where most failed."""
    middle = median(rates)
    return (max(rates) - min(rates)) / middle if middle else math.inf
