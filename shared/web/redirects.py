"""Where to go after a form: only ever a place of our own."""

import re
from urllib.parse import unquote, urlencode, urlsplit

from flask import request

HOME = "/dashboard"
_TREACHEROUS = re.compile(r"[\\\x00-\x1f\x7f]")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*")


def safe_next(target: str | None, default: str = HOME) -> str:
    r"""``target`` when it is a path of this site, else ``default``.

    Refuses whatever a browser could read as another host or scheme: ``//evil``, ``/\evil``,
    ``/%09/evil``, ``javascript:``, control characters, and what hides them by percent-encoding twice.
    """
    if not target or len(target) > 2000 or not _PLAIN_PATH.fullmatch(target):
        return default
    decoded = target
    for _ in range(3):
        if decoded.startswith("//") or _TREACHEROUS.search(decoded):
            return default
        decoded = unquote(decoded)
    parts = urlsplit(target)
    return default if parts.scheme or parts.netloc else target


def login_link() -> str:
    """The login page, which leads back here afterwards; from a form, whose address takes no GET, home."""
    here = request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else HOME
    target = safe_next(here)
    return "/login" if target == HOME else f"/login?{urlencode({'next': target})}"
