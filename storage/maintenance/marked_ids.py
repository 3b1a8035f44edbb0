"""Which rows of a table are meant, at a bit for each: of ten million that is 1.2 MB."""

from __future__ import annotations

from collections.abc import Iterator


class MarkedIds:
    """A set of ids up to `largest`; greater ones, of rows that came later, are never in it."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self._bits = bytearray(largest // 8 + 1)

    def add(self, id: int) -> None:
        if id <= self.largest:
            self._bits[id >> 3] |= 1 << (id & 7)

    def discard(self, id: int) -> None:
        if id <= self.largest:
            self._bits[id >> 3] &= ~(1 << (id & 7))

    def __contains__(self, id: int) -> bool:
        return id <= self.largest and bool(self._bits[id >> 3] & 1 << (id & 7))

    def __len__(self) -> int:
        return int.from_bytes(self._bits).bit_count()

    def __iter__(self) -> Iterator[int]:
        """In ascending order."""
        for place, byte in enumerate(self._bits):
            if byte:
                yield from (place * 8 + bit for bit in range(8) if byte >> bit & 1)

    def __reversed__(self) -> Iterator[int]:
        for place in range(len(self._bits) - 1, -1, -1):
            if byte := self._bits[place]:
                yield from (place * 8 + bit for bit in range(7, -1, -1) if byte >> bit & 1)
