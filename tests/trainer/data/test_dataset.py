"""From labelled files to clips on the device, through the worker processes that serve decodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from classifier.audio.decode import Segment, decode
from classifier.audio.regular_file import fingerprint
from classifier.inference.device import choose_device
from classifier.model.audio_format import AudioFormat
from classifier.workers.pool import DecodePool
from trainer.data import dataset as module
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.examples import Example

AUDIO_FORMAT = AudioFormat(8000, 0.5, n_fft=256, hop_length=64, n_mels=16, max_hz=4000.0)

Load = Callable[..., Dataset]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """`load(*examples)`: the dataset of half-second clips, through one pool for all tests."""
    with DecodePool[int](workers=1, timeout_seconds=20) as pool:
        yield lambda *examples: load_dataset(examples, AUDIO_FORMAT, pool, choose_device("cpu"))


def test_clips_are_those_of_serving(
    load: Load, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    path = audio_file("a.wav", noise(1.3, 16_000), 16_000)
    dataset = load(Example(path, "x"))
    segment = Segment(
        bytes(path), AUDIO_FORMAT.sample_rate_hz, AUDIO_FORMAT.clip_samples, 4000, max_clips=9
    )
    served = decode(segment)
    audio = dataset.audio(dataset.clips_of([0])).numpy()
    assert np.abs(audio - served.clips).max() <= np.abs(served.clips).max() / 60_000
    assert dataset.digests == (served.digest,)


def test_a_long_recording_streams_and_comes_whole(
    load: Load,
    audio_file: Callable[..., Path],
    noise: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = audio_file("long.wav", noise(10.2, 8000))
    whole = load(Example(path, "x"))
    monkeypatch.setattr(module, "SEGMENT_SECONDS", 1.0)
    in_segments = load(Example(path, "x"))
    assert len(whole.samples) == 21
    assert (in_segments.samples == whole.samples).all()


def test_only_the_part_between_start_and_end_is_decoded(
    load: Load, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    path = audio_file("a.wav", noise(3.0, 8000))
    part = load(Example(path, "x", start_seconds=1.0, end_seconds=2.0))
    whole = load(Example(path, "x"))
    assert (part.samples == whole.samples[2:4]).all()


def test_clips_stay_with_their_recording(load: Load, audio_file: Callable[..., Path]) -> None:
    long, short = audio_file("long.wav"), audio_file("short.flac")
    examples = [Example(long, "b"), Example(short, "a", end_seconds=0.4), Example(long, "b")]
    dataset = load(*examples)
    assert dataset.recording.tolist() == [0, 0, 1, 2, 2]
    assert dataset.clip_targets(dataset.clips_of([0, 1])).argmax(1).tolist() == [1, 1, 0]
    assert dataset.labels == ("a", "b")


def test_a_link_that_a_person_names_is_followed(
    load: Load, audio_file: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "link.wav").symlink_to(audio_file("a.wav"))
    assert load(Example(tmp_path / "link.wav", "x")).problems == ()


def test_silence_is_a_clip_too(load: Load, audio_file: Callable[..., Path]) -> None:
    dataset = load(Example(audio_file("a.wav", np.zeros(4000, np.float32)), "x"))
    assert not dataset.audio(dataset.clips_of([0])).any()


def test_what_cannot_be_decoded_is_named_with_its_row(
    load: Load, audio_file: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no audio at all")
    bad = Example(tmp_path / "bad.wav", "x", row=7)
    late = Example(audio_file("a.wav"), "x", start_seconds=5.0, row=8)
    dataset = load(bad, Example(audio_file("b.wav"), "y", row=9), late)
    assert [example.row for example in dataset.examples] == [9]
    assert dataset.problems[0].startswith(f"row 7, column path: {bad.path}: not an audio file")
    assert dataset.problems[1].endswith("the file ends before 5 s; correct its start")


def test_a_file_that_changes_between_segments_is_refused(
    load: Load, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = audio_file("a.wav")
    stale = fingerprint(Path(__file__).stat())
    first = module._first_segment

    def other_version(*arguments) -> Segment:
        return module.replace(first(*arguments), fingerprint=stale)

    monkeypatch.setattr(module, "_first_segment", other_version)
    [problem] = load(Example(path, "x")).problems
    assert problem.endswith("the file changed while it was read; try again when it is at rest")
