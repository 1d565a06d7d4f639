"""A service with one route for each thing the web layer does, over a database that nobody reaches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask, Schema
from apiflask.fields import Integer
from flask import Response, flash, render_template_string, request
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from shared.db.engine import Database
from shared.settings import ServiceSettings
from shared.web.app import create_app
from shared.web.csrf import csrf_exempt
from shared.web.errors import AppError
from shared.web.identity import current_identity, login_required
from shared.web.limits import limiter
from shared.web.unit_of_work import read, transaction
from tests.shared.web.person import PUBLIC_KEYS

TEMPLATES = Path(__file__).parent / "templates"
NOWHERE = "postgresql+psycopg://somebody:hunter2-hunter2@127.0.0.1:1/nowhere"
MakeApp = Callable[..., APIFlask]


class Amount(Schema):
    """A body with one number."""

    amount = Integer(required=True)


@pytest.fixture
def make_app() -> MakeApp:
    """``make_app(redis_url=…)`` is an app with such settings and, if given, on such a ``database``."""

    def make(*, service: str = "demo", database: Database | None = None, **changes: Any) -> APIFlask:
        settings = ServiceSettings(
            **{
                "database_url": NOWHERE,
                "secret_key": "a-secret-of-thirty-two-characters",
                "identity_public_keys": PUBLIC_KEYS,
                "public_url": "https://boritrader.test",
            }
            | changes
        )
        app = create_app(
            service,
            settings,
            database or Database(NOWHERE, application_name="test-web"),
            templates=TEMPLATES,
        )
        _add_routes(app)
        return app

    return make


@pytest.fixture
def client(make_app: MakeApp) -> FlaskClient:
    """A browser without a session."""
    return browser(make_app())


class Browser(FlaskClient):
    """Asks at the site's public address, so that it keeps and sends cookies as a browser does."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """One request."""
        kwargs.setdefault("base_url", self.application.extensions["boritrader_origin"].text)
        return super().open(*args, **kwargs)


def browser(app: APIFlask) -> FlaskClient:
    """A browser without a session."""
    return Browser(app, use_cookies=True)


def csrf_of(client: FlaskClient) -> str:
    """The token of a page; the client has its cookie afterwards."""
    return str(client.get("/form").text)


def _add_routes(app: APIFlask) -> None:  # noqa: C901 - a list of routes
    @app.get("/form")
    def form() -> str:
        return render_template_string("{{ csrf_token() }}")

    @app.post("/form")
    @app.post("/api/v1/things", endpoint="create_thing")
    @app.put("/api/v1/things", endpoint="put_thing")
    @app.patch("/api/v1/things", endpoint="patch_thing")
    @app.delete("/api/v1/things", endpoint="delete_thing")
    def change() -> dict[str, Any]:
        return {"done": True, "json": request.get_json(silent=True)}

    @app.post("/webhook")
    @csrf_exempt
    def webhook() -> str:
        return "taken"

    @app.post("/api/v1/amounts")
    @app.input(Amount, location="json")
    def amount(json_data: dict[str, Any]) -> dict[str, Any]:
        return json_data

    @app.get("/private")
    @app.post("/private")
    @app.get("/api/v1/private", endpoint="private_api")
    @login_required
    def private() -> dict[str, str]:
        person = current_identity()
        return {"user_id": person.user_id, "role": person.role, "plan": person.plan, "name": person.user_name}

    @app.get("/whoever")
    def whoever() -> dict[str, str]:
        return {"user_id": current_identity().user_id}

    @app.get("/crash")
    @app.get("/api/v1/crash", endpoint="crash_api")
    def crash() -> str:
        raise RuntimeError("secret detail: hunter2")

    @app.get("/refuse/<int:status>")
    @app.get("/api/v1/refuse/<int:status>", endpoint="refuse_api")
    def refuse(status: int) -> str:
        raise AppError(
            status,
            "no_such_luck",
            "It is <b>not</b> to be.",
            errors=[{"field": "ticker", "message": "is unknown"}],
        )

    @app.get("/api/v1/query")
    def query() -> str:
        with read() as connection:
            return str(connection.scalar(text(request.args.get("sql", "SELECT 1"))))

    @app.get("/api/v1/store")
    def store() -> dict[str, Any]:
        with transaction() as session:
            return {"value": session.scalar(text("SELECT cast(:v AS text)"), {"v": request.args["v"]})}

    @app.get("/limited")
    @app.get("/api/v1/limited", endpoint="limited_api")
    @limiter.limit("5 per minute")
    def limited() -> str:
        return "here you are"

    @app.get("/framed")
    def framed() -> Response:
        return Response("x", headers={"Content-Security-Policy": "sandbox", "Cache-Control": "private"})

    @app.get("/plain")
    def plain() -> str:
        return render_template_string('{% extends "layout.html" %}')

    @app.get("/flash")
    def flashed() -> str:
        flash("Saved <b>it</b>.", "success")
        return "ok"
