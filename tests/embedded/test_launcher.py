"""`python -m embedded` as a person starts it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from embedded.__main__ import live_outlook, outlook, prepare
from embedded.config import LaunchSettings
from embedded.processes import StartError, command_line, free_port, port_is_free, read_pid
from services.signals.feeds.plan import Plan
from services.signals.feeds.replay import Rest
from tests.signals.local_market import settings
from tests.signals.packages import install
from tests.support import wire
from tests.support.person import Person, ask_until_prepared

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
STOP_SECONDS = 20
MAIL_SECONDS = 30
ASKED_ALGORITHM = "simple_trend_ride"


class Launched:
    """A run of the launcher with an environment of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.port = int(environment["PORT"]) if environment["PORT"].isdigit() else 0
        self.data_dir = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "embedded"],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder.parent),
                "DATA_DIR": str(folder),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.printed: list[str] = []

    def wait_ready(self) -> None:
        timer = threading.Timer(START_SECONDS, self.process.kill)
        timer.start()
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line)
            if "Stop with Ctrl-C" in line:
                break
        else:
            assert self.process.stderr is not None
            pytest.fail(f"it did not start: {''.join(self.printed)}{self.process.stderr.read()}")
        timer.cancel()

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        self.process.communicate(timeout=STOP_SECONDS)
        return self.process.returncode

    def servers(self) -> list[int]:
        files = ("postgres/cluster/postmaster.pid", "valkey/valkey.pid", "nginx/launched.pid")
        found = [read_pid(self.data_dir / file) for file in files]
        return [pid for pid in found if pid is not None]


@pytest.fixture
def data_dir(server_dir: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix="my run ", dir=server_dir)) / "var"


def refused(data_dir: Path, **environment: str) -> str:
    """What a start that can't be says on standard error; its status is 2."""
    launched = Launched(data_dir, {"PORT": str(free_port()), **environment})
    _, complaint = launched.process.communicate(timeout=START_SECONDS)
    assert launched.process.returncode == 2, complaint
    return complaint


@pytest.mark.alone
def test_a_new_user_registers_is_told_and_finds_everything_again_after_a_restart(data_dir: Path) -> None:
    environment = {"PORT": str(free_port()), "REPLAY_SPEED": "20"}
    first = Launched(data_dir, environment)
    first.wait_ready()
    url = f"http://127.0.0.1:{first.port}"
    text = "".join(first.printed)
    assert "The recorded candles end shortly, then nothing changes any more." in text
    assert re.search(r"PostgreSQL … [\d.]+ s", text)
    for path in ("/register", "/alerts", "/dashboard", "/dev/mail"):
        assert url + path in text
    person = Person(url)
    assert person.register().status_code == 303
    assert person.log_in().status_code in (302, 303)
    assert ask_until_prepared(person, ASKED_ALGORITHM, None).status_code == 201
    mails = _mails(person, "Welcome", "→")
    assert {path.suffix for path in (data_dir / "mail").iterdir()} == {".eml"}
    secrets = (data_dir / "secrets.json").read_bytes()
    assert json.loads(secrets)["secret_key"] not in (data_dir / "logs" / "boritrader.log").read_text()
    servers = first.servers()
    assert len(servers) == 3
    assert first.end(signal.SIGINT) == 0
    assert [pid for pid in servers if str(data_dir) in command_line(pid)] == []
    assert port_is_free(first.port)

    second = Launched(data_dir, environment)
    second.wait_ready()
    assert person.get("/dashboard").status_code == 200, "the session of before the restart is still good"
    assert len(mails) <= len(_mails(person, "Welcome", "→"))
    assert second.end(signal.SIGTERM) == 0
    assert (data_dir / "secrets.json").read_bytes() == secrets


def _mails(person: Person, *wanted: str) -> list[str]:
    pause, deadline = threading.Event(), time.monotonic() + MAIL_SECONDS
    page = ""
    while not all(text in page for text in wanted):
        assert time.monotonic() < deadline, f"no mail with {wanted} came: {page[-2000:]}"
        pause.wait(0.1)
        page = person.get("/dev/mail").text
    return re.findall(r"/dev/mail/[\w.-]+", page)


@pytest.mark.alone
def test_a_start_after_a_kill_takes_over_from_the_dead(data_dir: Path) -> None:
    environment = {"PORT": str(free_port())}
    first = Launched(data_dir, environment)
    first.wait_ready()
    servers = first.servers()
    first.end(signal.SIGKILL)
    assert [pid for pid in servers if str(data_dir) in command_line(pid)] == servers
    second = Launched(data_dir, environment)
    second.wait_ready()
    assert [pid for pid in servers if str(data_dir) in command_line(pid)] == []
    assert wire.request(second.port, "/pricing").status == 200
    complaint = refused(data_dir, PORT=str(free_port()))
    holder = f"another running instance (process {second.process.pid})"
    assert complaint == f"boritrader: the folder {data_dir} is in use by {holder}\n"
    assert second.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        (Rest(983, 983), "last about 16 minutes"),
        (Rest(9830, 9830), "last about 3 hours"),
        (Rest(983, 0), "end shortly"),
        (Rest(0, 0), "have ended, so nothing changes any more"),
    ],
)
def test_how_long_the_recording_lasts_and_how_to_begin_again_is_told(rest: Rest, told: str) -> None:
    assert outlook(rest).startswith(f"The recorded candles {told}")
    assert "To begin again:\n  DATA_DIR=" in outlook(rest)


def test_when_candles_of_exchanges_come_is_told(tmp_path: Path) -> None:
    plan = Plan.of(settings("postgresql+psycopg://nowhere/x", feed="ccxt:kraken,binance"))
    told = live_outlook(plan, tmp_path)
    assert told.startswith("Candles come from kraken and binance: first the history of every ticker")
    assert "one each hour as it closes" in told
    assert str(tmp_path / "logs" / "boritrader.log") in told
    assert "recorded" not in told


def stopped_by(**settings: Any) -> str:
    """Why a start in this process stops before it has started anything."""
    with contextlib.ExitStack() as parts, pytest.raises(StartError) as caught:
        prepare(LaunchSettings(**settings), parts)
    return str(caught.value)


def test_a_taken_port_is_told(data_dir: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        complaint = stopped_by(data_dir=data_dir, port=port)
    assert complaint == f"port {port} is taken by another program; choose one with PORT=…"


def test_a_data_folder_that_is_none_is_told(data_dir: Path) -> None:
    data_dir.write_text("a file")
    assert stopped_by(data_dir=data_dir) == f"the folder {data_dir} can't be used: File exists"


def test_missing_static_files_are_told_before_anything_is_made(data_dir: Path) -> None:
    complaint = stopped_by(data_dir=data_dir, build_dir="/nowhere")
    assert complaint == "the static files in /nowhere are missing: run `make setup`"
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("environment", "told"),
    [({"PORT": "abc"}, "PORT is wrong"), ({"FEED": "nonsense"}, "FEED is 'nonsense'; it must be replay:DIR")],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    data_dir: Path, environment: dict[str, str], told: str
) -> None:
    complaint = refused(data_dir, **environment)
    assert complaint.startswith(f"boritrader: {told}")
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (
            "time,open\n2020-01-01,1\n",
            ["{file}:1: the header lacks high, low, close, volume", "{folder}: 1 rows skipped"],
        ),
        (None, []),
    ],
)
def test_a_feed_with_nothing_to_show_says_why_before_anything_is_made(
    data_dir: Path, file: str | None, told: list[str]
) -> None:
    feed = data_dir.parent / "feed"
    feed.mkdir()
    if file is not None:
        (feed / "AAA.csv").write_text(file)
    lines = [*told, "FEED: {folder} holds no readable TICKER.csv"]
    expected = [f"boritrader: {line.format(file=feed / 'AAA.csv', folder=feed)}" for line in lines]
    assert refused(data_dir, FEED=f"replay:{feed}").splitlines() == expected
    assert not (data_dir / "postgres").exists()


@pytest.mark.alone
def test_a_relative_feed_is_found_and_what_is_broken_is_told(data_dir: Path) -> None:
    feed = data_dir.parent / "feed"
    feed.mkdir()
    rows = [f"2020-01-{day:02},1,2,0.5,1.5,10" for day in range(1, 9)]
    header, broken = "time,open,high,low,close,volume", "2020-01-09,1,2,0.5,x,1"
    (feed / "GOOD.csv").write_text("\n".join([header, *rows, broken]))
    packages = data_dir.parent / "packages"
    packages.mkdir()
    install(packages, "broken_rules", "raise OSError('no licence')", {"broken": "broken_rules:Rules"})
    launched = Launched(
        data_dir,
        {
            "PORT": str(free_port()),
            "FEED": f"replay:{os.path.relpath(feed, ROOT)}",
            "REPLAY_SPEED": "0",
            "PYTHONPATH": str(packages),
        },
    )
    launched.wait_ready()
    launched.process.send_signal(signal.SIGTERM)
    _, complaint = launched.process.communicate(timeout=STOP_SECONDS)
    assert f"boritrader: {feed / 'GOOD.csv'}:10: close is not a number: 'x'\n" in complaint
    assert complaint.count("broken-rules") == 1
    assert (
        "boritrader: the algorithm broken can't be loaded and does not run: package broken-rules: importing"
        " broken_rules:Rules raised OSError: no licence\n"
    ) in complaint
