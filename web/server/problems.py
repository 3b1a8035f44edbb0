"""Errors as the API tells them: problem+json (RFC 9457) with the command line's own sentences."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from classifier.errors import ClassifierError
from storage.errors import LedgerMissing, LedgerUnavailable, StorageError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that is not answered: the status, a sentence, and what a program may read of it."""

    def __init__(
        self, status: int, detail: str, headers: dict[str, str] | None = None, **facts: object
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.facts = status, detail, headers, facts

    def response(self) -> JSONResponse:
        title = HTTPStatus(self.status).phrase
        content = {"status": self.status, "title": title, "detail": self.detail, **self.facts}
        return JSONResponse(content, self.status, self.headers, MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Whatever a route raises becomes one; what nobody expected is logged and says less."""

    def of_route(_: Request, error: Any) -> JSONResponse:
        return _problem_of(error).response()

    kinds = (Problem, StorageError, ClassifierError, RequestValidationError, HTTPException)
    for kind in (*kinds, Exception):
        app.add_exception_handler(kind, of_route)


def _problem_of(error: Exception) -> Problem:
    if isinstance(error.__cause__, Problem):  # the body went over its limit while it was read
        error = error.__cause__
    match error:
        case Problem():
            return error
        case LedgerMissing() | LedgerUnavailable():
            return Problem(503, str(error), {"Retry-After": "2"})
        case StorageError() | ClassifierError():
            return Problem(409, str(error))
        case RequestValidationError():
            return Problem(422, "; ".join(_sentence(one) for one in error.errors()))
        case HTTPException():
            return Problem(error.status_code, str(error.detail), dict(error.headers or {}))
    logger.error("a request failed for a fault in clfd", exc_info=error)
    return Problem(500, "a fault in clfd: its log has more")


def _sentence(details: Any) -> str:
    name = (details["loc"] or ("",))[-1]
    return f"{name}: {details['msg'].removeprefix('Value error, ')}"
