"""`/classify`: a file up, its answer down; nothing is recorded."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect

from web.server.clfd_process import output_of
from web.server.context import Context, PageContext
from web.server.problems import Problem

router = APIRouter(tags=["classify"])

SECONDS = 180.0
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")


class _OneAtATime:
    def __init__(self, _: PageContext) -> None:
        self.lock = threading.Lock()


@router.post(
    "/classify",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"format": "binary"}}},
        }
    },
)
async def classify(
    request: Request,
    context: Context,
    name: Annotated[str, Query(max_length=255, description="Of the file, for the answer.")] = "",
) -> dict[str, Any]:
    """What `clfd classify --json` says of the file in the body, of 100 MB at most."""
    lock = context.shared(_OneAtATime).lock
    if not lock.acquire(blocking=False):
        raise Problem(503, "another file is being classified", {"Retry-After": "5"})
    try:
        # The name is no path: of it only the suffix counts, which may say what the file is.
        with TemporaryDirectory(prefix="clfd-classify-") as folder:
            file = Path(folder, f"sound{_suffix(name)}")
            with file.open("wb") as stream:
                async for piece in request.stream():
                    stream.write(piece)
            arguments = ["classify", str(file), "--json", "-q"]
            printed = await to_thread.run_sync(output_of, context.home, arguments, SECONDS, True)
    except ClientDisconnect as error:
        raise Problem(400, "the file broke off") from error
    finally:
        lock.release()
    answer: dict[str, Any] = json.loads(printed)[0]
    return answer | {"path": name}


def _suffix(name: str) -> str:
    found = _SUFFIX.search(name)
    return found[0] if found else ""
