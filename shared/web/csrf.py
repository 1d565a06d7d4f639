"""A write must come from our own page: origin, content type and token are looked at, in this order."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from flask_wtf.csrf import CSRFError, CSRFProtect

from shared.web import errors
from shared.web.origin import cookie_name, current_origin, parse

View = TypeVar("View", bound=Callable[..., Any])
UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
COOKIE = "csrf"
SESSION_COOKIE = "session"
_EXPIRED = "This form has expired or did not come from our page. Reload it and send it again."
_EXEMPT = "boritrader_csrf_exempt"
_protection = CSRFProtect()


def csrf_exempt(view: View) -> View:
    """Mark a view whose caller proves itself otherwise: a signed webhook, a one-click unsubscribe token."""
    setattr(view, _EXEMPT, True)
    return view


def init_app(app: Flask) -> None:
    """Check every write of the app.

    Flask's session cookie carries the token (and flash messages), signed with the secret all services
    share, so that a page of one service can post to another.
    """
    with app.app_context():
        name, secure = cookie_name(COOKIE), current_origin().secure
    app.config.update(
        SESSION_COOKIE_NAME=name,
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        WTF_CSRF_CHECK_DEFAULT=False,  # asked below, after the cheaper questions
        WTF_CSRF_TIME_LIMIT=None,  # lives as long as its cookie: a dashboard stays open all day
        WTF_CSRF_SSL_STRICT=False,  # reads the scheme of the inner hop; the origin check below does this
    )
    _protection.init_app(app)
    app.register_error_handler(CSRFError, _token_refused)

    @app.before_request
    def _guard() -> Response | None:
        view = current_app.view_functions.get(request.endpoint or "")
        if request.method not in UNSAFE_METHODS or view is None or getattr(view, _EXEMPT, False):
            return None
        if not _same_origin():
            return errors.respond(
                errors.AppError(403, "cross_site", "This request came from another site, so it was refused.")
            )
        if request.path.startswith("/api/") and not _is_json_or_empty():
            return errors.respond(errors.of_status(415))
        if not _has_only_bearer_token():
            _protection.protect()
        return None


def _same_origin() -> bool:
    ours = current_origin()
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin == ours.text
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    referrer = request.headers.get("Referer")
    if referrer is None:
        return True  # no browser of today; the token decides
    try:
        return urlsplit(referrer).scheme in ("http", "https") and parse(referrer) == ours
    except ValueError:
        return False


def _is_json_or_empty() -> bool:
    if request.mimetype == "application/json":
        return True
    has_body = bool(request.content_length) or "Transfer-Encoding" in request.headers
    return not has_body and not request.mimetype


def _has_only_bearer_token() -> bool:
    """A bearer token is never sent by a browser on its own; beside a session cookie it proves nothing."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
    return scheme == "bearer" and cookie_name(SESSION_COOKIE) not in request.cookies


def _token_refused(_error: CSRFError) -> Response:
    return errors.respond(errors.AppError(403, "csrf_failed", _EXPIRED))
