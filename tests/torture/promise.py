"""The promise as a model: what clfd owes for what was done to an inbox.

Time is counted in seconds in which a daemon was awake. A content that rested under a name for
`rest_seconds` of them is owed one row, for ever; whatever lies there at the end is owed the
current one. What the content is worth is told by decoding and scoring it once, all alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from oracle import is_promised

Worth = str | np.ndarray  # the kind of failure, or the scores


@dataclass(eq=False)
class File:
    """An inode: names share its content."""

    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Promise:
    rest_seconds: float
    now: float = 0.0
    names: dict[bytes, File] = field(default_factory=dict)
    owed: dict[bytes, set[str]] = field(default_factory=lambda: defaultdict(set))
    held: dict[bytes, set[str]] = field(default_factory=lambda: defaultdict(set))
    _since: dict[bytes, float] = field(default_factory=dict)
    _answers: dict[tuple[bytes, str], bytes] = field(default_factory=dict)

    # --- what was done

    def put(self, name: bytes, file: File) -> None:
        """A file stands under this name from now on, whatever stood there before."""
        self.names[name] = file
        self.stir(file)

    def drop(self, name: bytes) -> File:
        self._since.pop(name, None)
        return self.names.pop(name)

    def stir(self, file: File) -> None:
        """Its bytes or its stat facts changed, under all its names."""
        for name, other in self.names.items():
            if other is file:
                self.held[name].add(file.digest)
                self._since[name] = self.now

    def move_folder(self, old: bytes, new: bytes) -> None:
        for name in [name for name in self.names if name.startswith(old + b"/")]:
            self.put(new + name.removeprefix(old), self.drop(name))

    def attend(self, seconds: float) -> None:
        """A daemon was awake for so long and could write."""
        self.now += seconds
        for name, since in self._since.items():
            if self.now - since > self.rest_seconds and is_promised(name):
                self.owed[name].add(self.names[name].digest)

    # --- what is owed

    @property
    def there(self) -> dict[bytes, str]:
        return {name: file.digest for name, file in self.names.items() if is_promised(name)}

    def complaints(
        self,
        rows: Iterable[tuple[bytes, str | None, str, str | None, bytes | None, str | None]],
        worth: Mapping[tuple[str, str], Worth],
        excused: Sequence[str] = (),
    ) -> list[str]:
        """Broken promises among (path, digest, state, error class, scores, checkpoint).

        `worth` is asked by digest and checkpoint; `excused` are failures that faults brought on.
        """
        found: list[str] = []
        for path, digest, state, error, scores, checkpoint in rows:
            if digest is None or state == "pending":
                continue
            if digest not in self.held[path]:
                found.append(f"{path!r}: {state} row of content that never lay there")
            elif scores is None:
                if error not in (*excused, worth[digest, "any"]) and state == "failed":
                    found.append(f"{path!r} failed as {error}, alone: {worth[digest, 'any']}")
            else:
                found += self._compare(path, digest, scores, worth[digest, checkpoint or ""])
        return found

    def belied(self, rows: Iterable[Sequence[object]]) -> list[str]:
        """Files that are said to be gone, and lie there."""
        gone = {row[0] for row in rows if row[2:4] == ("failed", "vanished")}
        return [f"{name!r} is said to be gone" for name in self.there if name in gone]

    def _compare(self, path: bytes, digest: str, scores: bytes, worth: Worth) -> list[str]:
        """An answer is what the content alone gets from that checkpoint, and never changes."""
        if isinstance(worth, str):
            return [f"{path!r} is answered, but alone it fails as {worth}"]
        if not np.allclose(np.frombuffer(scores, "<f4"), worth, atol=1e-3):
            return [f"{path!r}: the scores are not those of its content"]
        if self._answers.setdefault((path, digest), scores) != scores:
            return [f"{path!r}: its answer was changed"]
        return []
