"""Signals are right: a runner killed at any instant leaves what one that ran through leaves, to the byte."""

import csv
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psycopg
import pytest

from embedded.postgres import PostgresServer
from services.signals.feeds.csv_files import read_directory
from services.signals.ledger.verification import verify
from shared.db.engine import Database
from tests.signals.closing import close_all, events, stored
from tests.signals.market import START, random_walk
from tests.support.rabbitmq import RabbitServer
from tests.support.stack import ROOT

pytestmark = pytest.mark.alone

TICKERS = 10
PROCESSES = ("feed", "worker", "runner")
HELPERS_SHARE = 10
"""Of so many kills of the runner one more each hits the worker and the feed."""
CALM_SECONDS = 120.0
CHANGED = "signals.views_changed.v1"
Change = tuple[str, str, str, str]


@dataclass
class Market:
    """Feed, worker and runner of one database, each a process of its own on RabbitMQ."""

    folder: Path
    settings: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "services.signals", name],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        assert process.poll() is None, f"{name} ended by itself:\n{self.log(name).read_text()[-4000:]}"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_all(self) -> None:
        for process in self.running.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def record(folder: Path, closes: int) -> None:
    """Hourly candles: tickers that begin later, that miss candles, that fall silent and come again."""
    walk = random_walk(closes, TICKERS, seed=21)
    chance = np.random.default_rng(22)
    present = chance.random(walk.shape) < 0.98
    present[:, 0] = True
    for ticker in range(1, TICKERS):
        present[: ticker * closes // 40, ticker] = False
        quiet = int(chance.integers(closes // 2, closes - 6))
        present[quiet : quiet + 5, ticker] = False
    folder.mkdir()
    for ticker in range(TICKERS):
        with (folder / f"T{ticker}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("time", "open", "high", "low", "close", "volume"))
            for number in np.flatnonzero(present[:, ticker]).tolist():
                price = float(walk[number, ticker])
                opened = int(START.timestamp()) + 3600 * number
                rows.writerow((opened, price, price * 1.01, price * 0.99, price, 1000 + number % 7 * 300))


def test_a_runner_killed_at_random_points_leaves_the_ledger_of_one_that_ran_through(
    postgres: PostgresServer,
    rabbitmq: RabbitServer,
    database_url: Callable[[str], str],
    tmp_path: Path,
    full_size: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    closes, kills = (1170, 200) if full_size else (60, 4)
    record(tmp_path / "recording", closes)
    recording = read_directory(tmp_path / "recording")
    whole = list(recording.batches())
    candles = sum(map(len, whole))
    unbroken = Database(database_url("signals"), application_name="test")
    close_all(unbroken, whole)

    url = database_url("signals")
    broken = Database(url, application_name="test")
    market = Market(
        tmp_path,
        {
            "DATABASE_URL": url,
            "AMQP_URL": rabbitmq.new_vhost(),
            "SECRET_KEY": "k" * 32,
            "IDENTITY_PUBLIC_KEYS": "{}",
            "FEED": f"replay:{tmp_path / 'recording'}",
            "REPLAY_SPEED": "0",
            "HEALTH_PORT": "0",
            "ENVIRONMENT": "test",
        },
    )
    chance = random.Random(23)
    points = sorted(chance.sample(range(len(whole) - 2), kills))
    hit = Counter[str]()
    try:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            for name in PROCESSES:
                market.start(name)
            for number, point in enumerate(points, start=1):
                _wait(market, lambda at=point: _evaluated(connection) >= at, f"close {point} is evaluated")
                threading.Event().wait(chance.uniform(0, 0.03))  # anywhere within a close
                market.kill("runner")
                hit["unfinished"] += _waiting(connection) > 0
                if number % HELPERS_SHARE == 0 or number == kills:
                    for name in ("worker", "feed"):
                        market.kill(name)
                        market.start(name)
                        hit[name] += 1
                market.start("runner")
            _wait(market, lambda: _evaluated(connection) == len(whole), "all closes are evaluated")
    finally:
        market.kill_all()

    found, expected = stored(broken), stored(unbroken)
    told = [_changes(broken), _changes(unbroken)]
    report = verify(broken)
    unbroken.dispose()
    broken.dispose()
    for table in expected:
        assert found[table] == expected[table], table
    assert told[0] == told[1]
    assert len(expected["checkpoint"]) > 0
    assert report.records == len(expected["ledger"])
    assert told[1]
    assert max(Counter(told[0]).values()) == 1
    share = hit["unfinished"] / kills
    helpers = f"{hit['worker']} of the worker, {hit['feed']} of the feed"
    with capsys.disabled():
        print(
            f"\n{kills} kills of the runner ({hit['unfinished']} with unfinished work),"
            f" {helpers}, over {len(whole)} closes and {candles} candles:"
            f" {len(expected['ledger'])} ledger records, {len(expected['checkpoint'])} checkpoints,"
            f" {len(expected['signal'])} signals, {len(told[1])} view changes byte-identical; 0 lost, 0 twice"
        )
    assert share >= 0.5, f"only {share:.0%} of the kills hit a runner with unfinished work"


def _evaluated(connection: psycopg.Connection) -> int:
    """How many batches the runner has met."""
    row = connection.execute("SELECT max(sequence) FROM shard_position").fetchone()
    return (row and row[0]) or 0


def _waiting(connection: psycopg.Connection) -> int:
    """How many batches have been brought to the runner's queue and are not evaluated."""
    row = connection.execute(
        """
        SELECT feed.sequence - COALESCE(waiting.batches, 0) - COALESCE(position.sequence, 0)
        FROM feed LEFT JOIN shard_position AS position ON position.feed = feed.name
        CROSS JOIN (SELECT count(*) AS batches FROM outbox
            WHERE type = 'market.candles_closed.v1' AND published_at IS NULL) AS waiting
        """
    ).fetchone()
    return 0 if row is None else int(row[0])


def _changes(database: Database) -> list[Change]:
    """The changes that were told, in the order in which they were."""
    return [
        (event["close_time"], change["ticker"], change["algorithm"], change["to"])
        for event in events(database, CHANGED)
        for change in event["changes"]
    ]


def _wait(market: Market, reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + CALM_SECONDS
    pause = threading.Event()
    while not reached():
        for name, process in market.running.items():
            assert process.poll() is None, f"{name} ended:\n{market.log(name).read_text()[-4000:]}"
        assert time.monotonic() < deadline, f"after {CALM_SECONDS} s not so: {what}"
        pause.wait(0.005)
