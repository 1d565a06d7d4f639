"""Every request has an id, and leaves one line in the log."""

import re
import time
import uuid

from flask import Flask, Response, g, request

from shared.logs import bind_correlation, logger, unbind_correlation

HEADER = "X-Request-ID"
_GOOD_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_QUIET = ("/healthz", "/readyz", "/metrics")
log = logger("access")


def init_app(app: Flask, service: str) -> None:
    """Take the gateway's request id or make one; bind it to logs and events; log the request once."""

    @app.before_request
    def _begin() -> None:
        given = request.headers.get(HEADER, "")
        g.request_started = time.perf_counter()
        g.request_id = given if _GOOD_ID.fullmatch(given) else uuid.uuid4().hex
        g.correlation = bind_correlation(g.request_id)

    @app.teardown_request
    def _forget(_error: BaseException | None) -> None:
        # the thread goes on to other work, which is not this request's
        if "correlation" in g:
            unbind_correlation(g.pop("correlation"))

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers[HEADER] = request_id()
        if request.path not in _QUIET:
            # The rule, not the path: paths carry reset and unsubscribe tokens.
            rule = request.url_rule.rule if request.url_rule is not None else "unmatched"
            log.info(
                "request",
                service=service,
                method=request.method,
                route=rule,
                status=response.status_code,
                ms=round((time.perf_counter() - g.request_started) * 1000, 1),
            )
        return response


def request_id() -> str:
    """The id of the current request, which people see on an error page and quote to support."""
    return str(g.get("request_id", ""))
