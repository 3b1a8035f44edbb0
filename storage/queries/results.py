"""Reads recordings by filters, in an order, by pages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal, select, tuple_

from storage.database.bulk import chunks
from storage.database.tables import (
    PATH_INDEX,
    answer_counter,
    inbox,
    lease,
    prediction,
    recording,
    recording_label,
)
from storage.queries.clips import (
    ClipOptions,
    Span,
    has_time_asked,
    longest_recording,
    recordings_to_read,
    rows_of,
    rows_with_parts,
    spans_of,
)
from storage.queries.filters import (
    ANSWER,
    LABEL,
    NUMBER,
    Filters,
    Sort,
    by_index,
    clauses,
    joined,
    labelled,
    moment,
)
from storage.queries.page_index import best_index, tallied
from storage.queries.result import Result, expressions, from_row
from storage.values.decision import DisplayRules

PageKey = tuple[int, Any]  # a recording, and the value that it is sorted by
OnRead = Callable[[], object]

_CHUNK_ROWS = 1000
_CHUNK_ROWS_WITH_CLIPS = 200  # those of one recording may be megabytes
_IN_LIMIT = 500  # ids in a statement; a longer one takes longer to compile
_FIRST_PAGE, _LARGEST_PAGE = 100, 10_000  # of recordings whose clips are asked
_row = recording.c


def ignore() -> None: ...


class Position(NamedTuple):
    """How far a reader has come. Both only rise, whatever the clock does."""

    recording: int  # the id of the newest one
    answer: int  # the number of the newest one


@dataclass(frozen=True)
class Page:
    """Some rows, and the key of the last one, to ask for what comes after it; None: no more."""

    rows: list[Result]
    after: PageKey | None


def page(
    connection: Connection,
    filters: Filters,
    sort: Sort = "newest",
    limit: int = 50,
    after: PageKey | None = None,
) -> Page:
    """The first recordings, or those behind a key; not for a history.

    A key is a place in the order, so that a later page takes as long as the first one, and none is
    shown twice while others come in.
    """
    filters = filters.within(connection)
    keys = _page_keys(connection, filters, sort, limit + 1, after)
    ids = [id for id, _ in keys[:limit]]
    rows = list(_rows_of(connection, ids, filters, with_clips=False))
    return Page(rows, keys[limit - 1] if len(keys) > limit else None)


def newest_keys(connection: Connection, filters: Filters, limit: int) -> list[PageKey]:
    """Of the newest recordings that fit: id and moment."""
    return _page_keys(connection, filters.within(connection), "newest", limit)


def results(
    connection: Connection,
    filters: Filters,
    sort: Sort = "newest",
    limit: int = 0,
    clips: ClipOptions | None = None,
    on_read: OnRead = ignore,
) -> Iterator[Result]:
    """Read in chunks, so that memory does not grow with the ledger; a limit of 0 is none.

    With `clips` each row is one that fits (see `storage.queries.clips`), and the limit counts
    these rows; those of a recording follow each other, but by confidence each has its own place,
    and as many are held in memory as the limit lets. `on_read` is called for each recording.
    """
    found: Iterator[Result]
    filters = filters.within(connection)
    if clips is not None:
        wide = recordings_to_read(filters, clips, partial(longest_recording, connection))
        found = clip_rows(_with_clips(connection, wide, sort, on_read), clips, filters, sort, limit)
    elif limit and not filters.history:
        ids = [id for id, _ in _page_keys(connection, filters, sort, limit)]
        found = _rows_of(connection, ids, filters, with_clips=False)
    else:
        query = _chosen(filters, with_clips=False).order_by(*_order(filters, sort))
        found = _read(connection, query.limit(limit) if limit else query, filters.rules)
    return islice(found, limit or None)


def recordings_with_clips(
    connection: Connection, filters: Filters, clips: ClipOptions, on_read: OnRead = ignore
) -> Iterator[tuple[Result, list[Result]]]:
    """Recordings by inbox and path, each with its rows that fit; of one without any there are none.

    Label, confidence and time are asked of the rows: see `storage.queries.clips`.
    """
    filters = filters.within(connection)
    wide = recordings_to_read(filters, None, partial(longest_recording, connection))
    query = by_index(_chosen(wide, with_clips=True), PATH_INDEX)  # in its order
    query = query.order_by(_row.inbox_id, _row.path, _row.id)
    read = _read(connection, query, filters.rules, _CHUNK_ROWS_WITH_CLIPS)
    return each_with_clips(read, clips, filters, on_read)


def clip_spans(
    connection: Connection, filters: Filters, clips: ClipOptions, on_read: OnRead = ignore
) -> Iterator[tuple[Result, Span]]:
    """Every clip that fits, with its recording."""
    filters = filters.within(connection)
    wide = recordings_to_read(filters, clips, partial(longest_recording, connection))
    for one in _with_clips(connection, wide, "newest", on_read):
        yield from ((one, span) for span in spans_of(one, clips, filters))


def results_of(
    connection: Connection, ids: Sequence[int], filters: Filters, with_clips: bool = False
) -> list[Result]:
    """These recordings, in this order, whatever else the filters say than how answers are shown."""
    known = select(_row.id).where(_row.id.in_(ids))
    there = {*connection.scalars(known)}
    filters = filters.within(connection)
    return list(_rows_of(connection, [id for id in ids if id in there], filters, with_clips))


def newest_position(connection: Connection) -> Position:
    """Behind all that there is."""
    newest = select(func.max(_row.id)).scalar_subquery()
    recording_id, answer = connection.execute(select(newest, answer_counter.c.newest)).one()
    return Position(recording_id or 0, answer)


def results_after(connection: Connection, filters: Filters, position: Position) -> list[Result]:
    """What came behind a position, each once: answers, then what waits for one."""
    found = []
    filters = filters.within(connection)
    if filters.status != "pending":
        found += answers_after(connection, filters, position.answer)
    if filters.status in ("pending", "all"):
        query = _chosen(filters.with_status("pending"), with_clips=False).where(
            _row.id > position.recording
        )
        query = query.with_hint(recording, "NOT INDEXED", "sqlite").order_by(_row.id)
        found += _read(connection, query, filters.rules)
    return found


def answers_after(
    connection: Connection,
    filters: Filters,
    number: int,
    limit: int = 0,
    with_clips: bool = False,
    by: ColumnElement[bool] | None = None,
) -> list[Result]:
    """Answers with a greater number, in their order; a limit of 0 is none.

    `by`: of the daemons whose leases fit.
    """
    filters = filters.within(connection)
    query = by_index(_chosen(filters, with_clips), NUMBER)
    query = query.where(_row.answer_number > number).order_by(_row.answer_number)
    if by is not None:
        query = query.where(_row.answered_by.in_(select(lease.c.id).where(by)))
    return list(_read(connection, query.limit(limit) if limit else query, filters.rules))


def files_of(connection: Connection, ids: Sequence[int]) -> dict[int, Path]:
    """Where the file of each recording lies: in its inbox, or where it was archived."""
    archived = case((_row.archived_at.is_not(None), _row.archive_path))
    query = select(_row.id, inbox.c.path, _row.path, archived).select_from(recording).join(inbox)
    found = {}
    for some in chunks(ids):
        for id, folder, path, archive in connection.execute(query.where(_row.id.in_(some))):
            found[id] = Path(os.fsdecode(archive or os.path.join(folder, path)))
    return found


def unnumbered_after(
    connection: Connection,
    filters: Filters,
    moment: str,
    recording_id: int,
    limit: int,
    with_clips: bool = False,
) -> list[Result]:
    """What was answered by a version that gave no numbers, in the order of its clock."""
    later = tuple_(_row.answered_at, _row.id) > tuple_(literal(moment), literal(recording_id))
    filters = filters.within(connection)
    query = by_index(_chosen(filters, with_clips), ANSWER)
    query = query.where(_row.answer_number.is_(None), later).order_by(_row.answered_at, _row.id)
    return list(_read(connection, query.limit(limit), filters.rules))


# --- recordings with their clips


def _with_clips(
    connection: Connection, filters: Filters, sort: Sort, on_read: OnRead
) -> Iterator[Result]:
    """In order, a page at a time: what SQLite would sort holds much, and few may be asked for."""
    if filters.history:
        query = _chosen(filters, with_clips=True).order_by(*_order(filters, sort))
        found = _read(connection, query, filters.rules, _CHUNK_ROWS_WITH_CLIPS)
    else:
        pages = _pages(connection, filters, sort)
        found = (one for ids in pages for one in _rows_of(connection, ids, filters, True))
    for one in found:
        on_read()
        yield one


def _pages(connection: Connection, filters: Filters, sort: Sort) -> Iterator[list[int]]:
    """The ids of all that fit, in pages that grow."""
    limit, after = _FIRST_PAGE, None
    while keys := _page_keys(connection, filters, sort, limit, after):
        yield [id for id, _ in keys]
        if len(keys) < limit:
            break
        limit, after = min(limit * 4, _LARGEST_PAGE), keys[-1]


def clip_rows(
    recordings: Iterable[Result], clips: ClipOptions, filters: Filters, sort: Sort, limit: int
) -> Iterator[Result]:
    """The clips that fit, of recordings in this order; by confidence in an order of their own."""
    found = (row for one in recordings for row in rows_of(one, clips, filters))
    return _surest_first(found, limit) if sort == "confidence" else found


def each_with_clips(
    recordings: Iterable[Result], clips: ClipOptions, filters: Filters, on_read: OnRead
) -> Iterator[tuple[Result, list[Result]]]:
    """Of those that lie in the time that is asked for; see `recordings_with_clips`."""
    for one in recordings:
        on_read()
        if has_time_asked(one, filters):
            yield one, list(rows_with_parts(one, clips, filters))


def _surest_first(rows: Iterator[Result], limit: int) -> Iterator[Result]:
    def confidence(row: Result) -> float:
        return row.confidence or 0.0

    if limit:
        return iter(nlargest(limit, rows, key=confidence))
    return iter(sorted(rows, key=confidence, reverse=True))


# --- a page: first which, then what there is to say about these


def _page_keys(
    connection: Connection,
    filters: Filters,
    sort: Sort,
    limit: int,
    after: PageKey | None = None,
) -> list[PageKey]:
    """The recordings of a page, in its order."""
    known = tallied(connection, filters)
    if not known.fitting:
        return []
    narrowed = known.within(filters)
    index = best_index(connection, narrowed, sort, limit, known)
    if index == LABEL:
        return _keys_of_labels(connection, narrowed, sort, limit, after)
    value, is_descending = _sorted_by(filters, sort)
    query = by_index(select(_row.id, value), index).where(*clauses(narrowed))
    query = query.order_by(*_order(filters, sort))
    steps = list(_behind(after, value, is_descending))
    if sort != "path":
        return _first(connection, query, steps, limit)
    found: list[PageKey] = []
    for inbox_id in connection.scalars(select(inbox.c.id)).all():  # as the index has them
        of_inbox = query.where(_row.inbox_id == inbox_id)
        found += _first(connection, of_inbox, steps, limit)
    return _merged(found, is_descending)[:limit]


def _keys_of_labels(
    connection: Connection, filters: Filters, sort: Sort, limit: int, after: PageKey | None
) -> list[PageKey]:
    """From the index of findings, label by label; what has several of them comes several times."""
    entry = recording_label.c
    value, is_descending = _sorted_by(filters, sort)
    number: ColumnElement[Any] = _row.id
    if sort in ("newest", "oldest"):  # as the index has them
        value, number = entry.answered_at, entry.recording_id
    steps = list(_behind(after, value, is_descending, number))
    direction = (value.desc().nulls_last(), number.desc()) if is_descending else (value, number)
    query = labelled(filters, number, value).order_by(*direction)
    found: list[PageKey] = []
    for label in filters.indexed_labels:
        found += _first(connection, query.where(entry.label == label), steps, limit)
    return _merged(found, is_descending)[:limit]


def _merged(keys: Iterable[PageKey], is_descending: bool) -> list[PageKey]:
    """In order, each once; what has no value is last where it descends."""
    once = dict.fromkeys(keys)
    return sorted(once, key=lambda key: (key[1] is not None, key[1], key[0]), reverse=is_descending)


def _first(
    connection: Connection,
    query: Select[Any],
    steps: Sequence[Sequence[ColumnElement[bool]]],
    limit: int,
) -> list[PageKey]:
    found: list[PageKey] = []
    for step in steps:
        part = query.where(*step).limit(limit - len(found))
        found += [(row[0], row[1]) for row in connection.execute(part)]
        if len(found) == limit:
            break
    return found


def _behind(
    after: PageKey | None,
    value: ColumnElement[Any],
    is_descending: bool,
    number: ColumnElement[Any] = _row.id,
) -> Iterator[list[ColumnElement[bool]]]:
    """What comes after the key, in steps: the rest of its equals first.

    Each step is a range of an index; in one clause, all equals would be walked through again, and
    at a confidence of 1.0 there may be millions. What has no value is last where it descends.
    """
    if after is None:
        yield []
        return
    last_id, last = after
    rest = number < last_id if is_descending else number > last_id
    yield [value.is_(None) if last is None else value == last, rest]
    if last is None:
        if not is_descending:
            yield [value.is_not(None)]
    elif is_descending:
        yield [value < last]
        yield [value.is_(None)]
    else:
        yield [value > last]


def _sorted_by(filters: Filters, sort: Sort) -> tuple[ColumnElement[Any], bool]:
    """The value, and whether it descends; of equals the id decides, in the same direction."""
    if sort == "confidence":
        return (prediction.c if filters.history else _row).confidence, True
    if sort == "path":
        return _row.path, False
    return moment(filters), sort == "newest"


def _order(filters: Filters, sort: Sort) -> tuple[ColumnElement[Any], ...]:
    value, is_descending = _sorted_by(filters, sort)
    if is_descending:
        return value.desc().nulls_last(), _row.id.desc()
    return value.asc(), _row.id.asc()


def _rows_of(
    connection: Connection, ids: Sequence[int], filters: Filters, with_clips: bool
) -> Iterator[Result]:
    query = _columns(filters, with_clips)
    n = _CHUNK_ROWS_WITH_CLIPS if with_clips else _IN_LIMIT
    for start in range(0, len(ids), n):
        some = ids[start : start + n]
        rows = {row[0]: row for row in connection.execute(query.where(_row.id.in_(some)))}
        yield from (from_row(rows[recording_id], filters.rules) for recording_id in some)


# --- parts of the statements


def _columns(filters: Filters, with_clips: bool) -> Select[Any]:
    return select(*expressions(filters.history, with_clips, filters.rules.one_label)).select_from(
        joined(filters)
    )


def _chosen(filters: Filters, with_clips: bool) -> Select[Any]:
    return _columns(filters, with_clips).where(*clauses(filters))


def _read(
    connection: Connection, query: Select[Any], rules: DisplayRules, chunk_rows: int = _CHUNK_ROWS
) -> Iterator[Result]:
    for row in connection.execute(query, execution_options={"yield_per": chunk_rows}):
        yield from_row(row, rules)
