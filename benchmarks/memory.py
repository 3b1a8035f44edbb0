"""Peak memory of a process and all below it, by proportional set size: shared pages count once."""

from __future__ import annotations

import subprocess
from pathlib import Path

SAMPLE_SECONDS = 0.25


def peak_tree_mb(process: subprocess.Popen[bytes]) -> float:
    """Waits for the process to end; the largest sum seen over its tree, in MB (10**6 bytes)."""
    peak_kib = 0
    while True:
        peak_kib = max(peak_kib, sum(map(_pss_kib, _tree(process.pid))))
        try:
            process.wait(SAMPLE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return peak_kib * 1024 / 1e6


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:  # grows while it is walked
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, _read(children).split())
    return found


def _pss_kib(pid: int) -> int:
    lines = _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # ended meanwhile
