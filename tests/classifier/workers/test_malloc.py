"""Memory that was freed is used again, instead of being asked for anew."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS_OF_A_ROUND = """
import ctypes, resource
from classifier.workers.malloc import keep_freed_memory
if {keeps}:
    assert keep_freed_memory()
libc, size = ctypes.CDLL(None), 20 * 2**20
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
def round_of_three():
    blocks = [libc.malloc(size) for _ in range(3)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in reversed(blocks):
        libc.free(block)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
round_of_three()
before = faults()
round_of_three()
print(faults() - before)
"""


def faults(*, keeps: bool) -> int:
    code = FAULTS_OF_A_ROUND.format(keeps=keeps)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_blocks_are_filled_again_without_asking_the_system() -> None:
    assert faults(keeps=True) < faults(keeps=False) / 10


GIVEN_BACK = """
import ctypes, resource
from pathlib import Path
from classifier.workers.malloc import give_freed_memory_back
libc, size = ctypes.CDLL(None), 100_000
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
blocks = [libc.malloc(size) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, size)
for block in blocks[:-1]:  # the last one holds them all
    libc.free(block)
before = resident()
give_freed_memory_back()
print(before - resident())
"""


def test_freed_memory_behind_a_block_in_use_goes_back_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 90e6
