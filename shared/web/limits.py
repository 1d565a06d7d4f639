"""How often somebody may do something: counted over all processes in Redis, and without it in memory."""

import time

from flask import Flask, Response
from flask_limiter import Limiter, RateLimitExceeded

from shared.settings import ServiceSettings
from shared.web import errors
from shared.web.client import client_network
from shared.web.limit_storage import uri_of

limiter = Limiter(client_network, strategy="moving-window")
"""``@limiter.limit("5 per minute")`` on a view counts per caller's network unless ``key_func`` says else."""


def init_app(app: Flask, settings: ServiceSettings) -> None:
    """Count in the Redis of the settings; without one, each process for itself."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    app.config["RATELIMIT_STORAGE_URI"] = uri_of(url)
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _too_often)


def _too_often(_error: RateLimitExceeded) -> Response:
    limit = limiter.current_limit
    wait = max(1, round(limit.reset_at - time.time())) if limit else errors.RETRY_SOON_SECONDS
    return errors.respond(errors.of_status(429, headers={"Retry-After": str(wait)}))
