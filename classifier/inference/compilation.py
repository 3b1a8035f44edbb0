"""Having the served network compiled behind it, once that is sure to pay.

Compiling takes some 20 s of a core, in a process of its own at the lowest priority; what it makes
is kept, so that it is taken at once whenever that checkpoint is served again. Where anything is in
the way, the network goes on layer by layer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
from pathlib import Path

from classifier.inference.compiled import CompiledNetworks, CompileKey
from classifier.inference.device import has_fast_bfloat16
from classifier.inference.predictor import Predictor

logger = logging.getLogger(__name__)

# A compiled pass saves 0.2 ms of a clip at widths 16-128, and 10 ms with the reference's network
# (bfloat16, AVX-512): 20 s of work are earned back after some ten thousand clips.
PAYING_CLIPS = 50_000


class Compilation:
    """`when` is auto, always or never, as `engine.compile` explains.

    `process` is what compiles now, if anything does.
    """

    def __init__(self, networks: CompiledNetworks, when: str) -> None:
        self._networks = networks
        self._when = when
        self._tried: set[CompileKey] = set()
        self.process: subprocess.Popen[bytes] | None = None

    def use_compiled(self, predictor: Predictor) -> None:
        """Lets a predictor run compiled, if it was compiled before and that is faster."""
        key = predictor.compile_key
        if key is None or self._when == "never":
            return
        compiled = self._networks.load(key)
        if compiled is not None and predictor.use_compiled(compiled):
            logger.info("checkpoint %s runs compiled", predictor.checkpoint.name)

    def step(self, predictor: Predictor, checkpoint_file: Path, clips_scored: int) -> None:
        """Takes what has been compiled; begins when `clips_scored` in all make it worth while."""
        if self.process is not None:
            if self.process.poll() is not None:
                self.process = None
                self.use_compiled(predictor)
            return
        key = predictor.compile_key
        if key is None or key in self._tried or predictor.path != "eager":
            return
        pays = clips_scored >= PAYING_CLIPS and has_fast_bfloat16(predictor.device)
        if self._when == "always" or (self._when == "auto" and pays):
            self._tried.add(key)
            self.process = self._networks.begin(key, checkpoint_file)

    def stop(self) -> None:
        """Gives up what is being compiled."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # with its compiler, which it leads
            self.process.wait()
            self.process = None
