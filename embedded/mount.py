"""One WSGI application of several services: each path belongs to the one service whose routes have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

OWN_OF_EACH = frozenset({"/healthz", "/readyz", "/metrics"})
"""Every service has these on its own port; in one process they belong to none."""


class RouteConflict(Exception):
    """Two services want the same path."""


class Mount:
    """Hands each request to the service that has the route; paths of none are answered 404."""

    def __init__(self, apps: Mapping[str, Flask]) -> None:
        """Read the routes of all services.

        Raises:
            RouteConflict: a path could belong to two services; names both and the path.
        """
        self._apps: dict[str, WSGIApplication] = {name: app.wsgi_app for name, app in apps.items()}
        self._exact: dict[str, str] = {}
        self._below: dict[str, str] = {}
        for name, app in apps.items():
            for literal, open_ended in _routes(app):
                table = self._below if open_ended else self._exact
                holder = table.setdefault(literal, name)
                if holder != name:
                    raise RouteConflict(f"{holder} and {name} both have the route {literal}")
        for prefix, name in self._below.items():
            for path, holder in [*self._exact.items(), *self._below.items()]:
                if path.startswith(prefix) and holder != name:
                    raise RouteConflict(f"{name} has all of {prefix}, and {holder} has {path}")

    def owner(self, path: str) -> str | None:
        """The service that the path belongs to; None when it is nobody's."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        fitting = [prefix for prefix in self._below if path.startswith(prefix)]
        return self._below[max(fitting, key=len)] if fitting else None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """WSGI."""
        owner = self.owner(environ.get("PATH_INFO", ""))
        if owner is None:
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "10")])
            return [b"not found\n"]
        return self._apps[owner](environ, start_response)


def _routes(app: Flask) -> Iterable[tuple[str, bool]]:
    """Each rule as its literal beginning, and whether something variable follows."""
    for rule in app.url_map.iter_rules():
        if rule.rule in OWN_OF_EACH:
            continue
        literal, variable, _ = rule.rule.partition("<")
        yield literal, bool(variable)
