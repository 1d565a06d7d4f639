"""The web application of signals."""

from pathlib import Path

from apiflask import APIFlask

from services.signals.algorithm_pages import algorithm_pages
from services.signals.api import api
from services.signals.config import Settings
from services.signals.ledger_api import ledger_api
from services.signals.lineup import Lineup
from services.signals.offered import LINEUP
from services.signals.pages import pages
from services.signals.record_pages import record_pages
from shared.db.engine import Database
from shared.settings import load
from shared.web import api_docs
from shared.web import app as web

TEMPLATES = Path(__file__).parent / "templates"
PUBLIC = ("/api/v1/track-record",)
ABOUT = "What every algorithm thinks of every ticker, why, since when, and the candles that it knows."


def create_app(settings: Settings | None = None, database: Database | None = None) -> APIFlask:
    """The application; without settings they come from the environment. Opens no connection.

    Raises LineupError.
    """
    settings = settings or load(Settings)
    database = database or Database(settings.database_url, application_name="signals-web")
    app = web.create_app("signals", settings, database, templates=TEMPLATES)
    app.extensions[LINEUP] = Lineup.of(settings)
    app.register_blueprint(api)
    app.register_blueprint(ledger_api)
    app.register_blueprint(pages)
    app.register_blueprint(record_pages)
    app.register_blueprint(algorithm_pages)
    api_docs.init_app(app, "signals", settings, page="/api/docs", about=ABOUT, public=PUBLIC)
    return app
