"""Processes made of loops: threads that are watched, restarted and stopped together."""

import http.server
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Protocol, runtime_checkable

from shared import logs, monitoring
from shared.db.engine import is_away

STOP_SECONDS = 25.0
"""From SIGTERM to the end of the process at the latest."""
BEAT_SECONDS = 60.0
"""A loop that has not turned for so long is not alive."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
_CALM_SECONDS = 60.0

Beat = Callable[[], None]
log = logs.logger(__name__)


@runtime_checkable
class Loop(Protocol):
    """Work without end. ``run`` returns soon after ``stop`` is set and calls ``beat`` every few seconds.

    Returning before ``stop`` is set, or raising, is a failure: the loop is started again after a pause.
    """

    @property
    def name(self) -> str:
        """What the loop is called in logs and metrics; unique in its process."""
        ...

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Work until ``stop`` is set."""
        ...


def numbered(name: str, number: int) -> str:
    """The name of the ``number``-th loop of a kind in a process: ``relay``, ``relay-2``, …"""
    return name if number == 1 else f"{name}-{number}"


class Periodic:
    """A loop that calls a function, waits, and calls it again; the first time at once.

    A failing call is logged and the next one comes at its time. Each call is a cause of its own.
    """

    def __init__(self, name: str, every_seconds: float, function: Callable[[], object]) -> None:
        self.name = name
        self._every = every_seconds
        self._function = function

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Call the function until ``stop`` is set."""
        while not stop.is_set():
            beat()
            with logs.correlated(logs.correlation_id()):
                try:
                    self._function()
                except Exception as error:  # noqa: BLE001 - one failing turn must not end the job
                    _tell(error, "periodic job failed", job=self.name)
            due = time.monotonic() + self._every
            while not stop.is_set() and (rest := due - time.monotonic()) > 0:
                beat()
                stop.wait(min(rest, 5.0))


def _tell(error: Exception, what: str, **where: str) -> None:
    """Log a failure with its traceback; of a database that is away one line says all."""
    if is_away(error):
        log.warning("database is away", reason=type(error).__name__, **where)
    else:
        log.error(what, exc_info=error, **where)


class Supervisor:
    """Runs loops, each in a thread of its own; starts a failed one again with growing, jittered pauses."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._beats: dict[str, float] = {}

    def start(self, loops: Sequence[Loop]) -> None:
        """Start loops; may be called again for more. Raises ValueError when two have the same name."""
        for loop in loops:
            if loop.name in self._beats:
                raise ValueError(f"two loops are called {loop.name}")
            self._beats[loop.name] = time.monotonic()
            thread = threading.Thread(target=self._keep_running, args=(loop,), name=loop.name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout: float = STOP_SECONDS) -> list[str]:
        """Ask all loops to stop and wait for them; returns the names of those that still run."""
        self._stop.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def stale(self, seconds: float = BEAT_SECONDS) -> list[str]:
        """Names of the loops that have not turned for ``seconds``."""
        now = time.monotonic()
        return [name for name, beat in list(self._beats.items()) if now - beat > seconds]

    def _keep_running(self, loop: Loop) -> None:
        def beat() -> None:
            self._beats[loop.name] = time.monotonic()

        pause = FIRST_PAUSE
        while not self._stop.is_set():
            beat()
            began = time.monotonic()
            try:
                loop.run(self._stop, beat)
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop must live on
                _tell(error, "loop failed", loop=loop.name)
            else:
                if self._stop.is_set():
                    return
                log.error("loop ended by itself", loop=loop.name)
            monitoring.LOOP_CRASHES.labels(loop.name).inc()
            pause = FIRST_PAUSE if time.monotonic() - began > _CALM_SECONDS else min(2 * pause, LONGEST_PAUSE)
            self._stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret


class HealthPortError(Exception):
    """The port of the health server is taken or not ours to use."""


class HealthServer:
    """``/healthz``, ``/readyz`` and ``/metrics`` of a process that serves nothing else.

    Raises HealthPortError.
    """

    def __init__(
        self,
        port: int,
        supervisor: Supervisor,
        ready: Callable[[], None],
        *,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        handler = _handler(supervisor, ready, beat_seconds)
        try:
            self._server = http.server.ThreadingHTTPServer(("", port), handler)
        except OSError as error:
            raise HealthPortError(f"HEALTH_PORT {port} can't be used: {error.strerror}") from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def run(
    loops: Sequence[Loop],
    *,
    name: str,
    health_port: int | None,
    ready: Callable[[], None],
) -> int:
    """Run loops until SIGTERM or SIGINT, then stop them within 25 s; returns the exit status.

    ``ready`` raises while the process is not ready, which ``/readyz`` tells. Call it in the main thread.
    Status 1 means that a loop did not stop in time.
    """
    ending = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ending.set()

    former = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    supervisor = Supervisor()
    health = HealthServer(health_port, supervisor, ready) if health_port is not None else None
    try:
        supervisor.start(loops)
        log.info("process started", process_name=name, loops=[loop.name for loop in loops])
        ending.wait()
        late = supervisor.stop(STOP_SECONDS)
        log.info("process stopped", process_name=name, late=late)
        return 1 if late else 0
    finally:
        if health is not None:
            health.close()
        for number, handler in former.items():
            signal.signal(number, handler)


def _handler(
    supervisor: Supervisor, ready: Callable[[], None], beat_seconds: float
) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            match self.path:
                case "/healthz":
                    stale = supervisor.stale(beat_seconds)
                    self._json(503 if stale else 200, {"status": "stale" if stale else "ok", "stale": stale})
                case "/readyz":
                    try:
                        ready()
                    except Exception as error:  # noqa: BLE001 - any reason means: not ready
                        self._json(503, {"status": "not ready", "reason": type(error).__name__})
                    else:
                        self._json(200, {"status": "ready"})
                case "/metrics":
                    body, content_type = monitoring.exposition()
                    self._answer(200, body, content_type)
                case _:
                    self._json(404, {"status": "not found"})

        def _json(self, status: int, content: dict[str, object]) -> None:
            self._answer(status, json.dumps(content).encode(), "application/json")

        def _answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Probes are not news."""

    return Handler
