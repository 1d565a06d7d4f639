"""The factory makes an app and touches nothing."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared.web.conftest import MakeApp

ROOT = Path(__file__).parents[3]


def test_making_an_app_opens_no_connection(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    make_app(redis_url="redis://127.0.0.1:1/0")


def test_importing_reads_no_settings_and_no_environment() -> None:
    modules = sorted(
        f"shared.web.{path.stem}"
        for path in (ROOT / "shared/web").glob("*.py")
        if path.stem not in ("__init__", "gunicorn")  # its configuration is settings
    )
    program = f"import os; os.environ.clear(); import {', '.join(modules)}"
    subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, check=True, timeout=60)


def test_a_template_names_only_what_it_was_given(make_app: MakeApp) -> None:
    assert make_app().jinja_env.undefined.__name__ == "StrictUndefined"


def test_several_apps_live_in_one_process(make_app: MakeApp) -> None:
    first, second = make_app(public_url="https://one.test"), make_app(public_url="https://two.test")
    assert "wss://one.test" in first.test_client().get("/form").headers["Content-Security-Policy"]
    assert "wss://two.test" in second.test_client().get("/form").headers["Content-Security-Policy"]
