"""The pipeline to compare with: the plain librosa and PyTorch loop that most people write first.

librosa at 22,050 Hz, 128 bands, decibels below the peak, three equal channels, a ResNet-9 of
64-128-256-512 channels, a DataLoader with two workers. Prints seconds and files a second.

    python -m benchmarks.pipelines.plain_pipeline FILE...
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from classifier.model.resnet9 import ResNet9

RATE_HZ, N_MELS, N_FRAMES, BATCH, WORKERS = 22_050, 128, 300, 64, 2


class Spectrograms(Dataset[Tensor]):
    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        samples, _ = librosa.load(self.paths[index], sr=RATE_HZ)
        mel = librosa.feature.melspectrogram(y=samples, sr=RATE_HZ, n_mels=N_MELS)
        decibels = librosa.power_to_db(mel, ref=np.max)[:, :N_FRAMES]
        padded = np.pad(decibels, ((0, 0), (0, N_FRAMES - decibels.shape[1])))
        return torch.from_numpy(np.stack([padded] * 3).astype(np.float32))


def network() -> nn.Module:
    """The reference ResNet-9 with a first convolution for three channels."""
    model = ResNet9(10)
    model.stages[0][0] = nn.Conv2d(3, 64, 3, padding=1)
    return model.eval()


def main(paths: Sequence[str]) -> None:
    model, began = network(), time.perf_counter()
    with torch.no_grad():
        answers = [
            label
            for batch in DataLoader(Spectrograms(paths), BATCH, num_workers=WORKERS)
            for label in model(batch).argmax(1).tolist()
        ]
    seconds = time.perf_counter() - began
    print(json.dumps({"files": len(answers), "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1:])
