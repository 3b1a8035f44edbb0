"""Memory of ours from which a CUDA device fetches by itself."""

from __future__ import annotations

import contextlib
import logging
import weakref

import torch

from classifier.workers.shared_memory import Slab

logger = logging.getLogger(__name__)

FOR_ALL_CONTEXTS = 1  # cudaHostRegisterPortable


def pin(slab: Slab, device: torch.device) -> None:
    """Pins all of it, which takes as much memory; where that does not work, it stays as it is.

    Copies from memory that is not pinned are five times slower, and keep the processor waiting.
    """
    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    with torch.cuda.device(device):  # else on the first GPU, which may be somebody else's
        failed = int(runtime.cudaHostRegister(slab.address, slab.n_bytes, FOR_ALL_CONTEXTS))
        if failed:
            _clear_error(device)
    if failed:
        logger.info("samples are not pinned; copies to the GPU take longer")
        return
    # Before the memory goes: the device would go on reading the pages that were there.
    weakref.finalize(slab, runtime.cudaHostUnregister, slab.address).atexit = False


def _clear_error(device: torch.device) -> None:
    """CUDA keeps an error until it was asked for: torch would come upon it at its next kernel."""
    with contextlib.suppress(RuntimeError):
        torch.zeros(1, device=device)
