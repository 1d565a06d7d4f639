"""A month of 1-minute candles for 500 tickers: our partitioned table beside one table with the same indexes.

Both are filled by COPY in the same order, close by close, and asked the same questions in turns, with the
data in memory as far as it fits. `--full` has 21.6 million rows; the default is a tenth of that, 50 tickers.
Appends its table to benchmarks/results/candles.md.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402 - the checkout is not installed
from embedded.postgres import PostgresServer  # noqa: E402
from services.signals.repository import partitions  # noqa: E402
from shared.db import migrate  # noqa: E402
from shared.db.engine import Database  # noqa: E402

MONTH = 30 * 24 * 60
FULL, SMALL = 500, 50
START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ROUNDS = 15
TABLES = {"candle": "partitioned", "one_candle": "one table"}
QUESTIONS = {
    "latest 500 candles of a ticker": """
        SELECT open_time, open, high, low, close, volume FROM {table}
        WHERE ticker = %(ticker)s AND timeframe = '1m' ORDER BY open_time DESC LIMIT 500""",
    "one close of all tickers": """
        SELECT ticker, open, high, low, close, volume FROM {table}
        WHERE timeframe = '1m' AND open_time = %(moment)s""",
    "a month of one ticker": """
        SELECT open_time, close FROM {table}
        WHERE ticker = %(ticker)s AND timeframe = '1m' ORDER BY open_time""",
    "newest candle of all": "SELECT max(open_time) FROM {table} WHERE timeframe = '1m'",
}
LET_GO = {
    "candle": "DROP TABLE {partition}",
    "one_candle": "DELETE FROM one_candle WHERE timeframe = '1m' AND open_time < %(end)s",
}


def rows(tickers: int, closes: range) -> Iterator[str]:
    """Lines of COPY's text format, close by close."""
    for number in closes:
        opened = (START + number * MINUTE).isoformat()
        for ticker in range(tickers):
            price = 100 + (number * 7 + ticker * 13) % 1000 / 100
            yield (
                f"T{ticker:04}/USDT\t1m\t{opened}\t{price}\t{price + 0.5}\t{price - 0.5}\t{price + 0.25}"
                f"\t{1000 + number % 100}.5\t{number + 1}\n"
            )


def fill(connection: psycopg.Connection, table: str, tickers: int) -> float:
    """Seconds to store a month, an hour in one transaction."""
    began = time.perf_counter()
    columns = "ticker, timeframe, open_time, open, high, low, close, volume, evaluated_in"
    for start in range(0, MONTH, 60):
        block = "".join(rows(tickers, range(start, start + 60)))
        statement = f"COPY {table} ({columns}) FROM STDIN"
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[arg-type]
            copy.write(block)
    return time.perf_counter() - began


def asked(connection: psycopg.Connection, question: str, table: str, number: int, tickers: int) -> float:
    """Seconds to ask a question and have the whole answer."""
    values = {
        "ticker": f"T{number * 37 % tickers:04}/USDT",
        "moment": START + (number * 2011 % MONTH) * MINUTE,
    }
    statement = question.format(table=table)
    used = {name: value for name, value in values.items() if f"%({name})s" in statement}
    began = time.perf_counter()
    connection.execute(statement, used).fetchall()  # type: ignore[arg-type]
    return time.perf_counter() - began


def measure(url: str, tickers: int) -> tuple[list[list[str]], int]:
    """The rows of the table, and how many candles there are."""
    migrate.upgrade("signals", url)
    database = Database(url, application_name="bench")
    with database.transaction() as session:
        days = (START + timedelta(days=day) for day in range(31))
        made = partitions.ensure(session.connection(), "1m", days)
    database.dispose()
    table: list[list[str]] = []
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE one_candle (LIKE candle INCLUDING DEFAULTS)")
        connection.execute("ALTER TABLE one_candle ADD PRIMARY KEY (ticker, timeframe, open_time)")
        connection.execute("CREATE INDEX ON one_candle (timeframe, open_time)")
        filled = [fill(connection, name, tickers) for name in TABLES]
        connection.execute("VACUUM (ANALYZE) candle, one_candle")
        table.append(["storing all, close by close"] + [f"{seconds:.1f} s" for seconds in filled])
        for words, question in QUESTIONS.items():
            times: dict[str, list[float]] = {name: [] for name in TABLES}
            for number in range(ROUNDS):
                for name in TABLES:
                    times[name].append(asked(connection, question, name, number, tickers))
            table.append([words] + [f"{statistics.median(times[name]) * 1000:.2f} ms" for name in TABLES])
        table.append(["letting go of the first week", *_let_go(connection, made)])
    return table, tickers * MONTH


def _let_go(connection: psycopg.Connection, made: Sequence[partitions.Partition]) -> Iterator[str]:
    for statement in LET_GO.values():
        began = time.perf_counter()
        text = statement.format(partition=made[0].name)
        connection.execute(text, {"end": made[0].end} if "%(end)s" in text else None)  # type: ignore[arg-type]
        yield f"{(time.perf_counter() - began) * 1000:.1f} ms"


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL} tickers, 21.6 million rows")
    parser.add_argument("--tickers", type=int, default=SMALL, help="tickers with 43,200 candles each")
    options = parser.parse_args()
    tickers: int = FULL if options.full else options.tickers
    heading = report.run()
    with tempfile.TemporaryDirectory(prefix="boritrader-bench-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer.start(Path(folder) / "postgres")
        try:
            server.create_database("bench")
            table, candles = measure(server.url("bench"), tickers)
        finally:
            server.stop()
    report.append(
        "candles.md",
        "A month of 1-minute candles, stored and asked for",
        f"{heading}: {tickers} tickers, {candles:,} candles",
        [report.table(["", *TABLES.values()], table)],
    )


if __name__ == "__main__":
    main()
