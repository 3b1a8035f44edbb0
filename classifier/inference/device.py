"""Which device the network runs on: never a silent fall-back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from classifier.errors import DeviceBusyError, DeviceError

NO_MEMORY_WORDS = ("out of memory", "allocate memory", "alloc_failed")


def choose_device(wanted: str) -> torch.device:
    """`auto` takes CUDA, else MPS, else the CPU; anything else is taken at its word.

    Raises DeviceError where the device named is not there.
    """
    if wanted == "auto":
        return torch.device(available_devices()[0])
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceError(
            f"device {wanted!r} cannot be used ({first_line(error)}); "
            f"choose 'auto' or one of: {', '.join(available_devices())}"
        ) from error
    return device


def open_device(wanted: str, n_threads: int) -> torch.device:
    """As `choose_device`; work on a CPU is shared by so many threads, 0: as torch finds them."""
    if n_threads:
        torch.set_num_threads(n_threads)
    return choose_device(wanted)


def available_devices() -> list[str]:
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def describe_device(device: torch.device) -> str:
    """`cuda:0 (NVIDIA H100)` or `cpu (2 threads)`: what status and logs say."""
    if device.type == "cuda":
        return f"cuda:{device.index or 0} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return str(device)


def memory_in_use(device: torch.device) -> int | None:
    """Bytes that this process has allocated on a GPU, by the allocator's own books."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else None


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 itself, faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


@contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Lets this thread's work on the CPU be shared by so many; costs less than a microsecond."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def refusing_when_memory_ends(refusal: Exception) -> Iterator[None]:
    """Raises `refusal` in place of the several ways in which torch says that memory ran out."""
    try:
        yield
    except (MemoryError, RuntimeError, DeviceBusyError) as error:
        if not is_out_of_memory(error):
            raise
        raise refusal from error


def is_out_of_memory(error: BaseException) -> bool:
    """Torch has a class for it, but main memory, MPS, cuBLAS and cuFFT say it in words only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError | DeviceBusyError):
        return True
    return any(words in str(error).lower() for words in NO_MEMORY_WORDS)


def first_line(error: BaseException) -> str:
    """The first line of an error of torch, without its details."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else "no reason"
