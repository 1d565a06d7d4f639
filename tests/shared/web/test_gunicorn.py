"""The real server with our configuration."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from embedded.processes import free_port
from tests.shared.web.conftest import NOWHERE
from tests.shared.web.person import PUBLIC_KEYS

ROOT = Path(__file__).parents[3]
APP = """
from shared.db.engine import Database
from shared.settings import ServiceSettings, load
from shared.web.app import create_app

def create():
    settings = load(ServiceSettings)
    return create_app("demo", settings, Database(settings.database_url, application_name="demo"))
"""


class Server:
    """gunicorn in a process of its own, on a free port."""

    def __init__(self, folder: Path) -> None:
        (folder / "demo_app.py").write_text(APP)
        self.port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{folder}",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "2",
            "DATABASE_URL": NOWHERE,
            "SECRET_KEY": "a-secret-of-thirty-two-characters",
            "IDENTITY_PUBLIC_KEYS": PUBLIC_KEYS,
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "python:shared.web.gunicorn", "demo_app:create()"]
        self.log = folder / "gunicorn.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    def get(self, path: str) -> str:
        """The body of an answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def wait_until_up(self) -> None:
        """Return once it answers; fails after 30 s."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/healthz")
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.log.read_text())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A running server, stopped by its pid."""
    server = Server(tmp_path)
    try:
        server.wait_until_up()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
        server.process.wait(25)


def _folder_of(server: Server) -> Path:
    """Where its workers keep their counts: in memory or, where there is none to write to, on disk."""
    workers = [worker.pid for worker in psutil.Process(server.process.pid).children()]
    found = {
        path.parent
        for worker in workers
        for place in (Path("/dev/shm"), Path(tempfile.gettempdir()))
        for path in place.glob(f"boritrader-*/*_{worker}.db")
    }
    assert len(found) == 1
    return found.pop()


def test_all_workers_are_counted_together(server: Server) -> None:
    before = int(_healthz_count(server))
    for _ in range(40):
        assert json.loads(server.get("/healthz"))["status"] == "ok"
    # Whichever worker is asked, it knows of all.
    counts = {_healthz_count(server) for _ in range(6)}
    assert counts == {before + 40}


def _healthz_count(server: Server) -> int:
    found = re.search(r'http_requests_total\{[^}]*route="/healthz"[^}]*\} (\d+)', server.get("/metrics"))
    assert found is not None
    return int(found[1])


def test_it_stops_on_sigterm_and_leaves_nothing_behind(tmp_path: Path) -> None:
    server = Server(tmp_path)
    try:
        server.wait_until_up()
        folder = _folder_of(server)
    finally:
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(25)
    assert code == 0
    assert not folder.exists()
    assert "Traceback" not in server.log.read_text()
