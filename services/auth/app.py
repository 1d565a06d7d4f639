"""The web application of auth."""

from pathlib import Path

from apiflask import APIFlask

from services.auth.api import api
from services.auth.collaborators import Collaborators, keep
from services.auth.config import Settings
from services.auth.pages import pages
from services.auth.passwords import Passwords
from services.auth.tokens import IdentitySigner
from shared.db.engine import Database
from shared.settings import load
from shared.web import app as web

TEMPLATES = Path(__file__).parent / "templates"


def create_app(
    settings: Settings | None = None, database: Database | None = None, *, passwords: Passwords | None = None
) -> APIFlask:
    """The application; without settings they come from the environment. Opens no connection."""
    settings = settings or load(Settings)
    database = database or Database(settings.database_url, application_name="auth-web")
    app = web.create_app("auth", settings, database, templates=TEMPLATES)
    signer = IdentitySigner(settings.identity_private_key.get_secret_value())
    keep(app, Collaborators(passwords or Passwords(), signer))
    app.register_blueprint(api)
    app.register_blueprint(pages)
    return app
