"""The cookie that carries a session's token."""

from flask import Response, request

from services.auth.constants import SESSION_LIFETIME
from shared.web.csrf import SESSION_COOKIE
from shared.web.origin import cookie_name, current_origin


def session_token() -> str | None:
    """The token that the browser came with."""
    return request.cookies.get(cookie_name(SESSION_COOKIE)) or None


def give_session(response: Response, token: str) -> None:
    """Have the browser keep the token for as long as a session can last."""
    response.set_cookie(
        cookie_name(SESSION_COOKIE),
        token,
        max_age=SESSION_LIFETIME,
        path="/",
        secure=current_origin().secure,
        httponly=True,
        samesite="Lax",
    )


def take_session(response: Response) -> None:
    """Have the browser forget the token."""
    response.delete_cookie(
        cookie_name(SESSION_COOKIE), path="/", secure=current_origin().secure, httponly=True, samesite="Lax"
    )
