"""What serving faster costs in accuracy: each path against the whole network in float32.

    ESC10_DIR=... python -m benchmarks.agreement [CHECKPOINT]

Without a checkpoint the starter is served. Where the processor has no bfloat16 of its own it is
emulated: slow, and the same numbers.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from classifier.audio.decode import Segment, decode
from classifier.inference.compiled import CompiledNetworks
from classifier.inference.predictor import Predictor, Scores
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from classifier.model.starter import packaged_starter

CPU = torch.device("cpu")
CLIPS_AT_ONCE = 32


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(arguments[0]) if arguments else starter_in(Path(folder))
        checkpoint = read_checkpoint(file)
        clips = esc10_clips(checkpoint)
        whole = scores_of_whole(checkpoint, clips)
        print(f"{len(clips)} clips, {checkpoint.name}\n")
        print("| path | same label | largest difference of a probability | canary off by |")
        print("|---|---|---|---|")
        for predictor in paths(checkpoint, file, Path(folder)):
            scores = scored(predictor, clips)
            same = (scores.argmax(1) == whole.argmax(1)).mean()
            name = f"{predictor.precision}, {predictor.path}"
            difference, off = np.abs(scores - whole).max(), predictor.canary_error
            print(f"| {name} | {same:.2%} | {difference:.5f} | {off:.5f} |", flush=True)


def paths(checkpoint: Checkpoint, file: Path, folder: Path) -> Iterator[Predictor]:
    networks = CompiledNetworks(folder / "compiled")
    for precision in ("float32", "bfloat16"):
        yield Predictor(checkpoint, CPU, precision)
        predictor = Predictor(checkpoint, CPU, precision)
        assert predictor.order is not None
        process = networks.begin(predictor.order, file)
        if process is not None and process.wait() == 0:
            compiled = networks.load(predictor.order)
            if compiled is not None and predictor.adopt(compiled):
                yield predictor


def starter_in(folder: Path) -> Path:
    starter = packaged_starter()
    assert starter is not None
    file = folder / f"{starter.name}.safetensors"
    file.write_bytes(starter.data)
    return file


def esc10_clips(checkpoint: Checkpoint) -> Scores:
    """The first clip of every recording, (N, S)."""
    audio = checkpoint.audio_format
    files = sorted(Path(os.environ["ESC10_DIR"], "audio").glob("*.ogg"))
    size = audio.clip_samples
    stretches = (Segment(os.fsencode(f), audio.sample_rate_hz, size, size, 1) for f in files)
    return np.concatenate([decode(stretch).clips for stretch in stretches])


def scores_of_whole(checkpoint: Checkpoint, clips: Scores) -> Scores:
    model = checkpoint.build()
    with torch.inference_mode():
        parts = [model.scores(part) for part in torch.split(torch.from_numpy(clips), CLIPS_AT_ONCE)]
    return torch.cat(parts).numpy()


def scored(predictor: Predictor, clips: Scores) -> Scores:
    parts = np.array_split(clips, -(-len(clips) // CLIPS_AT_ONCE))
    return np.concatenate([predictor.score(part) for part in parts])


if __name__ == "__main__":
    main(sys.argv[1:])
