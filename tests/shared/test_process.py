"""Loops are watched, restarted and stopped; a process tells whether it lives."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from shared.db.engine import Database
from shared.process import HealthServer, Periodic, Supervisor

ROOT = Path(__file__).resolve().parents[2]


class Scripted:
    """A loop whose body is a function."""

    def __init__(self, name: str, body: Callable[[threading.Event, Callable[[], None]], None]) -> None:
        self.name = name
        self.run = body


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    assert made.stop(10) == []


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_crashed_loop_is_started_again_and_others_go_on(supervisor: Supervisor) -> None:
    third_start, others = threading.Event(), threading.Event()
    starts: list[int] = []

    def crash(stop: threading.Event, _beat: Callable[[], None]) -> None:
        starts.append(1)
        if len(starts) == 1:
            raise ZeroDivisionError
        if len(starts) == 2:
            return
        third_start.set()
        stop.wait()

    def go_on(stop: threading.Event, _beat: Callable[[], None]) -> None:
        others.set()
        stop.wait()

    supervisor.start([Scripted("crash", crash), Scripted("calm", go_on)])
    assert third_start.wait(10)
    assert others.is_set()


def test_two_loops_of_one_name_are_refused(supervisor: Supervisor) -> None:
    def rest(stop: threading.Event, _beat: Callable[[], None]) -> None:
        stop.wait()

    loop = Scripted("same", rest)
    with pytest.raises(ValueError, match="two loops are called same"):
        supervisor.start([loop, loop])


def test_a_loop_that_does_not_stop_is_named() -> None:
    release, started = threading.Event(), threading.Event()

    def stubborn(_stop: threading.Event, _beat: Callable[[], None]) -> None:
        started.set()
        release.wait()

    supervisor = Supervisor()
    supervisor.start([Scripted("stubborn", stubborn)])
    assert started.wait(5)
    assert supervisor.stop(0.05) == ["stubborn"]
    release.set()
    assert supervisor.stop(5) == []


def test_a_periodic_job_survives_its_failures(supervisor: Supervisor) -> None:
    third = threading.Event()
    calls: list[int] = []

    def job() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        if len(calls) == 3:
            third.set()

    supervisor.start([Periodic("job", 0.01, job)])
    assert third.wait(10)


def test_health_tells_of_a_loop_that_stands_still(supervisor: Supervisor) -> None:
    turned = threading.Event()

    def stand_still(stop: threading.Event, beat: Callable[[], None]) -> None:
        beat()
        turned.set()
        stop.wait()

    health = HealthServer(0, supervisor, lambda: None)
    supervisor.start([Scripted("still", stand_still)])
    assert turned.wait(5)
    assert get(health.port, "/healthz") == (200, '{"status": "ok", "stale": []}')
    assert supervisor.stale(0.0) == ["still"]
    patient = HealthServer(0, supervisor, lambda: None, beat_seconds=0.0)
    status, body = get(patient.port, "/healthz")
    assert (status, json.loads(body)) == (503, {"status": "stale", "stale": ["still"]})
    health.close()
    patient.close()


def test_readiness_and_metrics_are_served(supervisor: Supervisor) -> None:
    faults: list[Exception] = [RuntimeError("secret detail")]

    def ready() -> None:
        if faults:
            raise faults[0]

    health = HealthServer(0, supervisor, ready)
    status, body = get(health.port, "/readyz")
    assert (status, json.loads(body)) == (503, {"status": "not ready", "reason": "RuntimeError"})
    faults.clear()
    assert get(health.port, "/readyz")[0] == 200
    status, body = get(health.port, "/metrics")
    assert status == 200
    assert "bus_dead_letters" in body
    assert get(health.port, "/secret")[0] == 404
    health.close()


PROGRAM = """
import sys, threading
from shared import logs, process

logs.configure("test")

class Slow:
    name = "slow"
    def run(self, stop, beat):
        print("running", flush=True)
        stop.wait()
        print("finished", flush=True)

sys.exit(process.run([Slow()], name="test", health_port=None, ready=lambda: None))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            os.kill(process.pid, number)
            output, _ = process.communicate(timeout=20)
            assert (output, process.returncode) == ("finished\n", 0)
        finally:
            process.kill()


def unreachable(_stop: threading.Event, _beat: Callable[[], None]) -> None:
    with Database("postgresql+psycopg://nobody@127.0.0.1:1/none", application_name="test").read():
        pass


def in_a_group(stop: threading.Event, beat: Callable[[], None]) -> None:
    try:
        unreachable(stop, beat)
    except SQLAlchemyError as error:
        raise ExceptionGroup("tasks", [error]) from None


def broken(_stop: threading.Event, _beat: Callable[[], None]) -> None:
    raise ValueError("a fault of ours")


@pytest.mark.parametrize(
    ("body", "said", "unsaid"),
    [
        (unreachable, "database is away", "Traceback"),
        (in_a_group, "database is away", "Traceback"),
        (broken, "a fault of ours", "away"),
    ],
)
def test_a_database_that_is_away_is_one_line_and_any_other_failure_a_traceback(
    supervisor: Supervisor,
    caplog: pytest.LogCaptureFixture,
    body: Callable[..., None],
    said: str,
    unsaid: str,
) -> None:
    again = threading.Event()
    turns: list[int] = []

    def run(stop: threading.Event, beat: Callable[[], None]) -> None:
        turns.append(1)
        if len(turns) > 1:
            again.set()
            stop.wait()
            return
        body(stop, beat)

    supervisor.start([Scripted("work", run)])
    assert again.wait(10)
    assert said in caplog.text
    assert unsaid not in caplog.text
