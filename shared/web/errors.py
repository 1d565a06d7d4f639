"""Errors as people and programs get them: a page for people, problem details (RFC 9457) for the API."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypedDict
from urllib.parse import quote

from apiflask.exceptions import HTTPError
from flask import Flask, Response, current_app, render_template, request
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, TooManyRequests
from werkzeug.wrappers import Response as AnyResponse

from shared.logs import logger
from shared.web import json
from shared.web.access import request_id

PROBLEM_JSON = "application/problem+json"
RETRY_SOON_SECONDS = 5
API_PREFIXES = ("/api/", "/internal/")
log = logger(__name__)

# What people read; by status, so that a library's own wording never reaches them.
_MESSAGES: Mapping[int, str] = {
    400: "Something in this request is not right. Please check it and try again.",
    401: "Please log in to see this.",
    403: "You are not allowed to do this.",
    404: "There is nothing at this address. It may have moved, or never existed.",
    405: "This address does not take that kind of request.",
    406: "We cannot answer in a form your program accepts.",
    408: "The request took too long to arrive. Please try again.",
    409: "This has changed meanwhile. Please reload and try again.",
    410: "This is no longer here.",
    413: "This is more data than we accept.",
    414: "This address is too long.",
    415: "The API takes application/json only.",
    422: "Something in this request is not right. Please check it and try again.",
    429: "That was too often. Please wait a moment before you try again.",
    431: "This request carries more headers than we accept.",
    500: "Something went wrong on our side. We have been told, and are looking into it.",
    503: "We cannot answer this right now. Please try again in a few seconds.",
}

_HEADINGS: Mapping[int, str] = {
    400: "That did not work",
    401: "Please log in",
    403: "Not allowed",
    404: "Nothing here",
    410: "No longer here",
    413: "Too much at once",
    429: "One moment, please",
    500: "Something went wrong",
    503: "Back in a moment",
}


class FieldError(TypedDict):
    """What is wrong with one field; ``field`` is its path with dots."""

    field: str
    message: str


class AppError(Exception):
    """A refusal with a reason that people may read.

    ``status`` is the HTTP status, ``code`` a stable word for programs (``alert_not_found``), ``message``
    a sentence for people. Services derive their own in ``errors.py``.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def init_app(app: Flask) -> None:
    """Render every error of the app in one way."""
    app.register_error_handler(AppError, respond)
    app.register_error_handler(HTTPError, _from_apiflask)
    app.register_error_handler(HTTPException, _from_werkzeug)
    app.register_error_handler(OperationalError, _database_is_away)
    app.register_error_handler(PoolTimeoutError, _database_is_away)
    app.register_error_handler(DataError, _value_does_not_fit)


def wants_json() -> bool:
    """Whether the caller is a program: by the path, by what it sends, or by what it accepts first."""
    if request.path.startswith(API_PREFIXES) or request.is_json:
        return True
    accept = request.accept_mimetypes
    best = accept.best_match(("text/html", "application/json", PROBLEM_JSON), default="text/html")
    return best != "text/html" and accept[best] > accept["text/html"]


def respond(error: AppError) -> Response:
    """The answer for an error, in the form the caller understands."""
    response = _problem(error) if wants_json() else _page(error)
    response.headers.extend(error.headers)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _problem(error: AppError) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _title(error.status),
        "status": error.status,
        "code": error.code,
        "detail": error.message,
        "request_id": request_id(),
    }
    if error.errors:
        body["errors"] = error.errors
    return Response(json.dump(body), status=error.status, content_type=PROBLEM_JSON)


def _page(error: AppError) -> Response:
    wait = error.headers.get("Retry-After")
    page = render_template(
        "error.html",
        status=error.status,
        heading=_HEADINGS.get(error.status, _title(error.status)),
        message=error.message,
        field_errors=error.errors,
        retry_after=int(wait) if wait and wait.isdigit() else None,
        back=_form(),
        request_id=request_id(),
    )
    return Response(page, status=error.status, content_type="text/html; charset=utf-8")


def _form() -> str | None:
    """The address of the form that was sent and refused; None when this was no form of a page."""
    if request.method != "POST":
        return None
    try:
        current_app.url_map.bind("").match(request.path, method="GET")
    except HTTPException:
        return None
    query = request.query_string.decode("latin-1")
    return quote(request.path) + (f"?{query}" if query else "")


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def of_status(status: int, *, headers: Mapping[str, str] | None = None) -> AppError:
    """The error of a bare HTTP status, in our words."""
    message = _MESSAGES.get(status, _MESSAGES[500] if status >= 500 else _MESSAGES[400])
    code = _title(status).lower().replace(" ", "_").replace("-", "_")
    return AppError(status, code, message, headers=headers)


def _from_werkzeug(error: HTTPException) -> AnyResponse:
    status = error.code or 500
    if status < 400 or error.response is not None:
        return error.get_response()  # a redirect of the router, or abort(response)
    headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    if isinstance(error, TooManyRequests):
        headers.setdefault("Retry-After", str(RETRY_SOON_SECONDS))
    return respond(of_status(status, headers=headers))


def _from_apiflask(error: HTTPError) -> Response:
    problem = of_status(
        error.status_code, headers={str(name): str(value) for name, value in dict(error.headers).items()}
    )
    if isinstance(error.detail, Mapping):
        problem.code = "invalid_request"
        problem.errors = tuple(_field_errors(error.detail))
    return respond(problem)


def _field_errors(detail: Mapping[str, Any]) -> list[FieldError]:
    # APIFlask nests them as {location: {field: [messages]}}; anything else it may say is not for people.
    found: list[FieldError] = []
    for fields in detail.values():
        if not isinstance(fields, Mapping):
            continue
        for field, messages in fields.items():
            several = messages if isinstance(messages, list | tuple) else (messages,)
            found.extend({"field": str(field)[:100], "message": str(message)[:300]} for message in several)
    return found


def _database_is_away(error: OperationalError | PoolTimeoutError) -> Response:
    log.error("database_unavailable", error=type(error.__cause__ or error).__name__, exc_info=error)
    return respond(of_status(503, headers={"Retry-After": str(RETRY_SOON_SECONDS)}))


def _value_does_not_fit(error: DataError) -> Response:
    # A value that PostgreSQL cannot hold (NUL, out of range) and no schema caught: the caller's fault.
    log.warning("value_does_not_fit", error=type(error.__cause__ or error).__name__)
    return respond(of_status(400))
