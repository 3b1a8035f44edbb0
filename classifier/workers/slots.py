"""Slots for what is decoded at the same time: many small ones, and some for long stretches."""

from __future__ import annotations

from collections.abc import Callable

from classifier.audio.decode import Stretch
from classifier.workers.shared_memory import Slab, Slot, make_slab

SMALL_BYTES = 2**20  # 5 s at 48 kHz
LARGE_BYTES = 6 * 2**20  # 30 s at 48 kHz
MOST_SMALL, MOST_LARGE = 1024, 85  # 1.5 GiB of address space; memory is what is touched

SAMPLE_BYTES = 4
WAVES = (b".wav", b".wave", b".aif", b".aiff")
# Of samples in memory, for a byte of a file: 8 bits or more a sample in a wave, more seconds a byte
# where it is compressed. What was expected to be shorter than it is comes through a pipe.
WAVE_GROWTH, OTHER_GROWTH = 2, 16


class Slots:
    """`pin` prepares the small slots, whose addresses stay what they are, for a device."""

    def __init__(self, n_slots: int, pin: Callable[[Slab], None] = lambda _: None) -> None:
        small = make_slab(min(n_slots, MOST_SMALL), SMALL_BYTES)
        large = make_slab(min(n_slots, MOST_LARGE), LARGE_BYTES)
        self.slabs = [slab for slab in (small, large) if slab is not None]
        self._pin = pin

    def pin(self) -> None:
        for slab in self.slabs:
            if slab.slot_bytes == SMALL_BYTES:
                self._pin(slab)

    def take(self, stretch: Stretch) -> Slot | None:
        """The smallest one that is free and that the stretch probably fits into."""
        n_bytes = likely_bytes(stretch)
        found = (slab.take() for slab in self.slabs if n_bytes <= slab.slot_bytes)
        return next(filter(None, found), None)


def likely_bytes(stretch: Stretch) -> int:
    """How much memory the samples of a stretch take, as far as its file's size and name tell."""
    most = (stretch.max_clips - 1) * stretch.hop_samples + stretch.clip_samples
    growth = WAVE_GROWTH if stretch.path.lower().endswith(WAVES) else OTHER_GROWTH
    least = max(SAMPLE_BYTES * stretch.clip_samples, growth * stretch.size_bytes)
    return min(SAMPLE_BYTES * most, least)
