"""Answers of which a client may ask for a part (RFC 9110, section 14): one part at a time."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

AT_ONCE = 2**18
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def ranged(
    request: Request,
    size: int,
    read: Callable[[int, int], bytes],
    media_type: str,
    headers: dict[str, str],
    close: Callable[[], None] = lambda: None,
) -> Response:
    """`read(n, offset)` gives bytes; `close` is called when no more are wanted.

    Also where the client left before the first part: a generator that never began has no end.
    """
    headers = headers | {"Accept-Ranges": "bytes"}
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    begin, end = _bounds(asked[1], asked[2], size) if asked else (0, size)
    if begin >= end and asked:
        close()
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    if asked:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"

    def parts() -> Iterator[bytes]:
        at = begin
        while at < end and (part := read(min(AT_ONCE, end - at), at)):
            yield part
            at += len(part)

    headers["Content-Length"] = str(end - begin)
    response = StreamingResponse(parts(), 206 if asked else 200, headers, media_type)
    weakref.finalize(response, close)
    return response


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """From a byte to behind another one; without a first one the last bytes are meant."""
    if first:
        return int(first), min(size, int(last) + 1) if last else size
    return (max(0, size - int(last)), size) if last else (size, size)
