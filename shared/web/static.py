"""Addresses of built files: names with a hash, cached for a year by browsers and the gateway."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import cast

import orjson
from flask import Flask, current_app

from shared.settings import ServiceSettings

URL_PREFIX = "/static/"
MANIFEST = "manifest.json"


class UnknownStaticFile(KeyError):
    """A page names a file that the build did not make."""


def init_app(app: Flask, settings: ServiceSettings) -> None:
    """Give templates ``static_url('shared/app.css')``; reads the manifest of the build once."""
    manifest = None if settings.static_dir is None else _manifest(settings.static_dir)
    app.extensions["boritrader_static"] = manifest
    app.jinja_env.globals["static_url"] = static_url


def static_url(name: str) -> str:
    """The address of a built file. Without a build (tests) its plain name. Raises UnknownStaticFile."""
    manifest = cast("Mapping[str, str] | None", current_app.extensions["boritrader_static"])
    if manifest is None:
        return URL_PREFIX + name
    try:
        return URL_PREFIX + manifest[name]
    except KeyError:
        raise UnknownStaticFile(name) from None


@lru_cache(maxsize=8)
def _manifest(static_dir: Path) -> Mapping[str, str]:
    path = static_dir / MANIFEST
    try:
        return cast("Mapping[str, str]", orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: build the static files first (make setup)") from None
