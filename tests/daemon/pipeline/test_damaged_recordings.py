"""What becomes of a recording that is not whole: in the ledger, in answers, in training."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from house import House, HouseMaker

from classifier.inference.device import choose_device
from classifier.model.audio_format import AudioFormat
from classifier.workers.pool import DecodePool
from daemon.pipeline.classify_files import classify_paths
from storage.home.paths import Home
from storage.queries.filters import Filters
from storage.queries.results import results
from storage.settings.loading import load_settings
from trainer.data.dataset import load_dataset
from trainer.data.examples import Example

Write = Callable[..., Path]
Noise = Callable[..., np.ndarray]
FORMAT = AudioFormat(8000, 0.5, n_fft=256, hop_length=64, n_mels=16, max_hz=4000.0)


@pytest.fixture
def cut(audio_file: Write, noise: Noise) -> Write:
    """`cut(name, seconds)`: a recording without its last third."""

    def make(name: str = "cut.wav", seconds: float = 90.0) -> Path:
        path = audio_file(name, noise(seconds))
        os.truncate(path, path.stat().st_size * 2 // 3)
        return path

    return make


@pytest.fixture
def lenient(make_house: HouseMaker) -> House:
    return make_house(**{"intake.damaged": "warn"})


FACTS = "SELECT state, error_class, warning, duration_s FROM recording ORDER BY path"


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac", "cut.ogg", "cut.mp3"])
def test_a_recording_that_is_not_whole_fails(house: House, cut: Write, name: str) -> None:
    house.drop(cut(name), name)
    house.live()
    [(state, kind, warning, _)] = house.ask(FACTS)
    assert (state, warning) == ("failed", None)
    assert kind in ("truncated", "damaged")


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac", "cut.ogg", "cut.mp3"])
def test_what_is_left_of_it_is_scored_with_a_warning_where_a_setting_says_so(
    lenient: House, cut: Write, name: str
) -> None:
    lenient.drop(cut(name), name)
    lenient.live()
    [(state, kind, warning, seconds)] = lenient.ask(FACTS)
    assert (state, kind) == ("done", None)
    assert "copy it again" in str(warning)
    assert seconds == pytest.approx(60.0, abs=4)
    [(clip_scores,)] = lenient.ask("SELECT clip_scores FROM prediction")
    n_clips = len(clip_scores) / 3 / 2  # type: ignore[arg-type]
    assert n_clips == pytest.approx(2 * float(str(seconds)), abs=1)


def test_a_whole_recording_has_no_warning(lenient: House, audio_file: Write, noise: Noise) -> None:
    lenient.drop(audio_file("long.flac", noise(90.0)), "long.flac")
    lenient.live()
    assert lenient.ask(FACTS) == [("done", None, None, 90.0)]


@pytest.mark.parametrize("later", [False, True])
def test_a_copy_of_a_damaged_recording_has_its_warning(
    lenient: House, cut: Write, later: bool
) -> None:
    source = cut("cut.flac")
    lenient.drop(source, "a.flac")
    if later:
        lenient.live()
    lenient.drop(source, "b.flac")
    lenient.live()
    (_, _, warning, _), second = lenient.ask(FACTS)
    assert warning is not None
    assert second[:3] == ("done", None, warning)
    assert len(lenient.ask("SELECT id FROM prediction")) == 1


def test_a_recording_that_is_copied_again_as_a_whole_is_answered_anew(
    lenient: House, audio_file: Write, noise: Noise
) -> None:
    whole = audio_file("whole.wav", noise(3.0))
    os.truncate(lenient.drop(whole, "a.wav"), 20_000)
    lenient.live()
    lenient.drop(whole, "a.wav")
    lenient.live()
    found = lenient.ask("SELECT state, warning IS NULL FROM recording ORDER BY id")
    assert found == [("superseded", 0), ("done", 1)]


def test_results_show_the_warning(lenient: House, cut: Write) -> None:
    lenient.drop(cut("cut.wav", 3.0), "cut.wav")
    lenient.live()
    with lenient.ledger.database.transaction() as connection:
        (found,) = results(connection, Filters())
    assert str(found.record(("status", "warning"))["warning"]).startswith("cut short: its header")


@pytest.mark.parametrize(("damaged", "n_failed"), [("fail", 1), ("warn", 0)])
def test_classify_says_what_is_damaged(
    make_house: HouseMaker,
    cut: Write,
    capsys: pytest.CaptureFixture[str],
    damaged: str,
    n_failed: int,
) -> None:
    home: Home = make_house().home
    path = cut("cut.wav", 3.0)
    settings = load_settings(home, {"intake.damaged": damaged}, environ={})
    asked = (home, settings, [path], "active")
    assert classify_paths(*asked, "json", None, show_progress=False) == n_failed
    (found,) = json.load(io.StringIO(capsys.readouterr().out))
    reason = found["error"] if damaged == "fail" else found["warning"]
    assert reason.startswith("cut short: its header promises")
    classify_paths(*asked, "table", None, show_progress=False)
    assert ("error" if damaged == "fail" else "warning") in capsys.readouterr().out


def test_training_leaves_a_damaged_file_out_and_says_which(audio_file: Write, cut: Write) -> None:
    sound, damaged = audio_file(), cut("cut.wav", 3.0)
    copy = shutil.copyfile(damaged, damaged.with_name("selected.wav"))
    examples = [Example(sound, "x"), Example(damaged, "x"), Example(copy, "x", end_seconds=0.5)]
    with DecodePool[int](1, 20.0) as pool:
        dataset = load_dataset(examples, FORMAT, pool, choose_device("cpu"))
    assert [example.path for example in dataset.examples] == [sound]
    assert ["cut short" in problem for problem in dataset.problems] == [True, True]


# Recordings that are whole, and odd


@pytest.fixture
def cancelling(audio_file: Write, noise: Noise) -> Path:
    return audio_file("balanced.wav", np.stack([0.9 * noise(), -noise()], 1))


def test_a_recording_whose_channels_cancel_is_done_with_a_warning(
    house: House, cancelling: Path
) -> None:
    house.drop(cancelling, "balanced.wav")
    house.live()
    [(state, _, warning, _)] = house.ask(FACTS)
    assert (state, "channel 2, which is scored instead" in warning) == ("done", True)


@pytest.mark.parametrize("channel", [1, 2])
def test_serving_and_training_hear_the_channel_of_the_setting(
    make_house: HouseMaker, cancelling: Path, channel: int
) -> None:
    house = make_house(**{"engine.channel": channel})
    house.drop(cancelling, "balanced.wav")
    house.live()
    [(rms_dbfs, warning)] = house.ask("SELECT rms_dbfs, warning FROM recording")
    assert (rms_dbfs, warning) == (pytest.approx({1: -20.9, 2: -20.0}[channel], abs=0.2), None)
    with DecodePool[int](1, 20.0) as pool:
        examples = [Example(cancelling, "x")]
        dataset = load_dataset(examples, FORMAT, pool, choose_device("cpu"), channel=channel)
    samples, _ = soundfile.read(cancelling)
    heard = dataset.audio(torch.arange(2)).numpy().ravel()
    np.testing.assert_allclose(heard, samples[:, channel - 1], atol=1e-4)


def test_what_a_file_says_of_its_recorder_is_in_the_results(
    make_house: HouseMaker, audio_file: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    house = make_house()
    path = audio_file("a.wav")
    note = b"GUANO|Version: 1.0\nModel: D1000X\nLoc Position: 52.1 -0.3"
    content = path.read_bytes()[8:] + b"guan" + len(note).to_bytes(4, "little") + note
    path.write_bytes(b"RIFF" + len(content).to_bytes(4, "little") + content)
    house.drop(path, "a.wav")
    house.live()
    facts = {"latitude": 52.1, "longitude": -0.3, "model": "D1000X"}
    [(stored,)] = house.ask("SELECT recorder FROM recording")
    assert json.loads(stored) == facts
    classify_paths(
        house.home,
        load_settings(house.home, environ={}),
        [path],
        "active",
        "json",
        None,
        show_progress=False,
    )
    (found,) = json.loads(capsys.readouterr().out)
    assert found["recorder"] == facts
