"""Alive, and ready to serve."""

from typing import Any

from flask import Flask

from shared.db.engine import Database
from shared.logs import logger

log = logger(__name__)


def init_app(app: Flask, service: str, database: Database) -> None:
    """Answer ``/healthz`` (this process takes requests) and ``/readyz`` (database reachable and migrated)."""

    @app.get("/healthz")
    def _alive() -> dict[str, Any]:
        return {"status": "ok", "service": service}

    @app.get("/readyz")
    def _ready() -> tuple[dict[str, Any], int]:
        try:
            database.ready(service)
        except Exception as error:  # noqa: BLE001 - whatever stands between us and the database, the answer is no
            log.warning("not_ready", service=service, error=type(error).__name__)
            return {"status": "not ready", "service": service}, 503
        return {"status": "ready", "service": service}, 200
