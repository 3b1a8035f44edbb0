"""All routes, and which of them a page has that only shows."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.routing import APIRoute

from web.api import (
    counts_api,
    export_api,
    live_api,
    recordings_api,
    report_api,
    session_api,
    status_api,
)
from web.api.control import checkpoints_api, classify_api, daemon_api, trainings_api
from web.api.labelling import labels_api, queue_api, verify_api
from web.media import media_api
from web.server.guard import SAFE_METHODS

MODULES = (
    session_api,
    status_api,
    live_api,
    export_api,  # before a recording by its number
    recordings_api,
    counts_api,
    labels_api,
    queue_api,
    verify_api,
    media_api,
    report_api,
    checkpoints_api,
    trainings_api,
    daemon_api,
    classify_api,
)


def routers(read_only: bool) -> Iterator[APIRouter]:
    """With `read_only`, what changes anything is not there; a session begins all the same."""
    for module in MODULES:
        router: APIRouter = module.router
        if read_only and module is not session_api:
            router = _safe_part(router)
        yield router


def _safe_part(router: APIRouter) -> APIRouter:
    safe = APIRouter(tags=router.tags)
    safe.routes = [
        route
        for route in router.routes
        if isinstance(route, APIRoute) and (route.methods or set()) <= SAFE_METHODS
    ]
    return safe
