"""`/recordings/export`: the results as a file, and the command that writes the same."""

from __future__ import annotations

import shlex
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from storage.export.text_formats import FORMATS
from storage.queries.filters import Sort
from web.api.filters_query import AskedQuery, FilterQuery, options_of
from web.server.clfd_process import pieces_of
from web.server.context import Context

router = APIRouter(tags=["recordings"])

ExportFormat = Literal["csv", "json", "jsonl", "parquet", "raven", "audacity", "kaleidoscope"]
_MEDIA_TYPES = {"csv": "text/csv", "json": "application/json", "jsonl": "application/jsonl"}


class ShownCommand(BaseModel):
    command: str = Field(description="To be pasted into a shell.")


@router.get("/recordings/export")
def export(
    query: AskedQuery, context: Context, format: ExportFormat = "csv", sort: Sort = "newest"
) -> StreamingResponse:
    """All that fits, as `clfd results --format` writes it, while it is read."""
    name = f"clfd-results{FORMATS[format].suffix_beside or f'.{format}'}"
    return StreamingResponse(
        pieces_of(context.home, ["results", "-q", *_words(query, sort), f"--format={format}"]),
        media_type=_MEDIA_TYPES.get(format, "application/octet-stream"),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/recordings/command")
def shown_command(query: AskedQuery, sort: Sort = "newest") -> ShownCommand:
    """The command that finds the same in a terminal."""
    return ShownCommand(command=shlex.join(["clfd", "results", *_words(query, sort)]))


def _words(query: FilterQuery, sort: Sort) -> list[str]:
    return [*options_of(query), *([] if sort == "newest" else [f"--sort={sort}"])]
