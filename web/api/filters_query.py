"""The filters of `clfd results` as parameters of a request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from storage.home.checkpoint_folder import resolve_reference
from storage.queries.filters import Filters, Status
from storage.values.text import printable_path
from storage.values.timestamps import parse_when, stamp
from web.server.context import Context
from web.server.problems import Problem

Share = Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)]
Level = Annotated[float | None, Field(allow_inf_nan=False)]


class FilterQuery(BaseModel):
    """Names and meanings are those of the options; they add up."""

    model_config = ConfigDict(extra="ignore")

    status: Status = "done"
    label: list[str] = []
    min_confidence: Share = None
    max_confidence: Share = None
    since: str | None = None
    until: str | None = None
    time: Literal["classified", "recorded"] = "classified"
    path: str | None = None
    wrong: bool = False
    labelled: bool = False
    unlabelled: bool = False
    author: str | None = None
    min_level: Level = None
    max_level: Level = None
    clipped: bool = False
    min_novelty: Share = None
    checkpoint: str | None = None


def asked_filters(query: AskedQuery, context: Context) -> Filters:
    """Raises Problem for a time that is none, StorageError for an unknown checkpoint."""
    checkpoint = query.checkpoint and resolve_reference(context.home, query.checkpoint)
    return Filters(
        status=query.status,
        labels=tuple(query.label),
        min_confidence=query.min_confidence,
        max_confidence=query.max_confidence,
        since=moment_of("since", query.since),
        until=moment_of("until", query.until),
        path=printable_path(os.fsencode(query.path)) if query.path else None,
        checkpoint=checkpoint or None,
        wrong=query.wrong,
        labelled=query.labelled,
        unlabelled=query.unlabelled,
        author=query.author or None,
        by_recorded=query.time == "recorded",
        min_level=query.min_level,
        max_level=query.max_level,
        clipped=query.clipped,
        min_novelty=query.min_novelty,
        rules=context.rules,
    )


def options_of(query: FilterQuery) -> list[str]:
    """The same as words of the command line; what is not asked for is left out."""
    asked = query.model_dump(exclude_defaults=True, exclude_none=True)
    return [word for name, value in asked.items() for word in _words(name, value)]


def _words(name: str, value: Any) -> Iterator[str]:
    option = f"--{name.replace('_', '-')}"
    if value is True:
        yield option
    elif isinstance(value, list):
        yield from (f"{option}={one}" for one in value)
    elif value != "":
        yield f"{option}={value:.15g}" if isinstance(value, float) else f"{option}={value}"


def moment_of(name: str, text: str | None) -> str | None:
    if not text:
        return None
    try:
        return stamp(parse_when(text, datetime.now(UTC)))
    except ValueError as error:
        raise Problem(422, f"{name}: {error}") from error


AskedQuery = Annotated[FilterQuery, Query()]
AskedFilters = Annotated[Filters, Depends(asked_filters)]
