"""What a clip costs: the arithmetic of the network, by which sizes are compared."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from classifier.model.audio_format import AudioFormat
from classifier.model.classifier import NetworkShape, build_network


def gflop_per_clip(audio_format: AudioFormat, shape: NetworkShape, n_labels: int) -> float:
    """Billions of operations for one clip, a multiplication and an addition counting as two.

    The spectrogram is left out: it costs the same for every network.
    """
    with torch.device("meta"):
        network = build_network(shape, n_labels).eval()
        spectrogram = torch.empty(1, 1, audio_format.n_mels, audio_format.n_frames)
    with FlopCounterMode(display=False) as counter:
        network(spectrogram)
    n_operations: int = counter.get_total_flops()
    return n_operations / 1e9
