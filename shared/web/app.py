"""The app factory: every service's web process is made of this."""

from pathlib import Path

from apiflask import APIFlask
from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined

from shared.db.engine import Database
from shared.settings import ServiceSettings
from shared.web import (
    access,
    bodies,
    csrf,
    errors,
    filters,
    forms,
    headers,
    health,
    identity,
    json,
    limits,
    metrics,
    origin,
    static,
    unit_of_work,
)

TEMPLATES = Path(__file__).parent / "templates"
BODY_LIMIT_BYTES = 1024 * 1024
FORM_MEMORY_LIMIT_BYTES = 256 * 1024
FORM_PARTS_LIMIT = 200


def create_app(
    service: str, settings: ServiceSettings, database: Database, *, templates: Path | None = None
) -> APIFlask:
    """An app with everything that is the same in all services; the caller registers its blueprints on it.

    ``templates`` is the service's own template folder, whose files stand under ``<service>/``.
    Opens no connection: the first request does.
    """
    app = APIFlask(
        __name__,
        title=f"Boritrader {service}",
        version="1",
        static_folder=None,  # type: ignore[arg-type]  # NGINX serves the built files
        json_errors=False,
        docs_path=None,
        spec_path=None,  # a service that has a public API serves its document by api_docs
    )
    app.json = json.OrjsonProvider(app)
    app.secret_key = settings.secret_key.get_secret_value()
    app.config.update(
        MAX_CONTENT_LENGTH=BODY_LIMIT_BYTES,
        MAX_FORM_MEMORY_SIZE=FORM_MEMORY_LIMIT_BYTES,
        MAX_FORM_PARTS=FORM_PARTS_LIMIT,
        VALIDATION_ERROR_STATUS_CODE=400,
    )
    folders = [FileSystemLoader(folder) for folder in (templates, TEMPLATES) if folder is not None]
    app.jinja_loader = ChoiceLoader(folders)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters["price"] = filters.price
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    origin.init_app(app, settings)
    # The order counts: a request gets its id before anything can refuse it, and its identity before CSRF.
    access.init_app(app, service)
    metrics.init_app(app, service)
    headers.init_app(app)
    errors.init_app(app)
    identity.init_app(app, settings)
    csrf.init_app(app)
    bodies.init_app(app)
    limits.init_app(app, service, settings)
    unit_of_work.init_app(app, database)
    static.init_app(app, settings)
    forms.init_app(app)
    health.init_app(app, service, database)
    return app
