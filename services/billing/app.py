"""The web application of billing."""

from pathlib import Path

from apiflask import APIFlask

from services.billing.config import Settings
from services.billing.pages import pages
from services.billing.plans import current_plans
from shared.db.engine import Database
from shared.settings import load
from shared.web import app as web

TEMPLATES = Path(__file__).parent / "templates"


def create_app(settings: Settings | None = None, database: Database | None = None) -> APIFlask:
    """The application; without settings they come from the environment. Opens no connection.

    Raises InvalidPlans when plans.toml is wrong.
    """
    current_plans()
    settings = settings or load(Settings)
    database = database or Database(settings.database_url, application_name="billing-web")
    app = web.create_app("billing", settings, database, templates=TEMPLATES)
    app.register_blueprint(pages)
    return app
