"""`python -m embedded`, behind `make run`: start everything, say what to do next, stop everything."""

import contextlib
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from pydantic import ValidationError

from embedded import complaints
from embedded.config import LaunchSettings
from embedded.house import SERVICES, House, Places, WebServer
from embedded.keys import load_or_make
from embedded.mount import RouteConflict
from embedded.nginx import NginxServer, end_leftover
from embedded.postgres import PostgresServer
from embedded.processes import FolderLock, StartError, require_free
from embedded.valkey import ValkeyServer
from services.signals.config import exchanges_of
from services.signals.errors import FeedError, LineupError, WrongShards
from services.signals.feeds import require_exchanges
from services.signals.feeds.plan import Plan
from services.signals.feeds.replay import ReplayFeed, Rest, recording_of
from shared import logs
from shared.db.migrate import upgrade
from shared.process import Supervisor
from shared.settings import load

EXIT_CANNOT_START = 2
EXIT_SERVER_DIED = 1
LOOPS_SECONDS = 10
WATCH_SECONDS = 1.0
WORDS = {
    "1m": "minute",
    "5m": "5 minutes",
    "15m": "15 minutes",
    "1h": "hour",
    "4h": "4 hours",
    "1d": "day",
}
"""Timeframes behind the word "each"."""
SHORTLY, LONG = 90, 2 * 3600  # seconds that the recorded candles last
# Everybody is at the same address here: oneself, with a browser, scripts and benchmarks.
LIMITS = {"REQUESTS_PER_SECOND": "2000", "LOGINS_PER_MINUTE": "60", "CONNECTIONS_PER_ADDRESS": "10000"}


class Stopped(BaseException):
    """Ctrl-C or SIGTERM; unlike an Exception it passes through whatever is being prepared."""


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(text, flush=True)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Show that something is being prepared, and how long it took."""
    print(f"  {what} … ", end="", flush=True)
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say("")
        raise
    say(f"{time.monotonic() - began:.1f} s")


class Running(NamedTuple):
    """What was started, and what is to be expected of its candles."""

    postgres: PostgresServer
    valkey: ValkeyServer
    nginx: NginxServer
    outlook: str


def prepare(launch: LaunchSettings, parts: contextlib.ExitStack) -> Running:
    """Start everything; leaving `parts` stops it again, in reverse.

    Raises:
        StartError: with the one line that says what is wrong.
        FeedError: the feed can't be read, or holds nothing.
    """
    data_dir = launch.data_dir.resolve()
    static_dir, site_dir = launch.build_dir / "static", launch.build_dir / "site"
    if not (static_dir / "manifest.json").is_file() or not (site_dir / "index.html").is_file():
        raise StartError(f"the static files in {launch.build_dir} are missing: run `make setup`")
    parts.callback(FolderLock(data_dir).release)
    end_leftover(data_dir / "nginx")
    require_free(launch.port)
    logs.configure("boritrader", data_dir / "logs", console=False)
    keys = load_or_make(data_dir / "secrets.json")

    # before anything that takes long: a FEED that holds nothing is told at once
    exchanges = exchanges_of(launch.feed)
    with complaints.of_the_feed(), step("exchanges" if exchanges else "recorded candles"):
        if exchanges:
            require_exchanges(exchanges)
        recording = None if exchanges else recording_of(launch.feed)
    with step("PostgreSQL"):
        postgres = PostgresServer.start(data_dir / "postgres")
        parts.callback(postgres.stop)
    with step("Valkey"):
        valkey = ValkeyServer.start(data_dir / "valkey")
        parts.callback(valkey.stop)
    for service in SERVICES:
        with step(f"database of {service}"):
            postgres.create_database(service)
            upgrade(service, postgres.url(service))
    with step("services"):
        house = House(
            launch,
            keys,
            recording,
            Places(
                database=postgres.url,
                redis_url=valkey.url,
                log_dir=data_dir / "logs",
                static_dir=static_dir,
                data_dir=data_dir,
            ),
        )
        parts.callback(house.dispose)
        feed = house.feed
        expected = outlook(feed.rest()) if isinstance(feed, ReplayFeed) else live_outlook(feed.plan, data_dir)
        supervisor = Supervisor()
        parts.callback(supervisor.stop, LOOPS_SECONDS)
        supervisor.start(house.loops)
        web = WebServer(house.mount)
        parts.callback(web.stop)
    complaints.of_algorithms(house.set_aside)
    with step("NGINX"):
        apps = f"127.0.0.1:{web.port}"
        nginx = NginxServer.start(
            data_dir / "nginx",
            {
                "PORT": str(launch.port),
                "PUBLIC_URL": launch.public_url,
                "AUTH_UPSTREAM": apps,
                "BILLING_UPSTREAM": apps,
                "NOTIFY_UPSTREAM": apps,
                "SIGNALS_UPSTREAM": apps,
                "LIVE_UPSTREAM": f"127.0.0.1:{house.live_port}",
                "STATIC_ROOT": str(static_dir),
                "SITE_ROOT": str(site_dir),
                **LIMITS,
            },
        )
        parts.callback(nginx.stop)
    return Running(postgres, valkey, nginx, expected)


def outlook(rest: Rest) -> str:
    """How long the recorded candles last, and what to do when they are at their end."""
    again = "DATA_DIR=another-folder make run"
    if rest.closes == 0:
        return f"The recorded candles have ended, so nothing changes any more. To begin again:\n  {again}"
    if rest.seconds < SHORTLY:
        lasting = "end shortly"
    elif rest.seconds < LONG:
        lasting = f"last about {rest.seconds / 60:.0f} minutes"
    else:
        lasting = f"last about {rest.seconds / 3600:.0f} hours"
    return f"The recorded candles {lasting}, then nothing changes any more. To begin again:\n  {again}"


def live_outlook(plan: Plan, data_dir: Path) -> str:
    """When candles of exchanges come, and where to look when none do."""
    return (
        f"Candles come from {' and '.join(plan.exchanges)}: first the history of every ticker, which takes\n"
        f"minutes, then one each {WORDS[plan.base]} as it closes. Views are known once the history is in.\n"
        f"How far it is, and what an exchange refuses, is in\n  {data_dir / 'logs' / 'boritrader.log'}"
    )


def welcome(launch: LaunchSettings, outlook: str) -> None:
    """Say where it is and what to do next."""
    url = launch.public_url
    say(
        f"\nBoritrader runs at {url}\n\n"
        f"  1. register               {url}/register\n"
        f"  2. switch on an alert     {url}/alerts\n"
        f"  3. watch views change     {url}/dashboard\n"
        f"  4. read the mail          {url}/dev/mail\n\n"
        f"{outlook}\n\n"
        f"Data and logs are in {launch.data_dir}. Stop with Ctrl-C."
    )


def watch(servers: dict[str, PostgresServer | ValkeyServer | NginxServer]) -> str:
    """Wait; returns the name of the first server that ended by itself."""
    while True:
        time.sleep(WATCH_SECONDS)
        for name, server in servers.items():
            if not server.is_running():
                return name


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


def _raise_file_limit() -> None:
    """As many open files as we may have: every connected browser needs some."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(launch: LaunchSettings) -> int:
    """Run until a signal; returns the exit status."""
    _raise_file_limit()
    with contextlib.ExitStack() as parts:
        try:
            say("Boritrader starts:")
            running = prepare(launch, parts)
            welcome(launch, running.outlook)
            died = watch({"PostgreSQL": running.postgres, "Valkey": running.valkey, "NGINX": running.nginx})
        except Stopped:
            say("\nStopping …")
            return 0
        else:
            print(f"boritrader: {died} ended unexpectedly; see {launch.data_dir}", file=sys.stderr)
            return EXIT_SERVER_DIED
        finally:
            # from here on everything is being stopped anyway; a second signal must not leave servers behind
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)


def main() -> int:
    """The command; exit status 2 means that it could not start, with one line that says why."""
    launch = load(LaunchSettings)
    if launch.feed.startswith("replay:"):
        launch = launch.model_copy(update={"feed": f"replay:{Path(launch.feed[len('replay:') :]).resolve()}"})
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)
    try:
        return run(launch)
    except (StartError, RouteConflict, FeedError, LineupError, WrongShards) as error:
        print(f"boritrader: {error}", file=sys.stderr)
    except ValidationError as error:
        print(f"boritrader: {error.errors(include_input=False)[0]['msg']}", file=sys.stderr)
    return EXIT_CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
