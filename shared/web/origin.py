"""Where the site lives, by its setting: never by a header of the request."""

from typing import NamedTuple, cast
from urllib.parse import urlsplit

from flask import Flask, current_app

from shared.settings import ServiceSettings


class Origin(NamedTuple):
    """The public origin; ``text`` is as a browser writes it in its Origin header."""

    text: str
    host: str
    secure: bool


def parse(public_url: str) -> Origin:
    """The origin of a URL, without a default port. Raises ValueError when it is not http or https."""
    parts = urlsplit(public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("PUBLIC_URL must be an http or https address")
    default_port = {"http": 80, "https": 443}[parts.scheme]
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    host = name if parts.port in (None, default_port) else f"{name}:{parts.port}"
    return Origin(f"{parts.scheme}://{host}", host, parts.scheme == "https")


def init_app(app: Flask, settings: ServiceSettings) -> None:
    """Keep the origin with the app."""
    app.extensions["boritrader_origin"] = parse(settings.public_url)


def current_origin() -> Origin:
    """The origin of the app that serves this request."""
    return cast("Origin", current_app.extensions["boritrader_origin"])


def public_link(path: str) -> str:
    """An absolute link to a path of this site, such as a mail needs."""
    return f"{current_origin().text}{path}"


def cookie_name(name: str) -> str:
    """A cookie's name with the ``__Host-`` prefix where the site has TLS, plain on http (localhost)."""
    return f"__Host-{name}" if current_origin().secure else name
