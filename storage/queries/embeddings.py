"""Embeddings: what the last layer of a network read of each clip, where the ledger keeps it.

Axes: C clips, D dimensions, N answers, L labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from storage.database.bulk import chunks
from storage.database.tables import checkpoint, embedding, prediction
from storage.queries.result import Result

Floats = NDArray[np.float32]

_AT_A_TIME = 200  # those of one recording may be megabytes
_MOST_BYTES = 2**28  # that are read to compare answers
_answer = prediction.c
_COMPARED = (
    select(
        *(_answer.id, _answer.checkpoint_id, checkpoint.c.task, _answer.scores),
        *(func.length(_answer.clip_scores), embedding.c.features),
    )
    .join_from(prediction, embedding, embedding.c.prediction_id == _answer.id)
    .join(checkpoint, checkpoint.c.id == _answer.checkpoint_id)
)


def with_embeddings(connection: Connection, rows: Iterable[Result]) -> Iterator[Result]:
    """The same rows, with what is kept of each."""
    left = iter(rows)
    key = embedding.c.prediction_id
    while some := list(islice(left, _AT_A_TIME)):
        query = select(key, embedding.c.features).where(
            key.in_([row.prediction_id for row in some])
        )
        kept = dict(map(tuple, connection.execute(query)))
        for row in some:
            yield replace(row, packed_embeddings=kept.get(row.prediction_id))


def unpacked(packed: bytes, n_clips: int) -> Floats:
    """As the ledger has it, to (C, D)."""
    return np.frombuffer(packed, "<f2").astype(np.float32).reshape(n_clips, -1)


class FarthestFirst:
    """Chooses answers one by one, each time the one that is least like all that were chosen before.

    An answer stands where it would move the last layer if a person confirmed it: its error times
    its features, of unit length, so that what is sure lies together (Ash and others, "Deep batch
    active learning by diverse, uncertain gradient lower bounds", 2020). What is chosen lies
    farthest from the nearest one of before: the greedy k-centre of Sener and Savarese, "Active
    learning for convolutional neural networks: a core-set approach" (2018).
    """

    def __init__(self, ids: Sequence[int], errors: Floats, features: Floats) -> None:
        """Answers by their ids (N,), errors (N, L), features (N, D)."""
        self._at = {id: at for at, id in enumerate(ids)}
        self._errors = errors
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        self._features = features / np.maximum(lengths, np.finfo(np.float32).tiny)
        self._squares = (errors**2).sum(axis=1)
        self._nearest = np.full(len(ids), np.inf)

    def __contains__(self, id: int) -> bool:
        return id in self._at

    def choose(self, ids: Sequence[int]) -> int:
        """One of these; of equals the first."""
        at = [self._at[id] for id in ids]
        chosen = int(self._nearest[at].argmax())
        np.minimum(self._nearest, self._distances(at[chosen]), out=self._nearest)
        return ids[chosen]

    def _distances(self, at: int) -> Floats:
        """Squares of the distances (N,), without the (N, L x D) that they are of."""
        alike = (self._errors @ self._errors[at]) * (self._features @ self._features[at])
        return self._squares + self._squares[at] - 2 * alike  # type: ignore[no-any-return]


def farthest_first(connection: Connection, predictions: Sequence[int]) -> FarthestFirst | None:
    """Over those of which embeddings are kept, if these are half of them or more.

    All are of one checkpoint: features of two networks cannot be compared.
    """
    found: dict[int, list[tuple[int, Floats, Floats]]] = {}
    for id, checkpoint_id, task, packed, clip_bytes, features in _compared(connection, predictions):
        scores = np.frombuffer(packed, "<f4")
        told = scores >= 0.5 if task == "multi" else np.arange(len(scores)) == scores.argmax()
        mean = unpacked(features, clip_bytes // (2 * len(scores))).mean(axis=0)
        found.setdefault(checkpoint_id, []).append((id, scores - told, mean))
    known = max(found.values(), key=len, default=[])
    if 2 * len(known) < max(1, len(predictions)):
        return None
    ids, errors, means = zip(*known, strict=True)
    return FarthestFirst(ids, np.stack(errors), np.stack(means))


def _compared(connection: Connection, predictions: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    n_bytes = 0
    for some in chunks(predictions):
        query = _COMPARED.where(_answer.id.in_(some)).execution_options(yield_per=_AT_A_TIME)
        for row in connection.execute(query):
            n_bytes += len(row.features)
            if n_bytes > _MOST_BYTES:
                return
            yield tuple(row)
