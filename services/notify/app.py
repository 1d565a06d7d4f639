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
from shared.web import api_docs
from shared.web import app as web

TEMPLATES = Path(__file__).parent / "templates"
ABOUT = "Your alerts, and what you were told."


def create_app(settings: Settings | None = None, database: Database | None = None) -> APIFlask:
    """The app with its pages and API; None loads settings from the environment. Opens no connection."""
    settings = settings or load(Settings)
    database = database or Database(settings.database_url, application_name="notify-web")
    app = web.create_app(SERVICE, settings, database, templates=TEMPLATES)
    app.jinja_env.filters |= {"number": number, "seconds": seconds}
    app.extensions[TOKENS] = UnsubscribeTokens(settings.secret_key)
    app.register_blueprint(api)
    app.register_blueprint(pages)
    api_docs.init_app(app, SERVICE, settings, page="/api/docs/notify", about=ABOUT)
    if settings.embedded and settings.mail_folder is not None:
        app.register_blueprint(dev_mail.blueprint(settings.mail_folder))
    return app
