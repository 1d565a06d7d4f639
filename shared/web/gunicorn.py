"""Configuration of gunicorn: ``gunicorn -c python:shared.web.gunicorn 'services.auth.app:create_app()'``.

Sync workers behind NGINX, which buffers slow clients: one per core was the fastest measured. The metrics
library must not be imported before gunicorn has set its folder, so nothing here imports it at the top.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from shared.settings import Settings, load


class WebSettings(Settings):
    """What a web process reads beside its service's own settings."""

    port: int = 8000
    web_concurrency: int | None = None


_settings = load(WebSettings)
_memory = Path("/dev/shm")  # noqa: S108 - tmpfs: heartbeats must not wait for a disk
_scratch = str(_memory) if os.access(_memory, os.W_OK) else None
_metrics_dir = tempfile.mkdtemp(prefix="boritrader-metrics-", dir=_scratch)

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


def child_exit(_server: Any, worker: Any) -> None:
    """Drop the live gauges of a worker that ended."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - see the module's docstring

    mark_process_dead(worker.pid, _metrics_dir)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    """Leave nothing behind."""
    shutil.rmtree(_metrics_dir, ignore_errors=True)
