"""The worker of signals: what was decided goes out, and what is old goes away."""

from datetime import UTC, datetime

from prometheus_client import Gauge
from sqlalchemy import Connection

from services.signals import retention, service, sharding, silence, track_record, versions, windows
from services.signals.candles import length_of
from services.signals.config import Settings
from services.signals.ledger.export import head_job
from services.signals.lineup import Lineup
from services.signals.repository import locks, partitions, shards, silences
from services.signals.runner import queue_of
from shared.bus import Bus
from shared.db import messaging
from shared.db.engine import Database
from shared.process import Loop, Periodic

LISTING_SECONDS = 60.0
PURGE_SECONDS = 60.0
WATCH_SECONDS = 15.0
PARTITIONS_SECONDS = 300.0
RETENTION_SECONDS = 600.0
LEDGER_HEAD_SECONDS = 60.0
TRACK_RECORD_SECONDS = 15.0
WINDOWS_SECONDS = 15.0

TICKERS = Gauge("signals_tickers", "Tickers that are evaluated.", ["timeframe"])
LAG = Gauge(
    "signals_lag_seconds",
    "For how long a live close has been due that a runner has not evaluated; 0 when none is.",
    ["timeframe"],
)
STALE = Gauge("signals_stale_tickers", "Tickers of which no candle came for two timeframes.", ["timeframe"])


def loops(settings: Settings, database: Database, bus: Bus) -> list[Loop]:
    """The loops of the worker process: outbox relay, list of algorithms, partitions ahead,
    heads of the ledger, track record, windows of algorithms, purges.

    Raises WrongShards when the tickers are divided among another number of runners, LineupError when the
    algorithms that the settings name can't be run.
    """
    sharding.require(database, settings.runner_shards)
    lineup = Lineup.of(settings)
    kept = settings.retention()
    wall_clock = silence.WallClock()
    versions.require(database, lineup)
    # candles must find the queues of all shards, also of those that have not run yet
    queues = [queue_of(shard) for shard in range(settings.runner_shards)]

    def list_algorithms() -> None:
        with database.transaction() as session:
            service.publish_algorithms(session, lineup)

    def make_partitions() -> None:
        with database.transaction() as session:
            partitions.ensure_ahead(session.connection())

    def watch_tickers() -> None:
        with database.transaction() as session:
            wall_clock.look(session, datetime.now(UTC))
        with database.read() as connection:
            measure_lag(connection, lineup, settings.runner_shards, datetime.now(UTC))
            for tally in silences.tally(connection):
                TICKERS.labels(tally.timeframe).set(tally.tickers)
                STALE.labels(tally.timeframe).set(tally.stale)

    return [
        sharding.Owned(
            bus.relay(database, service="signals", queues=queues),
            database,
            locks.try_relaying,
            shards=settings.runner_shards,
        ),
        Periodic("signals-list-algorithms", LISTING_SECONDS, list_algorithms),
        Periodic("signals-watch-tickers", WATCH_SECONDS, watch_tickers),
        Periodic("signals-retention", RETENTION_SECONDS, lambda: retention.drop_old(database, kept)),
        Periodic("signals-partitions", PARTITIONS_SECONDS, make_partitions),
        Periodic("signals-ledger-head", LEDGER_HEAD_SECONDS, head_job(database, settings.ledger_export)),
        Periodic("signals-windows", WINDOWS_SECONDS, lambda: windows.refresh(database)),
        Periodic("signals-track-record", TRACK_RECORD_SECONDS, lambda: track_record.follow(database)),
        Periodic("signals-purge", PURGE_SECONDS, lambda: messaging.purge(database)),
    ]


def measure_lag(connection: Connection, lineup: Lineup, runner_shards: int, now: datetime) -> None:
    """Set for how long the next close of each timeframe in use has been due at a moment, of a live feed.

    It is that of the runner that is furthest behind. Nothing is told of a replay, which ends.
    """
    if silences.live_sequence(connection) is None:
        LAG.clear()
        return
    for timeframe, newest in shards.evaluated_closes(connection, runner_shards).items():
        if lineup.on(timeframe):
            due = newest + length_of(timeframe)
            LAG.labels(timeframe).set(max(0.0, (now - due).total_seconds()))
