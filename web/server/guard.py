"""What a request must be before any route sees it: of this page, by somebody who may, and small.

The rules are those of OWASP's cheat sheets on request forgery and rebinding: a known Host, Fetch
Metadata (or Origin) for what changes anything, and a session for all data.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.server.problems import Problem
from web.server.sessions import Session, Sessions

COOKIE = "clfd_session"
SAFE_METHODS = frozenset(("GET", "HEAD"))
API = "/api/"
OPEN_ROUTES = frozenset(("/api/v1/session",))  # where a session begins
MAX_BODY_BYTES = 2**20
MAX_UPLOAD_BYTES = 100 * 10**6
UPLOADS = frozenset(("/api/v1/classify",))
_LENGTH = re.compile(r"[0-9]{1,18}")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "worker-src 'self'; img-src 'self' blob:; media-src 'self' blob:; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'; require-trusted-types-for 'script'; "
    "trusted-types clfd"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Guard:
    """The ASGI application around the page's own.

    `hosts` are the names, with their ports, by which the page may be called. On a unix socket,
    where only a proxy reaches it, `X-Remote-User` says who asks (`trusts_proxy`).
    """

    app: ASGIApp
    sessions: Sessions
    hosts: Collection[str]
    trusts_proxy: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the start and the end; the page speaks no other protocol
            await self.app(scope, receive, send)
            return
        secured = _with_headers(send)
        try:
            self._admit(scope)
            bounded = _bounded(receive, scope)
        except Problem as problem:
            await problem.response()(scope, receive, secured)
            return
        await self.app(scope, bounded, secured)

    def _admit(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        if headers.get("host", "").lower() not in self.hosts:
            raise Problem(421, "this page is not called so; open the address that it printed")
        session, has_cookie = self._session(headers)
        scope.setdefault("state", {})["session"] = session
        if not path.startswith(API):
            return
        if scope["method"] not in SAFE_METHODS and (has_cookie or session is None):
            _refuse_other_sites(headers)
        if session is None and path not in OPEN_ROUTES:
            raise Problem(401, "sign in with the link that `clfd web --link` prints")

    def _session(self, headers: Headers) -> tuple[Session | None, bool]:
        """And whether the browser sent it by itself, whoever made it ask."""
        if self.trusts_proxy and (user := headers.get("x-remote-user")):
            return Session("", user), True
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.sessions.of(token.strip()), False
        # Other programs of this machine leave cookies that are none by the standard; Python's own
        # parser finds nothing behind such a one.
        secret = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        return (self.sessions.of(secret) if secret else None), True


def _refuse_other_sites(headers: Headers) -> None:
    site = headers.get("sec-fetch-site")
    if site is None:
        origin = headers.get("origin", "")
        is_own = origin.partition("://")[2] == headers.get("host")
    else:
        is_own = site == "same-origin"
    if not is_own:
        raise Problem(403, "only the page itself may ask for that")


def _with_headers(send: Send) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)  # a file of a report has a stricter policy
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return secured


def _bounded(receive: Receive, scope: Scope) -> Receive:
    """The body, as far as it may go. Raises Problem where its header promises more."""
    most = MAX_UPLOAD_BYTES if scope["path"] in UPLOADS else MAX_BODY_BYTES
    too_large = Problem(413, f"more than {most / 1e6:g} MB; send less at once")
    length = Headers(scope=scope).get("content-length", "0")
    if not _LENGTH.fullmatch(length) or int(length) > most:
        raise too_large
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise too_large
        return message

    return counted
