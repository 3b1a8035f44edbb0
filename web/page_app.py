"""The page as an ASGI application: routes, files, and the guard around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from storage.values.distribution import installed_version
from web.api.routes import routers
from web.server.context import PageContext
from web.server.guard import Guard
from web.server.problems import Problem, add_problem_handlers
from web.server.sessions import Sessions

STATIC = Path(__file__).parent / "static"
THREADS = 8  # that ask the ledger at once


def page_app(context: PageContext, hosts: Collection[str], trusts_proxy: bool = False) -> ASGIApp:
    """Of one home. `hosts` are the names, with port, by which it may be called."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield
        context.close()

    app = FastAPI(
        title="clfd",
        version=installed_version() or "?",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # they would fetch from a network
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.context, app.state.sessions = context, Sessions(context.home)
    add_problem_handlers(app)
    for router in routers(context.read_only):
        app.include_router(router, prefix="/api/v1")
    app.mount("/static", StaticFiles(directory=STATIC))

    @app.get("/{view:path}", include_in_schema=False)
    def shell(view: str) -> FileResponse:
        """Every view is the same file: it reads in its address which one it is."""
        if view.startswith("api/"):
            raise Problem(404, "the API has no such path; openapi.json has them all")
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    return Guard(app, app.state.sessions, hosts, trusts_proxy)
