"""`/media`: sound by the digest of its file and never by a path, so that browsers may keep it."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, model_validator

from classifier.audio.regular_file import fingerprint, regular_file
from classifier.audio.windows import Content, FileCopy, present_copy
from classifier.errors import DecodingError
from storage.home.safe_open import opener_in
from storage.queries.one_recording import files_with
from web.media.decoder import Decoder
from web.media.pcm import read_pcm, read_wave
from web.media.picture import draw
from web.media.ranges import ranged
from web.server.context import Context
from web.server.problems import Problem

router = APIRouter(tags=["media"])

MAX_SECONDS = 60.0
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_DIGEST = re.compile("[0-9a-f]{64}")

Second = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]


class Stretch(BaseModel):
    """A part of a recording, in seconds."""

    start: Second = 0.0
    end: Second

    @model_validator(mode="after")
    def _in_order(self) -> Stretch:
        if self.end <= self.start:
            raise ValueError("the end has to lie behind the start")
        return self


class Window(Stretch):
    @model_validator(mode="after")
    def _bounded(self) -> Window:
        if self.end - self.start > MAX_SECONDS:
            raise ValueError(f"at most {MAX_SECONDS:g} s at once")
        return self


class WaveWindow(Window):
    slow: Literal["1", "5", "10", "20"] = Field("1", description="How many times more slowly.")


class Picture(Stretch):
    w: int = Field(300, ge=16, le=2000, description="Width in pixels.")
    h: int = Field(128, ge=16, le=512, description="Height in pixels.")


def content_of(
    digest: str,
    context: Context,
    channel: Annotated[
        Literal["mean", "loudest"] | Annotated[int, Field(ge=1, le=64)] | None,
        Query(description="Of several; otherwise as the settings have it for scoring."),
    ] = None,
) -> Content:
    """Raises Problem."""
    files = []
    if _DIGEST.fullmatch(digest):
        with context.reading() as connection:
            files = files_with(connection, digest)
    if not files:
        raise Problem(404, "no recording has this digest")
    copies = [
        FileCopy(file.path, file.fingerprint, opener_in(file.folder) if file.folder else os.open)
        for file in files
    ]
    return Content(digest, copies, channel or context.settings.engine.channel)


def _decoder(context: Context) -> Decoder:
    return context.shared(Decoder)


Wanted = Annotated[Content, Depends(content_of)]
Decodes = Annotated[Decoder, Depends(_decoder)]


@router.get("/media/{digest}/pcm", response_class=Response)
async def pcm(
    window: Annotated[Window, Query()], content: Wanted, decoder: Decodes, request: Request
) -> Response:
    """Samples of one channel at the file's own rate: int16, little-endian.

    Times `X-Peak` and divided by 32,767 they are what the file holds. There are fewer than were
    asked for where the recording ends, and never more than 8 million.
    """
    made = await decoder.result(request, read_pcm, content, window.start, window.end)
    headers = {
        "X-Rate-Hz": str(made.sample_rate_hz),
        "X-Start-S": repr(made.start_s),
        "X-Samples": str(made.n_samples),
        "X-Peak": repr(made.peak),
    }
    return Response(made.data, headers=FOR_EVER | headers, media_type="application/octet-stream")


@router.get("/media/{digest}/sound.wav", response_class=Response)
async def sound(
    window: Annotated[WaveWindow, Query()], content: Wanted, decoder: Decodes, request: Request
) -> Response:
    """The same as a WAV file, also slowed down, for programs that play such; ranges work."""
    asked = window.start, window.end, int(window.slow)
    made = await decoder.result(request, read_wave, content, *asked)
    return ranged(request, len(made), lambda n, at: made[at : at + n], "audio/wav", FOR_EVER)


@router.get("/media/{digest}/picture", response_class=Response)
async def picture(
    window: Annotated[Picture, Query()], content: Wanted, decoder: Decodes, request: Request
) -> Response:
    """A spectrogram as PNG, up to half the sample rate; of a long part some places of it."""
    asked = window.start, window.end, window.w, window.h
    made = await decoder.result(request, draw, content, *asked)
    return Response(made, headers=FOR_EVER, media_type="image/png")


@router.get("/media/{digest}/original", response_class=Response)
async def original(content: Wanted, decoder: Decodes, request: Request) -> Response:
    """The file as it is, under its name; ranges work."""
    copy = await decoder.result(request, present_copy, content)
    handle, size = _opened(copy)
    name = quote(os.path.basename(copy.path))
    headers = FOR_EVER | {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}

    def read(n: int, offset: int) -> bytes:
        return os.pread(handle, n, offset)

    closes = partial(os.close, handle)
    return ranged(request, size, read, "application/octet-stream", headers, closes)


def _opened(copy: FileCopy) -> tuple[int, int]:
    """A descriptor and the size. Raises Problem."""
    try:
        with regular_file(copy.path, copy.opener) as (fd, status):
            if fingerprint(status) != copy.fingerprint:
                raise Problem(409, "the file was changed")
            return os.dup(fd), status.st_size
    except DecodingError as error:
        raise Problem(404, str(error)) from error
