"""Embeddings: with `engine.embeddings` the ledger keeps what the last layer read of each clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from house import House

from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.model.checkpoint import read_checkpoint
from classifier.model.starter import packaged_starter
from storage.commands.context import Invocation
from storage.commands.rescore import rescore
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home

Houses = Callable[..., House]
KEPT = "SELECT path_text, features FROM embedding JOIN recording USING (prediction_id) ORDER BY 1"
ON = {"engine.embeddings": True}


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """On every machine, as the trained network."""
    monkeypatch.setattr("classifier.inference.predictor.has_fast_bfloat16", lambda _: False)


@pytest.fixture
def sound(audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]) -> Path:
    """Three clips."""
    return audio_file("sound.wav", np.concatenate([noise(0.5), noise(1.0) * 1e-2]))


def features_of(checkpoint_file: Path, sound: Path) -> np.ndarray:
    """By the network as it was trained, (C, D)."""
    checkpoint = read_checkpoint(checkpoint_file)
    audio = checkpoint.audio_format
    segment = Segment(str(sound).encode(), audio.sample_rate_hz, *[audio.clip_samples] * 2, 1000)
    decoded = decode(segment)
    assert isinstance(decoded, DecodedAudio)
    model = checkpoint.build().eval()
    with torch.inference_mode():
        clips = torch.from_numpy(np.array(decoded.clips))
        return model.network.features(model.spectrograms(clips)).numpy()  # type: ignore[no-any-return]


def as_kept(features: object, n_clips: int) -> np.ndarray:
    assert isinstance(features, bytes)
    return np.frombuffer(features, "<f2").reshape(n_clips, -1)


def test_what_is_kept_is_what_the_network_reads_of_each_clip(
    make_house: Houses, sound: Path, checkpoint_file: Path
) -> None:
    house = make_house(**ON)
    house.drop(sound, "a.wav")
    house.live()
    ((_, kept),) = house.ask(KEPT)
    wanted = features_of(checkpoint_file, sound)
    np.testing.assert_allclose(as_kept(kept, 3), wanted, rtol=2e-3, atol=1e-3)


def test_real_recordings_under_the_starter_are_kept_with_256_bytes_a_clip(
    make_house: Houses, esc10: Path, tmp_path: Path
) -> None:
    starter = packaged_starter()
    assert starter is not None
    home = Home(tmp_path / "home")
    home.create()
    file = home.checkpoints / f"{starter.name}.safetensors"
    file.write_bytes(starter.data)
    CheckpointFolder(home.checkpoints).activate(starter.name)
    house = make_house(**ON)
    sounds = sorted((esc10 / "audio").glob("*.ogg"))[::80]
    for sound in sounds:
        house.drop(sound, sound.name)
    house.live()
    kept = house.ask(KEPT)
    assert [name for name, _ in kept] == [sound.name for sound in sounds]
    for sound, (_, features) in zip(sounds, kept, strict=True):
        wanted = features_of(file, sound)
        assert wanted.shape[1] * 2 == 256
        np.testing.assert_allclose(as_kept(features, len(wanted)), wanted, rtol=2e-3, atol=1e-3)


def test_without_the_setting_none_are_kept(house: House, sound: Path) -> None:
    house.drop(sound, "a.wav")
    house.live()
    assert house.rows() == [("a.wav", "done")]
    assert house.ask(KEPT) == []


def test_a_copy_shares_those_of_the_first(make_house: Houses, sound: Path) -> None:
    house = make_house(**ON)
    for name in ("a.wav", "b.wav"):
        house.drop(sound, name)
        house.live()
    assert len({features for _, features in house.ask(KEPT)}) == 1
    assert house.ask("SELECT count(*) FROM embedding") == [(1,)]


def test_the_setting_is_taken_over_while_the_daemon_runs(house: House, sound: Path) -> None:
    engine = house.settings.engine.model_copy(update={"embeddings": True})
    house.settings_now = house.settings.model_copy(update={"engine": engine})
    house.reload.request()
    house.live(5)
    house.drop(sound, "a.wav")
    house.live()
    assert [name for name, _ in house.ask(KEPT)] == ["a.wav"]


def test_a_rescore_adds_them_or_takes_them_away(
    make_house: Houses, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house()
    house.drop(sound, "a.wav")
    house.live()
    for is_on, n_kept in ((True, 1), (True, 1), (False, 0)):
        house.close()
        monkeypatch.setenv("CLFD_ENGINE__EMBEDDINGS", str(is_on).lower())
        done = CliRunner().invoke(rescore, [], obj=Invocation(house.home.root))
        assert done.exit_code == 0, done.output
        house = make_house(**{"engine.embeddings": is_on})
        house.live()
        assert len(house.ask(KEPT)) == n_kept
    assert house.ledger.database.problems() == []


def test_a_long_recording_has_a_row_for_each_of_its_clips(
    make_house: Houses, tmp_path: Path, checkpoint_file: Path
) -> None:
    """Segments and batches come back in any order."""
    house = make_house(**ON, **{"engine.batch_clips": 7})
    samples = np.random.default_rng(0).standard_normal(8000 * 70).astype(np.float32)
    samples *= np.repeat(np.geomspace(1e-3, 1e-1, 140), 4000).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", samples, 8000, subtype="FLOAT")
    house.drop(tmp_path / "long.wav", "a.wav")
    house.live(120)
    ((_, kept),) = house.ask(KEPT)
    wanted = features_of(checkpoint_file, tmp_path / "long.wav")
    np.testing.assert_allclose(as_kept(kept, 140), wanted, rtol=2e-3, atol=1e-3)
