"""One row of the results. Its fields are the table of columns that everything else reads.

SQL, `clfd classify`, CSV, JSON, Parquet, the DataFrame and docs/results.md take names, types and
order from here. Columns are only ever added, at the end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from sqlalchemy import ColumnElement, case, func, null

from storage.database.decision_sql import told_findings
from storage.database.tables import checkpoint, inbox, prediction, recording
from storage.labels.human_labels import human_labels, human_parts
from storage.values.clip_scores import ClipScores, LabelledPart, labels_of, parts_of
from storage.values.decision import SEPARATOR, DisplayRules, candidates_in, own_thresholds
from storage.values.timestamps import as_stamp

Kind = Literal["text", "integer", "float", "moment", "labels"]

_KINDS: dict[str, Kind] = {"str": "text", "int": "integer", "float": "float"}
_row, _answer, _checkpoint, _inbox = recording.c, prediction.c, checkpoint.c, inbox.c


@dataclass(frozen=True)
class Column:
    """A column of the results: its name, the type of its values, what it says."""

    name: str
    kind: Kind
    doc: str
    is_of_clip: bool


def _column(
    sql: ColumnElement[Any] | None,
    doc: str = "",
    kind: Kind | None = None,
    is_of_clip: bool = False,
    history: ColumnElement[Any] | None = None,
) -> Any:
    """`sql` is its expression, `history` another one where every prediction is a row.

    The type is that of the field's annotation, if no other kind is given. What has no text is read
    with a row and is no column of the results.
    """
    metadata = {"sql": sql, "history": history, "doc": doc, "kind": kind, "is_of_clip": is_of_clip}
    return field(default=None, metadata=metadata)


class LabelList(list[dict[str, object]]):
    """Labels with their probabilities; as text, the labels alone."""

    def __str__(self) -> str:
        return SEPARATOR.join(str(one["label"]) for one in self)


def label_list(labels: Iterable[tuple[str, float]]) -> LabelList:
    return LabelList({"label": label, "probability": round(p, 6)} for label, p in labels)


@dataclass(frozen=True, slots=True)
class Result:
    """One answer of one recording, or one clip of it, as it is shown."""

    id: int = _column(_row.id)
    path: str = _column(
        _row.path_text, r"Relative to its inbox. Bytes that are no UTF-8 show as `\xNN`."
    )
    status: str = _column(_row.state, "`done`, `failed`, `pending` or `superseded`.")
    label: str | None = _column(
        _answer.label, "The surest label; `none` or `unknown` where none is above its threshold."
    )
    confidence: float | None = _column(
        _answer.confidence, "Its probability, 0 to 1, as the network has it."
    )
    duration_s: float | None = _column(_row.duration_s, "Length of the recording.")
    sample_rate_hz: int | None = _column(_row.sample_rate_hz, "Of the file, not of the network.")
    checkpoint: str | None = _column(_checkpoint.name, "Name of the checkpoint that answered.")
    classified_at: str | None = _column(
        _row.answered_at,
        "When: UTC, ISO 8601, with `Z`. For failures, when they failed.",
        kind="moment",
        history=_answer.classified_at,
    )
    error: str | None = _column(_row.error, "Why there is no answer, in a sentence.")
    inbox: str = _column(_inbox.path_text, "The watched folder.")
    digest: str | None = _column(_row.digest, "SHA-256 of the file.")
    checkpoint_digest: str | None = _column(_checkpoint.digest, "SHA-256 of the checkpoint file.")
    warning: str | None = _column(
        _row.warning,
        "What is wrong with an answer: the recording is [not whole](audio.md#is-it-whole), or odd,"
        " or a later rescoring failed.",
    )
    archived_path: str | None = _column(
        case((_row.archived_at.is_not(None), _row.archive_path_text)),
        "Where the file lies now, absolute, if it was moved to the"
        " [archive](how-it-works.md#the-archive).",
    )
    start_s: float | None = _column(None, "Where the clip begins.", is_of_clip=True)
    end_s: float | None = _column(
        None, "Where it ends, at most with the recording.", is_of_clip=True
    )
    human_label: str | None = _column(
        human_labels(),
        "What a person says that the recording as a whole is; with `--clips` that of the part where"
        " the clip lies, if there is one.",
    )
    recorded_at: str | None = _column(
        _row.recorded_at,
        "When the recording began, in UTC: [as name or file say](#when-and-where).",
        kind="moment",
    )
    site: str = _column(
        None,
        "The first folder in the inbox, or what [`results.site_pattern`](settings.md) finds in the"
        " path: keep a folder for each recorder, and cards with equal names stay apart.",
    )
    channels: int | None = _column(_row.channels, "Of the file.")
    rms_dbfs: float | None = _column(
        _row.rms_dbfs,
        "Root mean square of what is scored, in decibels below full scale; -150 is"
        " digital silence.",
    )
    peak_dbfs: float | None = _column(_row.peak_dbfs, "The loudest sample of any channel.")
    clipped: float | None = _column(_row.clipped, "Share of the samples at full scale, 0 to 1.")
    recorder: str | None = _column(
        _row.recorder,
        "What the file says of its recorder, as JSON (an object in JSON): device, place,"
        " temperature, battery, gain ([audio.md](audio.md#the-recorder)).",
    )
    human_parts: str | None = _column(
        human_parts(),
        "What people say of parts, as JSON (a list in JSON): objects of `start_s`, `end_s` (null:"
        " to the end), `label`. With `--clips` it is empty.",
    )
    clip_at: str | None = _column(
        None, "When the clip began, in UTC.", kind="moment", is_of_clip=True
    )
    labels: Sequence[dict[str, object]] | None = _column(  # a LabelList
        None,
        "All labels above their [thresholds](#several-labels-or-none), the surest first: `a;b`; in"
        " JSON and Parquet a list of objects with `label` and `probability`.",
        kind="labels",
    )
    novelty: float | None = _column(
        _answer.novelty,
        "How [unlike anything learned](training.md#novelty), 0 to 1; empty where its checkpoint"
        " does not know.",
    )
    labels_json: str | None = _column(_checkpoint.labels)
    packed_scores: bytes | None = _column(_answer.scores)  # float32 (L,)
    # float16 (C, L); read only where clips are asked for
    packed_clip_scores: bytes | None = _column(_answer.clip_scores)
    clip_scores_bytes: int | None = _column(func.length(_answer.clip_scores))
    clip_seconds: float | None = _column(_answer.clip_seconds)
    clip_hop_seconds: float | None = _column(_answer.clip_hop_seconds)
    answer_number: int | None = _column(_row.answer_number)
    prediction_id: int | None = _column(_answer.id)
    task: str | None = _column(_checkpoint.task)
    thresholds_json: str | None = _column(_checkpoint.thresholds)
    findings_json: str | None = _column(told_findings())  # those that may be told
    packed_embeddings: bytes | None = _column(None)  # see `storage.queries.embeddings`

    def displayed(self, rules: DisplayRules) -> Result:
        """As stored values are shown under these rules."""
        return from_row((getattr(self, name) for name in _FIELDS), rules)

    def record(self, columns: Iterable[str]) -> dict[str, object]:
        """The columns of the contract, numbers rounded to what was stored."""
        return {column: _rounded(getattr(self, column)) for column in columns}

    def as_object(self, columns: Iterable[str]) -> dict[str, object]:
        """A row as JSON has it."""
        return {"id": self.id, **self.record(columns), "scores": self.scores()}

    @property
    def n_clips(self) -> int:
        """Of how many clips the answer was made; 0 without an answer."""
        if self.labels_json is None or not self.clip_scores_bytes:
            return 0
        return self.clip_scores_bytes // (2 * len(labels_of(self.labels_json)))

    def scores(self) -> dict[str, float] | None:
        """Label to probability."""
        if self.labels_json is None or self.packed_scores is None:
            return None
        labels = labels_of(self.labels_json)
        values = struct.unpack(f"<{len(labels)}f", self.packed_scores)
        return {label: round(value, 6) for label, value in zip(labels, values, strict=True)}

    @property
    def clip_scores(self) -> ClipScores:
        return ClipScores(
            *(self.labels_json, self.packed_clip_scores),
            *(self.clip_seconds, self.clip_hop_seconds),
            *(self.task or "single", self.thresholds_json),
        )

    def labelled_parts(self) -> list[LabelledPart]:
        """By their starts."""
        return parts_of(self.human_parts, self.duration_s)


_FIELDS = [one.name for one in fields(Result)]
_AT = {name: at for at, name in enumerate(_FIELDS)}


def _columns() -> Iterator[Column]:
    for one in fields(Result):
        if one.metadata["doc"]:
            kind = one.metadata["kind"] or _KINDS[str(one.type).removesuffix(" | None")]
            yield Column(one.name, kind, one.metadata["doc"], one.metadata["is_of_clip"])


COLUMN_TABLE = tuple(_columns())
CLIP_COLUMNS = tuple(column.name for column in COLUMN_TABLE)
COLUMNS = tuple(column.name for column in COLUMN_TABLE if not column.is_of_clip)
MOMENTS = tuple(column.name for column in COLUMN_TABLE if column.kind == "moment")


def expressions(
    history: bool, with_clips: bool, one_label: bool = False
) -> Iterator[ColumnElement[Any]]:
    """In SQL, the values that `from_row` takes; with `one_label` the findings are not needed."""
    left_out = set() if with_clips else {"packed_clip_scores"}
    left_out |= {"findings_json"} if one_label else set()
    for one in fields(Result):
        sql = one.metadata["history"] if history else None
        sql = one.metadata["sql"] if sql is None else sql
        yield null() if sql is None or one.name in left_out else sql


def from_row(row: Iterable[Any], rules: DisplayRules) -> Result:
    """The values of `expressions`, shown under these rules."""
    values = [*row]
    decision = rules.decide(
        values[_AT["label"]],
        values[_AT["confidence"]],
        candidates_in(values[_AT["findings_json"]]),
        values[_AT["task"]] or "single",
        own_thresholds(values[_AT["thresholds_json"]]),
        values[_AT["novelty"]],
    )
    values[_AT["label"]], values[_AT["confidence"]] = decision[:2]
    values[_AT["labels"]] = None if decision.label is None else label_list(decision.labels)
    values[_AT["recorded_at"]] = as_stamp(values[_AT["recorded_at"]], rules.zone)
    values[_AT["site"]] = rules.site_of(values[_AT["path"]])
    return Result(*values)


def rows_by_label(row: Result) -> list[Result]:
    """The row for each of its labels, the surest first; as it is where it has none."""
    each = ((str(one["label"]), float(str(one["probability"]))) for one in row.labels or ())
    return [replace(row, label=label, confidence=p) for label, p in each] or [row]


def _rounded(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value
