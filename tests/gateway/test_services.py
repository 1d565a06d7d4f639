"""The public routes of the real services and those of the gateway are the same."""

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from flask import Flask

import services.auth.app
import services.auth.config
import services.billing.app
import services.billing.config
import services.notify.app
import services.notify.config
import services.signals.app
import services.signals.config
from embedded.keys import load_or_make
from embedded.mount import OWN_OF_EACH, Mount
from embedded.nginx import GATEWAY
from shared.db.engine import Database
from shared.settings import load

NEVER_PUBLIC = re.compile(r"/internal/")
LISTED = re.compile(r"^location (=|\^~) (\S+) +\{.*proxy_pass http://(\w+);", re.MULTILINE)
URL = "postgresql+psycopg://nobody@127.0.0.1:1/none"


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Flask]]:
    """All apps as the embedded default composes them; they open no connection."""
    keys = load_or_make(tmp_path_factory.mktemp("keys") / "keys.json")
    common: dict[str, Any] = {
        "database_url": URL,
        "secret_key": keys.secret_key,
        "identity_public_keys": keys.identity_public_keys,
        "embedded": True,
    }
    database = Database(URL, application_name="test")
    yield {
        "auth": services.auth.app.create_app(
            load(services.auth.config.Settings, **common, identity_private_key=keys.identity_private_key),
            database,
        ),
        "billing": services.billing.app.create_app(
            load(services.billing.config.Settings, **common), database
        ),
        "signals": services.signals.app.create_app(
            load(services.signals.config.Settings, **common), database
        ),
        "notify": services.notify.app.create_app(
            load(
                services.notify.config.Settings,
                **common,
                mail_url="file:mail",
                mail_from="a@boritrader.example",
            ),
            database,
        ),
    }
    database.dispose()


def listed() -> list[tuple[str, str, str]]:
    """(kind, path, service) of every route of the gateway that goes to a service."""
    return cast("list[tuple[str, str, str]]", LISTED.findall((GATEWAY / "routes.conf").read_text()))


def receiver(path: str) -> str | None:
    """Who gets a path, as NGINX decides."""
    for kind, route, service in listed():
        if (kind == "=" and path == route) or (kind == "^~" and path.startswith(route)):
            return service
    return None


def test_every_public_route_of_a_service_reaches_it_through_the_gateway(apps: dict[str, Flask]) -> None:
    for name, app in apps.items():
        for rule in app.url_map.iter_rules():
            path = re.sub("<[^>]+>", "x", rule.rule)
            expected = None if rule.rule in OWN_OF_EACH or NEVER_PUBLIC.match(path) else name
            assert receiver(path) == expected, (
                f"{name} has {rule.rule}, the gateway sends it to {receiver(path)}"
            )


def test_every_route_of_the_gateway_is_one_of_a_service(apps: dict[str, Flask]) -> None:
    mount = Mount(apps)
    for kind, route, service in listed():
        if service == "live":
            continue
        path = route if kind == "=" else f"{route}00000000-0000-0000-0000-000000000000"
        assert mount.owner(path) == service, f"no rule of {service} answers {route}"
