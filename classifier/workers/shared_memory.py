"""Samples on their way from a decode worker to where they are scored, through memory of all three.

A pickled array is copied five times on its way through a pipe. Here a segment is handed out with a
slot of its own, in which its worker leaves the samples, and the answer says how many there are.
Only while it leaves them a worker may write, and only there. The memory has no name: nothing
stays behind, whoever is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import mmap
import os
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import reduction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from classifier.audio.containers.formats import expansion_of
from classifier.audio.decode import Segment
from classifier.audio.samples import Samples

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

SAMPLE_BYTES = 4
SMALL_BYTES = 2**20  # 5 s at 48 kHz
LARGE_BYTES = 6 * 2**20  # 30 s at 48 kHz
MAX_SMALL, MAX_LARGE = 1024, 256  # 2.5 GiB of address space; memory is what is touched
MAX_PINNED_BYTES = 512 * 2**20
KEPT_BYTES = 2**20  # of a slot that is free again; what a long segment touched beyond is given up

FOR_ALL_CONTEXTS = 1  # cudaHostRegisterPortable
F_ADD_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW = 1033, 1, 2, 4  # fcntl(2)


class SlotBuffer:
    """The side of the daemon: hands out slots of one size, each to one segment at a time.

    They are whole pages. What is not touched of them costs nothing but address space.
    """

    def __init__(self, n_slots: int, slot_bytes: int) -> None:
        """Raises OSError where there is no such memory."""
        self.slot_bytes = slot_bytes
        self.n_bytes = n_slots * slot_bytes
        self.slot_type = ctypes.c_char * slot_bytes
        self.fd = os.memfd_create("clfd-samples", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        weakref.finalize(self, os.close, self.fd)
        os.ftruncate(self.fd, self.n_bytes)
        # A worker that made it shorter would take the daemon along at its next look.
        fcntl.fcntl(self.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
        self.memory = mmap.mmap(self.fd, self.n_bytes)
        self.address = _address_of(self.memory)
        self.free = deque(range(n_slots))

    def take(self) -> Slot | None:
        """A free slot, the one used last if any was: its memory is there, and in the caches."""
        return Slot(self, self.free.popleft()) if self.free else None

    def __reduce__(self) -> tuple[Any, ...]:
        """How a worker gets it, while it is started."""
        return WorkerSlotBuffer, (reduction.DupFd(self.fd), self.n_bytes, self.slot_bytes)


class SlotPlace(NamedTuple):
    """Which slot a worker writes to: the buffer, by the size of its slots, and the slot in it."""

    slot_bytes: int
    number: int


@dataclass(frozen=True)
class Slot:
    """Room for the samples of one segment. A slot that is not given back is lost."""

    buffer: SlotBuffer
    number: int

    @property
    def place(self) -> SlotPlace:
        return SlotPlace(self.buffer.slot_bytes, self.number)

    def view(self, n_samples: int) -> Samples:
        """What was left in it, which becomes free when no array looks at it any more.

        Raises ValueError where so many samples do not fit in.
        """
        buffer = self.buffer
        owner = buffer.slot_type.from_buffer(buffer.memory, self.number * buffer.slot_bytes)
        samples: Samples = np.frombuffer(memoryview(owner), np.float32, n_samples)
        # Views of the samples refer to what owns the memory, not to the first array.
        weakref.finalize(owner, self.give_back, samples.nbytes).atexit = False
        return samples

    def give_back(self, n_bytes: int = 0) -> None:
        """With `n_bytes` left in it. Nobody may be writing to it, or looking at what is in it."""
        buffer = self.buffer
        if n_bytes > KEPT_BYTES:
            begin = self.number * buffer.slot_bytes + KEPT_BYTES
            with contextlib.suppress(OSError):
                buffer.memory.madvise(mmap.MADV_REMOVE, begin, buffer.slot_bytes - KEPT_BYTES)
        buffer.free.appendleft(self.number)


class WorkerSlotBuffer:
    """The side of a worker."""

    def __init__(self, fd: Any, n_bytes: int, slot_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._fd, self.slot_bytes = fd, slot_bytes
        self._address = 0  # where it is mapped

    def open(self) -> None:
        """Maps it so that nothing in this process writes to it by mistake."""
        fd = self._fd.detach()
        with contextlib.suppress(OSError, ValueError):  # the limit on memory may be too low for it
            self._memory = mmap.mmap(fd, self.n_bytes, prot=mmap.PROT_READ)
            self._address = np.frombuffer(self._memory, np.uint8).ctypes.data
        os.close(fd)

    def write(self, number: int, samples: Samples) -> bool:
        """Puts the samples into the slot of this number; whether there was room for them."""
        if not self._address or samples.nbytes > self.slot_bytes:
            return False
        address = self._address + number * self.slot_bytes
        if not _protect(address, samples.nbytes, mmap.PROT_READ | mmap.PROT_WRITE):
            return False
        ctypes.memmove(address, samples.ctypes.data, samples.nbytes)
        return _protect(address, samples.nbytes, mmap.PROT_READ)


class ScorerSlotBuffer:
    """The side of the process that scores, which reads what workers left."""

    def __init__(self, fd: int, n_bytes: int) -> None:
        """Maps it, and closes the file."""
        self.n_bytes = n_bytes
        try:
            self._memory = mmap.mmap(fd, n_bytes)
        finally:
            os.close(fd)
        self.address = _address_of(self._memory)

    def samples(self, first_byte: int, n_samples: int) -> Samples:
        return np.frombuffer(self._memory, np.float32, n_samples, first_byte)

    def pin(self, device: torch.device) -> None:
        """Pins the slots that are used first; if that does not work, they stay as they are.

        Pinned memory is taken whether it is used or not. Copies from memory that is not pinned are
        five times slower, and keep the processor waiting.
        """
        import torch  # not in decode workers: 1.5 s of processor time for each

        runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        with torch.cuda.device(device):  # else on the first GPU, which may be somebody else's
            n_bytes = min(self.n_bytes, MAX_PINNED_BYTES)
            failed = int(runtime.cudaHostRegister(self.address, n_bytes, FOR_ALL_CONTEXTS))
            if failed:
                with contextlib.suppress(RuntimeError):
                    # CUDA keeps an error until it is asked for; torch would meet it at its next
                    # kernel.
                    torch.zeros(1, device=device)
        if failed:
            logger.info("samples are not pinned; copies to the GPU take longer")
            return
        # Before the memory goes: the device would go on reading the pages that were there.
        weakref.finalize(self, runtime.cudaHostUnregister, self.address).atexit = False


def _address_of(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


_mprotect = ctypes.CDLL(None).mprotect
_mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def _protect(address: int, n_bytes: int, how: int) -> bool:
    return bool(_mprotect(address, n_bytes, how) == 0)


class Slots:
    """`share` lets another process read them."""

    def __init__(self, n_slots: int, share: Callable[[SlotBuffer], None] = lambda _: None) -> None:
        self.buffers: list[SlotBuffer] = []
        for max_slots, slot_bytes in ((MAX_SMALL, SMALL_BYTES), (MAX_LARGE, LARGE_BYTES)):
            # Where the system has no such memory, or no room, samples come through the pipe.
            with contextlib.suppress(AttributeError, OSError, ValueError):
                self.buffers.append(SlotBuffer(min(n_slots, max_slots), slot_bytes))
        for buffer in self.buffers:
            share(buffer)

    def take(self, segment: Segment) -> Slot | None:
        """The smallest one that is free and that the segment probably fits into."""
        n_bytes = likely_bytes(segment)
        found = (buffer.take() for buffer in self.buffers if n_bytes <= buffer.slot_bytes)
        return next(filter(None, found), None)


def likely_bytes(segment: Segment) -> int:
    """Memory for the samples of a segment, estimated from its file's size and name.

    What turns out not to fit comes through the pipe.
    """
    max_samples = (segment.max_clips - 1) * segment.hop_samples + segment.clip_samples
    decoded_bytes = expansion_of(segment.path) * segment.size_bytes
    estimate = max(SAMPLE_BYTES * segment.clip_samples, decoded_bytes)
    return min(SAMPLE_BYTES * max_samples, estimate)
