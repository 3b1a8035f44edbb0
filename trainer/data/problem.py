"""Examples that cannot be used together with others, and what a person is told of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One line, and the positions of the examples that have to go because of it."""

    positions: tuple[int, ...]
    line: str
