"""A candle close of 10,000 tickers: event in, transaction committed, relayed, confirmed by RabbitMQ.

One runner of all tickers on a durable PostgreSQL, and the relay of the worker beside it in this process; all
six algorithms, and a few hundred to some thousand views that turn at each close. The median of each phase, in
wall-clock time, so run it on an idle machine. Appends its table to benchmarks/results/close.md.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402 - the checkout is not installed
from embedded.postgres import PostgresServer  # noqa: E402
from services.signals.algorithms import ALGORITHMS  # noqa: E402
from services.signals.evaluation import Shard  # noqa: E402
from services.signals.lineup import Lineup  # noqa: E402
from services.signals.runner import Runner  # noqa: E402
from shared.bus.relay import Relay  # noqa: E402
from shared.bus.subscription import Queue  # noqa: E402
from shared.contracts.envelope import Envelope  # noqa: E402
from shared.contracts.registry import decode, encode  # noqa: E402
from shared.contracts.signals import CandlesClosedV1, TickersListedV1, ViewsChangedV1  # noqa: E402
from shared.db import migrate  # noqa: E402
from shared.db.engine import Database  # noqa: E402
from tests.support.rabbitmq import RabbitServer  # noqa: E402

TICKERS = 10_000
WARMUP = 60
CLOSES = 20
PHASES = ("read the event", "evaluate", "store and commit", "relay and confirm", "in all")
TARGET = 100


@dataclass
class Spans:
    """Seconds of each phase at each close, and the changes that came of it."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    changes: list[int] = field(default_factory=list)


def bodies(closes: int) -> Iterator[bytes]:
    """Events as they come from the bus: walks with moves of 2 percent a candle."""
    random = np.random.default_rng(1)
    tickers = tuple(f"bench:T{index}/USDT" for index in range(TICKERS))
    began = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=closes)
    close = random.uniform(1, 1000, TICKERS)
    for number in range(closes):
        opened, close = close, close * np.exp(random.normal(0, 0.02, TICKERS))
        event = CandlesClosedV1.model_validate(
            {
                "feed": "bench",
                "sequence": number + 1,
                "timeframe": "1h",
                "close_time": began + timedelta(hours=number + 1),
                "released_at": datetime.now(UTC),
                "recorded": True,
                "tickers": tickers,
                "open": tuple(opened.tolist()),
                "high": tuple((np.maximum(opened, close) * 1.001).tolist()),
                "low": tuple((np.minimum(opened, close) * 0.999).tolist()),
                "close": tuple(close.tolist()),
                "volume": tuple(random.exponential(1000, TICKERS).tolist()),
            }
        )
        yield encode(Envelope.of(event, aggregate_id="bench", aggregate_version=number + 1))


def measure(database: Database) -> Spans:
    """Send all closes through the runner; each one is confirmed before the next."""
    runner = Runner(0, 1, Lineup(ALGORITHMS, None))
    spans = Spans()
    with _evaluations() as evaluations:
        for number, body in enumerate(bodies(WARMUP + CLOSES)):
            print(f"\rclose {number + 1} of {WARMUP + CLOSES}", end="", file=sys.stderr)
            began = time.perf_counter()
            envelope: Envelope[Any] = decode("market.candles_closed.v1", body)
            read = time.perf_counter()
            with database.transaction() as session:
                runner.candles_closed(session, envelope)
            committed = time.perf_counter()
            _wait_until_confirmed(database)
            confirmed = time.perf_counter()
            if number >= WARMUP:
                evaluated, changes = evaluations[-1]
                parts = read - began, evaluated, committed - read - evaluated, confirmed - committed
                for phase, seconds in zip(PHASES, (*parts, confirmed - began), strict=True):
                    spans.seconds[phase].append(seconds)
                spans.changes.append(changes)
    print(file=sys.stderr)
    return spans


@contextmanager
def _evaluations() -> Iterator[list[tuple[float, int]]]:
    """Seconds of each evaluation within the transactions, and the views that it turned.

    The database takes in the signals while the chains go on, so what it does then is not counted twice.
    """
    seen: list[tuple[float, int]] = []
    advance, conclude = Shard.advance, Shard.conclude
    advanced = 0.0

    def timed_advance(shard: Shard, *arguments: Any) -> Any:
        nonlocal advanced
        began = time.perf_counter()
        result = advance(shard, *arguments)
        advanced = time.perf_counter() - began
        return result

    def timed_conclude(shard: Shard, result: Any) -> None:
        began = time.perf_counter()
        conclude(shard, result)
        seen.append((advanced + time.perf_counter() - began, len(result.changes)))

    Shard.advance, Shard.conclude = timed_advance, timed_conclude  # type: ignore[method-assign, assignment]
    try:
        yield seen
    finally:
        Shard.advance, Shard.conclude = advance, conclude  # type: ignore[method-assign]


def _wait_until_confirmed(database: Database) -> None:
    pause = threading.Event()
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.execute(
            text("SELECT EXISTS (SELECT 1 FROM outbox WHERE published_at IS NULL)")
        ).scalar_one():
            pause.wait(0.001)


@contextmanager
def _relaying(url: str, database: Database) -> Iterator[None]:
    """The worker's relay, with a queue that wants what the runner tells."""
    queue = Queue("bench.events.v1", (ViewsChangedV1, TickersListedV1))
    relay = Relay(url, database, service="signals", name="relay", queues=[queue], retry_delays=(1.0,))
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop, lambda: None))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def main() -> None:
    """Measure, print the table and append it to the results."""
    heading = report.run()
    with tempfile.TemporaryDirectory(prefix="boritrader-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres = PostgresServer.start(folder / "postgres")
        try:
            postgres.create_database("signals")
            migrate.upgrade("signals", postgres.url("signals"))
            database = Database(postgres.url("signals"), application_name="bench", pool_size=5)
            with RabbitServer() as rabbitmq, _relaying(rabbitmq.url, database):
                spans = measure(database)
            database.dispose()
        finally:
            postgres.stop()
    median = {phase: statistics.median(seconds) * 1000 for phase, seconds in spans.seconds.items()}
    rows = [[phase, f"{median[phase]:.0f}", f"{max(spans.seconds[phase]) * 1000:.0f}"] for phase in PHASES]
    report.append(
        "close.md",
        "A candle close from end to end",
        heading,
        [
            _what(spans),
            report.table(["phase", "median ms", "most ms"], rows),
        ],
    )


def _what(spans: Spans) -> str:
    return (
        f"{TICKERS:,} tickers, {len(ALGORITHMS)} algorithms, {CLOSES} closes with"
        f" {statistics.median(spans.changes):.0f} changes (median); target {TARGET} ms in all."
    )


if __name__ == "__main__":
    main()
