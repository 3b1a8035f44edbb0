"""Which settings would be faster: measured, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from daemon.benchmark.figures import spread
from storage.settings.schema import EngineSettings

Changes = dict[str, int | str]
REPEATS = 3  # of the present settings, and of others before they are recommended
RUNS_OF_A_PROOF = 2 * (REPEATS - 1)
LEAST_GAIN = 0.03  # less is not worth a line, whatever the spread


@dataclass
class Trial:
    """Clips a second of repeated runs with some of the engine's settings changed."""

    changes: Changes
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median(self.rates)


@dataclass
class Advice:
    """`present` are the settings as they are; `better` is another trial that beats them."""

    present: Trial
    others: list[Trial]
    better: Trial | None = None
    untried: int = 0

    @property
    def gain(self) -> float:
        return self.better.rate / self.present.rate - 1 if self.better else 0.0


def choices(engine: EngineSettings, cores: int, devices: list[str]) -> dict[str, list[int | str]]:
    """Values worth a try in place of the present ones, by setting."""
    threads = engine.threads or cores
    workers = engine.decode_workers or cores
    batch = engine.batch_clips
    kinds = list(dict.fromkeys(device.partition(":")[0] for device in devices))
    return {
        "threads": [n for n in _distinct(1, cores // 2, cores) if n != threads],
        "decode_workers": [n for n in _distinct(cores // 2, cores, cores * 3 // 2) if n != workers],
        "batch_clips": [n for n in _distinct(batch // 2, batch * 2) if n != batch],
        "device": list(kinds[1:]) if engine.device == "auto" else [],
    }


def is_better(trial: Trial, present: Trial) -> bool:
    """Every repeat beats every repeat of the present ones, and by more than repeats differ."""
    if min(len(trial.rates), len(present.rates)) < REPEATS:
        return False
    noise = max(LEAST_GAIN, spread(trial.rates), spread(present.rates))
    return min(trial.rates) > max(present.rates) and trial.rate / present.rate - 1 > noise


def seek(
    worth_a_try: Mapping[str, list[int | str]],
    present_rate: float,
    measure: Callable[[Changes], float],
    has_time_for: Callable[[int], bool],
) -> Advice:
    """Changes one setting after the other, keeps what seems to help, and then puts it to the proof.

    `measure` runs once and gives clips a second, `present_rate` is that of the settings as they
    are, and `has_time_for` says whether so many further runs may be made. The proof repeats old
    and new settings in turns, as a machine may slow down.
    """
    best = present = Trial({}, [present_rate])
    others, untried = list[Trial](), 0
    for setting, values in worth_a_try.items():
        tried = []
        for changes in (best.changes | {setting: value} for value in values):
            if has_time_for(1 + RUNS_OF_A_PROOF):
                tried.append(Trial(changes, [measure(changes)]))
            else:
                untried += 1
        others += tried
        best = max([best, *(t for t in tried if _is_promising(t, best))], key=lambda t: t.rate)
    for trial in _in_turns(present, best):
        if best is not present or has_time_for(1):
            trial.rates.append(measure(trial.changes))
    return Advice(present, others, best if is_better(best, present) else None, untried)


def toml_lines(changes: Changes) -> list[str]:
    """What is to stand in clfd.toml."""
    lines = (f'{k} = "{v}"' if isinstance(v, str) else f"{k} = {v}" for k, v in changes.items())
    return ["[engine]", *lines]


def _is_promising(trial: Trial, best: Trial) -> bool:
    return trial.rate > best.rate * (1 + LEAST_GAIN)


def _in_turns(present: Trial, best: Trial) -> Iterator[Trial]:
    for _ in range(REPEATS - 1):
        yield from [present] if best is present else [present, best]


def _distinct(*numbers: int) -> list[int]:
    return sorted({max(1, number) for number in numbers})
