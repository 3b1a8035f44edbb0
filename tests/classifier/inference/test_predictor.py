from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.errors import CheckpointError
from classifier.inference.batching import stack_clips
from classifier.inference.device import threads
from classifier.inference.pooling import pool_scores
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import parse_checkpoint, read_checkpoint
from classifier.model.starter import packaged_starter

Samples = np.ndarray


@pytest.fixture(scope="module")
def predictor(checkpoint_file: Path) -> Predictor:
    return Predictor(read_checkpoint(checkpoint_file), torch.device("cpu"), "float32")


@pytest.fixture(scope="module")
def clips(noise: Callable[..., Samples]) -> Samples:
    loudness = np.geomspace(1e-3, 5, 8, dtype=np.float32)
    return np.stack([level * noise(0.5, seed=seed) for seed, level in enumerate(loudness)])


def test_scores_are_probabilities_of_the_labels(predictor: Predictor, clips: Samples) -> None:
    scores = predictor.score(clips)
    assert scores.shape == (8, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)


def test_a_batch_of_one_equals_that_row_of_a_batch_of_eight(
    predictor: Predictor, clips: Samples
) -> None:
    one_by_one = np.concatenate([predictor.score(clip[None]) for clip in clips])
    np.testing.assert_allclose(one_by_one, predictor.score(clips), atol=1e-5)


def test_embeddings_are_what_the_last_layer_reads(predictor: Predictor, clips: Samples) -> None:
    """Also of a checkpoint from before novelty."""
    model = predictor.checkpoint.build()
    with torch.inference_mode():
        features = model.network.features(model.spectrograms(torch.from_numpy(clips)))
        again = model.network.head[-1](features).softmax(dim=1).numpy()
    found = predictor.answer(clips, with_embeddings=True)
    assert found.embeddings is not None and found.embeddings.dtype == np.float16
    np.testing.assert_allclose(found.embeddings, features.numpy(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.scores, again, atol=1e-2)


def test_embeddings_change_no_score_and_are_left_out_if_nobody_asks(
    predictor: Predictor, clips: Samples
) -> None:
    without, beside = predictor.answer(clips), predictor.answer(clips, with_embeddings=True)
    assert without.embeddings is None
    np.testing.assert_array_equal(without.scores, beside.scores)


def test_features_beyond_the_range_of_half_a_float_are_its_largest(
    predictor: Predictor, clips: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = torch.full((8, 3 + 32), 1e6)
    monkeypatch.setattr(predictor, "outputs", lambda _: outputs)
    found = predictor.answer(clips, with_embeddings=True).embeddings
    assert found is not None and (found == np.finfo(np.float16).max).all()


def test_different_sounds_get_different_scores(predictor: Predictor, clips: Samples) -> None:
    assert np.ptp(predictor.score(clips), axis=0).max() > 0.01


def test_silence_gets_finite_scores(predictor: Predictor) -> None:
    assert np.isfinite(predictor.score(np.zeros((1, 4000), np.float32))).all()


def test_scoring_leaves_the_clips_and_the_network_as_they_were(
    predictor: Predictor, clips: Samples
) -> None:
    before = clips.copy()
    first = predictor.score(clips)
    np.testing.assert_array_equal(predictor.score(clips), first)
    np.testing.assert_array_equal(clips, before)


def test_training_features_and_serving_features_are_the_same(
    checkpoint_file: Path, predictor: Predictor, clips: Samples
) -> None:
    in_training = read_checkpoint(checkpoint_file).build()
    scores = in_training.scores(torch.from_numpy(clips)).detach().numpy()
    np.testing.assert_allclose(predictor.score(clips), scores, atol=1e-6)


def test_a_few_clips_are_not_shared_among_threads(
    predictor: Predictor, noise: Callable[..., Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, outputs = [], Predictor.outputs

    def noted(self: Predictor, spectrograms: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return outputs(self, spectrograms)

    monkeypatch.setattr(Predictor, "outputs", noted)
    with threads(2):
        shared = Predictor(predictor.checkpoint, predictor.device, predictor.precision)
        assert shared.compile_key is not None
        seen.clear()
        for n_clips in (1, shared.compile_key.n_clips):
            shared.score(np.zeros((n_clips, 4000), np.float32))
        assert torch.get_num_threads() == 2
    assert seen == [1, 2]


def test_bfloat16_gives_the_same_probabilities_to_two_hundredths(
    checkpoint_file: Path, predictor: Predictor, clips: Samples
) -> None:
    narrow = Predictor(read_checkpoint(checkpoint_file), torch.device("cpu"), "bfloat16")
    assert narrow.precision == "bfloat16"
    assert 0 < narrow.canary_error <= 0.02
    np.testing.assert_allclose(narrow.score(clips), predictor.score(clips), atol=0.02)


def test_where_bfloat16_strays_auto_serves_in_float32(
    checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("classifier.inference.predictor.has_fast_bfloat16", lambda _: True)
    checkpoint = read_checkpoint(checkpoint_file)
    shown = Predictor(checkpoint, torch.device("cpu"), "bfloat16").canary_error
    monkeypatch.setattr("classifier.inference.predictor.CANARY_TOLERANCE", shown / 2)
    assert Predictor(checkpoint, torch.device("cpu")).precision == "float32"
    assert "is served in float32" in caplog.text


def test_a_precision_that_was_asked_for_and_strays_is_refused(
    checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.inference.predictor.CANARY_TOLERANCE", 0.0)
    with pytest.raises(CheckpointError, match=r"off by .* in bfloat16"):
        Predictor(read_checkpoint(checkpoint_file), torch.device("cpu"), "bfloat16")


def test_folded_and_narrow_networks_agree_with_the_whole_on_real_recordings(esc10: Path) -> None:
    starter = packaged_starter()
    assert starter is not None
    checkpoint = parse_checkpoint(starter.name, starter.data)
    paths = sorted((esc10 / "audio").iterdir())[::20]
    segments = [Segment(os.fsencode(path), 22_050, 110_250, 110_250, 1) for path in paths]
    clips = np.concatenate([decode(segment).clips for segment in segments])
    with torch.inference_mode():
        whole = checkpoint.build().scores(torch.from_numpy(clips)).numpy()
    for precision, tolerance in (("float32", 1e-4), ("bfloat16", 0.02)):
        scores = Predictor(checkpoint, torch.device("cpu"), precision).score(clips)
        np.testing.assert_allclose(scores, whole, atol=tolerance)
        assert (scores.argmax(1) == whole.argmax(1)).all()


def test_clips_may_lie_anywhere(predictor: Predictor, clips: np.ndarray) -> None:
    scattered = [np.array(clip) for clip in clips]
    np.testing.assert_array_equal(predictor.score(scattered), predictor.score(clips))


@pytest.mark.filterwarnings("error")
def test_clips_of_a_long_segment_are_stacked_without_a_warning() -> None:
    segment = DecodedAudio(np.zeros(24, np.float32), 8, 4, None, "", 0.0, None, 8000, 1)
    assert stack_clips(list(segment.clips), torch.device("meta")).shape == (5, 8)


def test_a_batch_is_stacked_clip_by_clip_where_the_device_has_its_own_memory() -> None:
    clips = [np.arange(8, dtype=np.float32) + n for n in range(3)]
    meta = stack_clips(clips, torch.device("meta"))
    assert (meta.shape, meta.device.type) == ((3, 8), "meta")
    np.testing.assert_array_equal(stack_clips(clips, torch.device("cpu")), clips)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_agrees_with_the_cpu(
    checkpoint_file: Path, predictor: Predictor, clips: Samples
) -> None:
    on_gpu = Predictor(read_checkpoint(checkpoint_file), torch.device("cuda"))
    np.testing.assert_allclose(on_gpu.score(clips), predictor.score(clips), atol=0.02)


CLIP_SCORES = np.array([[0.9, 0.1, 0.0], [0.1, 0.7, 0.2]], np.float32)


def test_a_recordings_scores_are_the_mean_over_its_clips() -> None:
    np.testing.assert_allclose(pool_scores(CLIP_SCORES, "mean"), [0.5, 0.4, 0.1], atol=1e-6)


def test_max_pooling_keeps_the_rare_sound_and_still_sums_to_one() -> None:
    pooled = pool_scores(CLIP_SCORES, "max")
    np.testing.assert_allclose(pooled, np.array([0.9, 0.7, 0.2]) / 1.8, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_the_scores_of_a_single_clip_are_the_recordings(pooling: str) -> None:
    np.testing.assert_allclose(pool_scores(CLIP_SCORES[:1], pooling), CLIP_SCORES[0], atol=1e-6)
