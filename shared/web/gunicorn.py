"""Configuration of gunicorn: ``gunicorn -c python:shared.web.gunicorn 'services.auth.app:create_app()'``.

Sync workers behind NGINX, which buffers slow clients: one per core was the fastest measured. The metrics
library must not be imported before gunicorn has set its folder, so nothing here imports it at the top.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from shared import logs
from shared.settings import Settings, load


class WebSettings(Settings):
    """What a web process reads beside its service's own settings."""

    port: int = 8000
    web_concurrency: int | None = None
    log_dir: Path | None = None
    sentry_dsn: SecretStr | None = None
    environment: str = "production"


_settings = load(WebSettings)
_memory = Path("/dev/shm")  # noqa: S108 - tmpfs: heartbeats must not wait for a disk
_scratch = str(_memory) if os.access(_memory, os.W_OK) else None
_metrics_dir = tempfile.mkdtemp(prefix="boritrader-web-", dir=_scratch)

bind = f"0.0.0.0:{_settings.port}"
workers = _settings.web_concurrency or os.cpu_count() or 1
worker_class = "sync"
worker_tmp_dir = _scratch
raw_env = [f"PROMETHEUS_MULTIPROC_DIR={_metrics_dir}"]
timeout = 30
graceful_timeout = 20
keepalive = 5
max_requests = 20_000
max_requests_jitter = 2_000
limit_request_line = 8190
limit_request_fields = 64
forwarded_allow_ips = ""
accesslog = None
errorlog = "-"
loglevel = "warning"
control_socket_disable = True


def post_fork(_server: Any, worker: Any) -> None:
    """Give the worker its logs and error reports before it loads the app."""
    from shared import monitoring  # noqa: PLC0415 - it imports the metrics library

    name: str = worker.cfg.proc_name
    logs.configure(_log_name(name), _settings.log_dir)
    monitoring.init_sentry(_settings.sentry_dsn, service=name, environment=_settings.environment)


def _log_name(name: str) -> str:
    """A name that no other living worker logs under, since a log file has one writer.

    Workers come and go, so the names are places: the lock on one ends with the worker that holds it.
    """
    place = 0
    while True:
        place += 1
        # kept open, unreferenced, for as long as the worker lives
        held = os.open(Path(_metrics_dir) / f"{name}-{place}.lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
        else:
            return f"{name}-{place}"


def child_exit(_server: Any, worker: Any) -> None:
    """Drop the live gauges of a worker that ended."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - see the module's docstring

    mark_process_dead(worker.pid, _metrics_dir)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    """Leave nothing behind."""
    shutil.rmtree(_metrics_dir, ignore_errors=True)
