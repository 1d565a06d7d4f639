"""The web app of notify."""

from flask import Flask

from services.notify.config import Settings
from shared.db.engine import Database


def create_app(settings: Settings | None = None, database: Database | None = None) -> Flask:
    """The app with its pages, API and health routes; None loads settings from the environment."""
    raise NotImplementedError
