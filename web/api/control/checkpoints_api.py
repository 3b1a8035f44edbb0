"""`/checkpoints` and `/compare`: what `clfd checkpoints` and `clfd compare` say and do."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath

from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder, is_name
from storage.home.daemon_lock import holder, read_status
from storage.home.safe_open import read_plain
from storage.ledger.checkpoints import refusals
from web.api.control.daemon_api import Told
from web.api.report_api import PAGE_POLICY
from web.server.clfd_process import notes_of, output_of
from web.server.context import Context, PageContext
from web.server.problems import Problem

router = APIRouter(tags=["checkpoints"])

SECONDS = 120.0
MAX_REPORT_BYTES = 64 * 2**20
KEPT = 32
_LINKS = ("active", "previous")
Name = Annotated[str, InPath(description="The whole name, `active` or `previous`.")]
NameQuery = Annotated[str, Query(description="The whole name, `active` or `previous`.")]


class _Facts:
    """What commands say of checkpoints. It costs a process that loads torch, and changes seldom."""

    def __init__(self, context: PageContext) -> None:
        self._home, self._lock = context.home, threading.Lock()
        self._state: object = None
        self._known: dict[tuple[str, ...], Any] = {}

    def of(self, arguments: Sequence[str]) -> Any:
        with self._lock:
            if (state := self._state_now()) != self._state or len(self._known) > KEPT:
                self._state, self._known = state, {}
            key = tuple(arguments)
            if key not in self._known:
                self._known[key] = _object(output_of(self._home, arguments, SECONDS))
            return self._known[key]

    def _state_now(self) -> object:
        folder = CheckpointFolder(self._home.checkpoints)
        files = [(name, os.stat(folder.path(name)).st_mtime_ns) for name in folder.names()]
        return files, folder.active(), folder.previous()


@router.get("/checkpoints")
def checkpoints(context: Context) -> list[dict[str, Any]]:
    """What `clfd checkpoints list --json` says, newest first.

    With `served`, whether the daemon answers by it now, and `refused_by_daemon`, the reason.
    """
    listed = context.shared(_Facts).of(["checkpoints", "list", "--json"])
    status = (read_status(context.home) or {}) if holder(context.home) else {}
    refused = _refusals(context)
    return [
        {
            **one,
            "served": one["checkpoint"] == status.get("served_checkpoint"),
            "refused_by_daemon": refused.get(one["checkpoint"]),
            "has_report": _report_file(context, one["checkpoint"]).is_file(),
        }
        for one in listed
    ]


@router.get("/checkpoints/{name}")
def checkpoint(name: Name, context: Context) -> dict[str, Any]:
    """What `clfd checkpoints show --json` says."""
    arguments = ["checkpoints", "show", _checked(name), "--json"]
    facts: dict[str, Any] = context.shared(_Facts).of(arguments)
    return facts


@router.get("/checkpoints/{name}/report", response_class=Response)
def report(name: Name, context: Context) -> Response:
    """The report of its training, as a page to look at."""
    chosen = CheckpointFolder(context.home.checkpoints).find(_checked(name))
    try:
        page = read_plain(_report_file(context, chosen), MAX_REPORT_BYTES)
    except OSError as error:
        raise Problem(404, f"there is no report of {chosen}") from error
    headers = {"Content-Security-Policy": PAGE_POLICY}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/compare")
def compare(
    a: NameQuery,
    b: NameQuery,
    context: Context,
    training: Annotated[bool, Query(description="Their trainings, not their answers.")] = False,
    n: Annotated[int, Query(ge=0, le=100, description="So many recordings, too.")] = 10,
) -> dict[str, Any]:
    """Where two checkpoints disagree, or how they came about: `clfd compare --json`."""
    arguments = ["compare", _checked(a), _checked(b), "--json"]
    found: dict[str, Any]
    if training:
        found = context.shared(_Facts).of([*arguments, "--training"])
    else:
        found = _object(output_of(context.home, [*arguments, f"--list={n}"], SECONDS))
    return found


@router.post("/checkpoints/{name}/activate")
def activate(name: Name, context: Context) -> Told:
    """Makes it the one to be served; a daemon that runs takes it over."""
    arguments = ["checkpoints", "activate", _checked(name)]
    return Told(lines=notes_of(context.home, arguments, SECONDS))


@router.post("/checkpoints/rollback")
def rollback(context: Context) -> Told:
    """Makes the previous one the active one."""
    return Told(lines=notes_of(context.home, ["checkpoints", "rollback"], SECONDS))


def _checked(name: str) -> str:
    """Nothing else goes to a command: there it might be an option, or a file."""
    if name not in _LINKS and not is_name(name):
        raise Problem(404, f"no checkpoint is called {name[:80]!r}")
    return name


def _object(text: str) -> Any:
    """A checkpoint from elsewhere may have NaN among its facts, which is no JSON."""
    return json.loads(text, parse_constant=lambda _: None)


def _report_file(context: PageContext, name: str) -> Path:
    return context.home.reports / name / "report.html"


def _refusals(context: PageContext) -> dict[str, str]:
    try:
        with context.reading() as connection:
            return refusals(connection)
    except StorageError:  # checkpoints are there without a ledger
        return {}
