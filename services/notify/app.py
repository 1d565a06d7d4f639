"""The web app of notify."""

from pathlib import Path

from apiflask import APIFlask

from services.notify import dev_mail
from services.notify.api import api
from services.notify.composing import number, seconds
from services.notify.config import Settings
from services.notify.constants import SERVICE
from services.notify.pages import TOKENS, pages
from services.notify.unsubscribing import UnsubscribeTokens
from shared.db.engine import Database
from shared.settings import load
from shared.web import app as web

TEMPLATES = Path(__file__).parent / "templates"


def create_app(settings: Settings | None = None, database: Database | None = None) -> APIFlask:
    """The app with its pages and API; None loads settings from the environment. Opens no connection."""
    settings = settings or load(Settings)
    database = database or Database(settings.database_url, application_name="notify-web")
    app = web.create_app(SERVICE, settings, database, templates=TEMPLATES)
    app.jinja_env.filters |= {"number": number, "seconds": seconds}
    app.extensions[TOKENS] = UnsubscribeTokens(settings.secret_key)
    app.register_blueprint(api)
    app.register_blueprint(pages)
    if settings.embedded and settings.mail_folder is not None:
        app.register_blueprint(dev_mail.blueprint(settings.mail_folder))
    return app
