"""How long a runner takes to start over a long history: from a checkpoint of yesterday, and from all candles.

100 tickers with 20,000 hourly candles each and all algorithms. Appends its table to results/restart.md.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402 - the checkout is not installed
from embedded.postgres import PostgresServer  # noqa: E402
from services.signals import service  # noqa: E402
from services.signals.engine import Engine  # noqa: E402
from services.signals.evaluation import Shard  # noqa: E402
from services.signals.ledger import checkpoints  # noqa: E402
from services.signals.ledger.checkpoints import Checkpoint  # noqa: E402
from services.signals.ledger.records import PARTITIONS, partition_of  # noqa: E402
from services.signals.repository import checkpoints as stored  # noqa: E402
from services.signals.repository import cycles, history  # noqa: E402
from services.signals.repository.cycles import TickerRow  # noqa: E402
from shared.db import migrate  # noqa: E402
from shared.db.engine import Database  # noqa: E402
from tests.signals.closing import ALL  # noqa: E402
from tests.signals.market import START, batches, random_walk  # noqa: E402

CLOSES = 20_000
DAY = 24
HOUR = timedelta(hours=1)
EVERY = tuple(range(PARTITIONS))
AT_ONCE = 200


def store(database: Database, tickers: int, closes: int) -> None:
    """A history as runners would have left it, but for the contents of its records."""
    whole = list(batches(random_walk(closes, tickers, seed=4)))
    names = whole[0].tickers
    used = sorted({partition_of(name) for name in names})
    algorithms = [
        {"key": each.key, "parameters": dict(each.parameters), "version": each.version}
        for each in ALL.on("1h")
    ]
    record = json.dumps({"algorithms": algorithms, "filling": "x" * 400})
    for start in range(0, closes, AT_ONCE):
        with database.transaction() as session:
            if start == 0:
                rows = [TickerRow(name, "1h", partition_of(name), START) for name in names]
                cycles.insert_tickers(session, rows)
            part = whole[start : start + AT_ONCE]
            candles = [batch.candle(place) for batch in part for place in range(tickers)]
            sequences = [start + number + 1 for number in range(len(part)) for _ in range(tickers)]
            cycles.insert_candles(session, "1h", candles, sequences)
            session.execute(
                text(
                    """
                    INSERT INTO ledger (partition, sequence, timeframe, close_time, late, record, hash)
                    SELECT partition, number, '1h', CAST(:start AS timestamptz) + number * interval '1 hour',
                        false, :record, md5(CAST(number AS text))
                    FROM unnest(CAST(:used AS smallint[])) AS partition
                    CROSS JOIN generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS number
                    """
                ),
                {
                    "start": START,
                    "record": record,
                    "used": used,
                    "first": start + 1,
                    "last": start + len(part),
                },
            )
    with database.transaction() as session:
        session.execute(text("ANALYZE candle, ledger, ticker"))


def take_checkpoints(database: Database, closes: int) -> int:
    """Store the states of a day before the end; returns their size in bytes."""
    engine = Engine("1h", ALL.on("1h"))
    moment = START + (closes - DAY) * HOUR
    with database.read() as connection:
        for batch in history.evaluated_candles(connection, "1h", dict.fromkeys(EVERY, history.FOREVER)):
            if batch.close_time < moment:
                engine.step(batch)
    with database.transaction() as session:
        rows = [_checkpoint(session, engine, partition, closes - DAY) for partition in EVERY]
    with database.read() as connection:
        for checkpoint, recorded in stored.newest(connection, "1h", EVERY):
            checkpoint.require(recorded)
    return sum(rows)


def _checkpoint(session: Session, engine: Engine, partition: int, sequence: int) -> int:
    names = [name for name in engine.tickers if partition_of(name) == partition]
    if not names:
        return 0
    due = checkpoints.taken(engine, names)
    assert hashlib.sha256(due.state).hexdigest() == due.hash
    stored.insert(session, [Checkpoint(partition, sequence, "1h", START + sequence * HOUR, *due)])
    session.execute(
        text(
            "UPDATE ledger SET record = CAST(CAST(record AS jsonb)"
            " || jsonb_build_object('checkpoint', CAST(:hash AS text)) AS text)"
            " WHERE partition = :partition AND sequence = :sequence"
        ),
        {"hash": due.hash, "partition": partition, "sequence": sequence},
    )
    return len(due.state)


def restored(database: Database) -> tuple[float, Shard]:
    """Seconds to a shard that can take its first close, and the shard."""
    began = time.perf_counter()
    with database.read() as connection:
        shard = service.restored_shard(connection, EVERY, ALL)
    return time.perf_counter() - began, shard


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tickers", type=int, default=100)
    parser.add_argument("--closes", type=int, default=CLOSES)
    options = parser.parse_args()
    heading = report.run()
    with tempfile.TemporaryDirectory(prefix="boritrader-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer.start(Path(folder) / "postgres", durable=False)
        try:
            server.create_database("bench")
            migrate.upgrade("signals", server.url("bench"))
            database = Database(server.url("bench"), application_name="bench")
            store(database, options.tickers, options.closes)
            without, _ = restored(database)
            size = take_checkpoints(database, options.closes)
            with_them = min(restored(database)[0] for _ in range(3))
            database.dispose()
        finally:
            server.stop()
    report.append(
        "restart.md",
        "How long a runner takes to start",
        f"{heading}: {options.tickers} tickers, {options.closes:,} candles each",
        [
            report.table(
                ["from", "seconds"],
                [
                    ["all candles", f"{without:.2f}"],
                    [f"checkpoints of a day before ({size:,} bytes)", f"{with_them:.2f}"],
                ],
            )
        ],
    )


if __name__ == "__main__":
    main()
