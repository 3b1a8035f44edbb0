"""Compiles a checkpoint's network ahead of time, in a process of its own.

    python -m classifier.inference.compile_worker PARENT CHECKPOINT PRECISION N_CLIPS PACKAGE

Runs beside a daemon that goes on serving, so it takes what nobody else wants of the processor and
ends with the daemon. The package holds machine code for batches of exactly N_CLIPS clips.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from classifier.workers.process import die_with_parent

LOWEST_PRIORITY = 19


def main(parent: str, checkpoint: str, precision: str, n_clips: str, package: str) -> None:
    die_with_parent(int(parent))
    os.nice(LOWEST_PRIORITY)
    os.umask(0o077)  # machine code is loaded from files that only their owner can write
    with tempfile.TemporaryDirectory(dir=Path(package).parent) as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # else a pool of further processes
        made = Path(folder, "network.pt2")
        compile_network(Path(checkpoint), precision, int(n_clips), made)
        made.replace(package)


def compile_network(checkpoint_file: Path, precision: str, n_clips: int, package: Path) -> None:
    import torch
    from torch._inductor import aoti_compile_and_package, config

    from classifier.inference.fused_network import for_serving
    from classifier.inference.predictor import DTYPES
    from classifier.model.checkpoint import read_checkpoint

    torch.set_num_threads(1)
    checkpoint = read_checkpoint(checkpoint_file)
    audio, dtype = checkpoint.audio_format, DTYPES[precision]
    network = for_serving(checkpoint.build().network, dtype)
    example = torch.zeros(n_clips, 1, audio.n_mels, audio.n_frames, dtype=dtype)
    # Frozen, the weights are laid out for the convolutions once, and not at every pass.
    with torch.no_grad(), config.patch(freezing=True):
        program = torch.export.export(network, (example,))
        aoti_compile_and_package(program, package_path=str(package))


if __name__ == "__main__":
    main(*sys.argv[1:])
