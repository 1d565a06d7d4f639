"""How often somebody may do something: counted over all processes in Redis, and without it in memory."""

import time

from flask import Flask, Response, current_app
from flask_limiter import Limiter, RateLimitExceeded

from shared.settings import ServiceSettings
from shared.web import errors
from shared.web.client import client_network
from shared.web.limit_storage import uri_of


def _caller() -> str:
    # Services share one Redis, and two may have an endpoint of one name.
    return f"{current_app.extensions['boritrader_service']}:{client_network()}"


limiter = Limiter(_caller, strategy="moving-window")
"""``@limiter.limit("5 per minute")`` on a view counts per caller's network unless ``key_func`` says else."""


def init_app(app: Flask, service: str, settings: ServiceSettings) -> None:
    """Count in the Redis of the settings; without one, each process for itself."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    app.extensions["boritrader_service"] = service
    app.config["RATELIMIT_STORAGE_URI"] = uri_of(url)
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _too_often)


def _too_often(_error: RateLimitExceeded) -> Response:
    limit = limiter.current_limit
    wait = max(1, int(limit.reset_at - time.time())) if limit else errors.RETRY_SOON_SECONDS
    return errors.respond(errors.of_status(429, headers={"Retry-After": str(wait)}))
