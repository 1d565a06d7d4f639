"""A look at every JSON body of the API before anything else reads it."""

from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest

from shared.web import errors

DEEPEST = 32


def init_app(app: Flask) -> None:
    """Refuse a body that is no JSON, or nested beyond reason, with 400.

    Schema libraries parse with Python's own parser, which answers deep nesting with a RecursionError (500).
    """

    @app.before_request
    def _look() -> Response | None:
        if not request.path.startswith("/api/") or not request.is_json or not request.get_data():
            return None
        try:
            sound = depth(request.get_json()) <= DEEPEST
        except BadRequest:
            sound = False
        if sound:
            return None
        return errors.respond(errors.AppError(400, "invalid_json", "The body is not sound JSON."))


def depth(value: Any) -> int:
    """How deep lists and objects are nested in each other; 0 for a plain value."""
    deepest, level = 0, [value]
    while containers := [item for item in level if isinstance(item, dict | list)]:
        deepest += 1
        level = [inner for box in containers for inner in (box.values() if isinstance(box, dict) else box)]
    return deepest
