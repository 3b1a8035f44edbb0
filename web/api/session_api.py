"""`/session`: signing in with a link, and out."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from web.server.context import Author, Context
from web.server.guard import COOKIE
from web.server.problems import Problem
from web.server.sessions import SESSION_SECONDS, Session, Sessions

router = APIRouter(tags=["session"])


class Code(BaseModel):
    code: str = Field(max_length=200, description="What stands behind the # of the link.")


class WhoAsks(BaseModel):
    author: str = Field(description="Whose name labels bear that are given here.")
    read_only: bool = Field(description="Whether the page only shows.")


@router.post("/session")
def sign_in(body: Code, request: Request, response: Response, context: Context) -> WhoAsks:
    """Begins a session with the code of a link, which works once."""
    sessions: Sessions = request.app.state.sessions
    begun = sessions.begin(body.code)
    if begun is None:
        raise Problem(403, "this link was used or is old; `clfd web --link` prints another one")
    secret, session = begun
    lasts = int(SESSION_SECONDS)
    response.set_cookie(COOKIE, secret, lasts, path="/", httponly=True, samesite="strict")
    return WhoAsks(author=session.author, read_only=context.read_only)


@router.get("/session/me")
def who_asks(author: Author, context: Context) -> WhoAsks:
    """Who is signed in."""
    return WhoAsks(author=author, read_only=context.read_only)


@router.delete("/session/me", status_code=204)
def sign_out(request: Request, response: Response) -> None:
    """Ends the session; its cookie, or token, is worth nothing any more."""
    session: Session = request.state.session
    request.app.state.sessions.end(session)
    response.delete_cookie(COOKIE)
