"""Other settings are recommended only where they were measured to be faster."""

from __future__ import annotations

from collections.abc import Callable

from daemon.benchmark.advice import REPEATS, Changes, Trial, choices, is_better, seek
from storage.settings.schema import EngineSettings

PRESENT = Trial({}, [98.0, 100.0, 102.0])
WORTH_A_TRY: dict[str, list[int | str]] = {"threads": [1], "decode_workers": [1, 3]}


def always(n_runs: int) -> bool:
    return True


def never(n_runs: int) -> bool:
    return False


def machine(**factors: float) -> Callable[[Changes], float]:
    """100 clips a second, times the factor of each change, like `threads_1=1.2`."""

    def measure(changes: Changes) -> float:
        rate = 100.0
        for setting, value in changes.items():
            rate *= factors.get(f"{setting}_{value}", 1.0)
        return rate

    return measure


def test_settings_that_are_faster_every_time_are_better() -> None:
    assert is_better(Trial({"threads": 1}, [110.0, 111.0, 112.0]), PRESENT)


def test_less_than_the_spread_of_repeats_is_not_better() -> None:
    assert not is_better(Trial({"threads": 1}, [103.0, 120.0, 140.0]), PRESENT)


def test_one_repeat_below_the_best_present_one_is_too_many() -> None:
    assert not is_better(Trial({"threads": 1}, [101.0, 110.0, 110.0]), PRESENT)


def test_a_gain_of_two_percent_is_not_worth_a_line() -> None:
    steady = Trial({}, [100.0] * REPEATS)
    assert not is_better(Trial({"threads": 1}, [102.0] * REPEATS), steady)


def test_settings_with_which_the_daemon_fails_are_not_better() -> None:
    assert not is_better(Trial({"device": "cpu"}, [150.0, 0.0, 0.0]), PRESENT)


def test_two_runs_prove_nothing() -> None:
    assert not is_better(Trial({"threads": 1}, [150.0, 151.0]), PRESENT)


def test_on_a_machine_where_nothing_helps_nothing_is_recommended() -> None:
    advice = seek(WORTH_A_TRY, 100.0, machine(threads_1=0.9), always)
    assert advice.better is None
    assert len(advice.present.rates) == REPEATS
    assert len(advice.others) == 3


def test_what_helps_is_kept_while_the_next_setting_is_tried() -> None:
    advice = seek(WORTH_A_TRY, 100.0, machine(threads_1=1.2, decode_workers_3=1.1), always)
    assert advice.better is not None
    assert advice.better.changes == {"threads": 1, "decode_workers": 3}
    assert round(advice.gain, 2) == 0.32


def test_one_lucky_run_is_not_enough() -> None:
    rates = iter([150.0, *[100.0] * 20])
    advice = seek({"threads": [1]}, 100.0, lambda _: next(rates), always)
    assert advice.better is None


def test_a_machine_that_slows_down_slows_old_and_new_settings() -> None:
    rates = iter([120.0, 90.0, 120.0, 80.0, 110.0])
    advice = seek({"threads": [1]}, 100.0, lambda _: next(rates), always)
    assert advice.present.rates == [100.0, 90.0, 80.0]
    assert advice.others[0].rates == [120.0, 120.0, 110.0]


def test_without_time_nothing_is_tried_and_that_is_counted() -> None:
    advice = seek(WORTH_A_TRY, 100.0, machine(), never)
    assert (advice.others, advice.untried, advice.present.rates) == ([], 3, [100.0])


def test_present_values_are_not_tried_again() -> None:
    tried = choices(EngineSettings(batch_clips=32), cores=2, devices=["cpu"])
    assert tried == {
        "threads": [1],
        "decode_workers": [1, 3],
        "batch_clips": [16, 64],
        "device": [],
    }


def test_the_processor_is_tried_where_there_is_a_gpu() -> None:
    devices = ["cuda:0", "cuda:1", "cpu"]
    assert choices(EngineSettings(), cores=2, devices=devices)["device"] == ["cpu"]
    assert choices(EngineSettings(device="cuda"), cores=2, devices=devices)["device"] == []
