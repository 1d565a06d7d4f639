"""Logs: JSON lines to standard error and, if wanted, into one file per process; one id per cause."""

import contextvars
import logging
import logging.handlers
import re
import sys
import uuid
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

BACKUPS = 3
SCRUBBED = "[scrubbed]"

_correlation: contextvars.ContextVar[str | None] = contextvars.ContextVar("correlation_id", default=None)
_SECRET_NAME = re.compile(
    r"pass(word|phrase|wd)|secret|token|authori[sz]ation|cookie|api_?key|private_?key|credential|dsn|otp|x-identity",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^\s/@]+@", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.IGNORECASE)


def correlation_id() -> str:
    """The id of the cause that is being handled; a fresh one for each call where none is bound."""
    return _correlation.get() or str(uuid.uuid4())


def bind_correlation(value: str) -> contextvars.Token[str | None]:
    """From here on, in this thread or task, logs and events belong to the cause ``value``."""
    return _correlation.set(value)


def unbind_correlation(token: contextvars.Token[str | None]) -> None:
    """Go back to the cause before ``bind_correlation``, which gave the token."""
    _correlation.reset(token)


@contextmanager
def correlated(value: str) -> Iterator[None]:
    """The block belongs to the cause ``value``; after it the former one is back."""
    token = bind_correlation(value)
    try:
        yield
    finally:
        unbind_correlation(token)


def configure(
    process_name: str, log_dir: Path | None = None, level: str = "INFO", *, console: bool = True
) -> None:
    """Send all logs of the process, structlog's and the library's, as JSON to standard error.

    With ``log_dir`` also to ``<process_name>.log`` there, begun anew at midnight with 3 backups. Only one
    process may write a file, so processes of one role need names of their own. An unwritable folder
    costs the file, never the process. ``console=False`` leaves standard error to what people are told.
    """
    use_standard_logging()
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _add_extras,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _add_process(process_name),
            _add_correlation,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            scrub,
            structlog.processors.JSONRenderer(default=str),
        ],
        use_get_message=True,
    )
    root = logging.getLogger()
    for handler in list(root.handlers):
        if getattr(handler, "boritrader", False):
            root.removeHandler(handler)
            handler.close()
    handlers: list[logging.Handler] = (
        [logging.StreamHandler(sys.stderr)] if console or log_dir is None else []
    )
    refused: OSError | None = None
    if log_dir is not None:
        try:
            handlers.append(_DailyFile(log_dir, process_name))
        except OSError as error:
            refused = error
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.boritrader = True  # type: ignore[attr-defined]  # marks ours for the next call
        root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    for chatty in ("urllib3", "botocore", "werkzeug", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # it reports each refused connection as a dozen errors; what matters of them the bus logs itself
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    if refused is not None:
        logging.getLogger(__name__).critical("the log folder can't be written: %s", refused.strerror)


def use_standard_logging() -> None:
    """Let structured logs go the way of the standard library's; ``configure`` does it, a test may need to."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structured logger: ``logger(__name__).info("what happened", key=value)``."""
    bound: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return bound


def scrub(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take secrets out of a log line: values under telling names, credentials inside texts."""
    return {key: _scrubbed(key, value) for key, value in event.items()}


def scrub_text(text: str) -> str:
    """The text without passwords in addresses and without authorisation headers."""
    return _BEARER.sub(rf"\1 {SCRUBBED}", _URL_PASSWORD.sub(rf"\g<scheme>{SCRUBBED}@", text))


class _DailyFile(logging.handlers.TimedRotatingFileHandler):
    """The log file of one process; a full disk loses lines here, and nothing else happens."""

    def __init__(self, log_dir: Path, process_name: str) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        super().__init__(
            log_dir / f"{process_name}.log", when="midnight", backupCount=BACKUPS, encoding="utf-8", utc=True
        )

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - logging's shape
        # standard error has the line already
        return


def _scrubbed(key: str, value: Any) -> Any:
    if _SECRET_NAME.search(key) and value is not None:
        return SCRUBBED
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, dict):
        return {name: _scrubbed(str(name), item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed("", item) for item in value]
    return value


_EXTRAS = structlog.stdlib.ExtraAdder()


def _add_extras(logger_: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The library's ``extra=``; on structlog's own records it would only find structlog's machinery."""
    return event if event["_from_structlog"] else _EXTRAS(logger_, method, event)


def _add_process(name: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = name
        return event

    return add


def _add_correlation(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    bound = _correlation.get()
    if bound is not None:
        event.setdefault("correlation_id", bound)
    return event
