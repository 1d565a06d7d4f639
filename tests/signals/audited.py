"""A market whose batches are released as a feed does it, and ways to write its ledger anew."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import rfc8785
from sqlalchemy import Connection, text

from services.signals.candles import CandleBatch
from services.signals.ledger.records import GENESIS, partition_of
from services.signals.repository import feeds
from services.signals.repository.feeds import FeedState
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.signals.closing import ALL, close, with_prices
from tests.signals.market import batches, random_walk

CHAIN = 3
"""The chain that most tickers are in."""
HOURS = 76

Content = dict[str, Any]


def names_in(partition: int, count: int) -> tuple[str, ...]:
    """Names of tickers of a chain."""
    names = (f"T{number}" for number in range(10_000))
    return tuple(name for _, name in zip(range(count), filter(_is_in(partition), names), strict=False))


def _is_in(partition: int) -> Callable[[str], bool]:
    return lambda name: partition_of(name) == partition


HOURLY = (*names_in(CHAIN, 3), *names_in(CHAIN + 1, 1))
FOUR_HOURLY = names_in(CHAIN, 4)[3]
SUPPLEMENTED, SKIPPED = 40, 50
"""The hours of which one candle came after the others, and of which none could be used."""


def whole_market(hours: int = HOURS) -> list[CandleBatch]:
    """Hourly and four-hourly batches with all that may befall a chain, in the order of their release."""
    hourly = batches(np.round(random_walk(hours, len(HOURLY), seed=8), 2))
    slow = list(batches(np.round(random_walk(hours // 4, 1, seed=9), 2)))
    found: list[CandleBatch] = []
    for hour, plain in enumerate(hourly, start=1):
        batch = replace(plain, tickers=HOURLY)
        if hour == SUPPLEMENTED:
            found += [batch.take(np.array([0, 2, 3], np.intp)), batch.take(np.array([1], np.intp))]
        elif hour == SKIPPED:
            found += [
                with_prices(batch, -1.0),
                replace(batch, close_time=batch.close_time + timedelta(minutes=7)),
            ]
        else:
            found.append(batch)
        if hour % 4 == 0:
            quarter = slow[hour // 4 - 1]
            found.append(
                replace(quarter, timeframe="4h", close_time=batch.close_time, tickers=(FOUR_HOURLY,))
            )
    return found


def run(
    database: Database,
    whole: Iterable[CandleBatch],
    runners: Iterable[Runner] | None = None,
    feed: str = "test",
) -> None:
    """Release and evaluate batches, one after the other."""
    chosen = list(runners or [Runner(0, 1, ALL)])
    with database.transaction() as session:
        state = feeds.open_feed(session, feed, "replay", "a test")
    for sequence, batch in enumerate(whole, start=state.sequence + 1):
        with database.transaction() as session:
            after = FeedState(sequence, batch.timeframe, batch.close_time, None)
            assert feeds.advance(session, feed, after, len(batch))
        for runner in chosen:
            close(database, runner, batch, sequence)


def fill(database: Database) -> None:
    """Release and evaluate the whole market."""
    run(database, whole_market())


def contents(connection: Connection, partition: int = CHAIN) -> list[Content]:
    """What the records of a chain say, in their order."""
    rows = connection.execute(
        text("SELECT record FROM ledger WHERE partition = :p ORDER BY sequence"), {"p": partition}
    )
    return [json.loads(each) for each in rows.scalars()]


def write_anew(connection: Connection, records: Iterable[Content], partition: int = CHAIN) -> None:
    """Make a chain of records, in this order, as if it had never been another one.

    They get new sequences, links and hashes, and whatever named one of them by its sequence follows.
    """
    connection.execute(text("DELETE FROM ledger WHERE partition = :p"), {"p": partition})
    previous, moved = GENESIS, {}
    for sequence, content in enumerate(records, start=1):
        moved[content["sequence"]] = sequence
        body = rfc8785.dumps({**content, "sequence": sequence, "previous": previous})
        previous = hashlib.sha256(body).hexdigest()
        connection.execute(
            text(
                "INSERT INTO ledger (partition, sequence, timeframe, close_time, late, record, hash)"
                " VALUES (:p, :sequence, :timeframe, :close_time, :late, :record, :hash)"
            ),
            {
                "p": partition,
                "sequence": sequence,
                "timeframe": content["timeframe"],
                "close_time": content["close_time"],
                "late": content["late"],
                "record": body.decode(),
                "hash": previous,
            },
        )
    _renumber(connection, moved, partition)


def _renumber(connection: Connection, moved: dict[int, int], partition: int) -> None:
    """Let everything that names a record by its old sequence name it by its new one; what named none goes."""
    values = {"p": partition, "old": list(moved), "new": list(moved.values())}
    moves = "unnest(CAST(:old AS bigint[]), CAST(:new AS bigint[])) AS m (old, new)"
    mine = "ticker IN (SELECT ticker FROM ticker WHERE partition = :p)"
    for table, column in (
        ("candle", "evaluated_in"),
        ("view_change", "ledger_sequence"),
        ("view", "ledger_sequence"),
    ):
        gone = f"DELETE FROM {table} WHERE {mine} AND {column} IS NOT NULL AND {column} <> ALL(:old)"
        connection.execute(text(gone), values)
        follow = f"UPDATE {table} SET {column} = m.new FROM {moves} WHERE {column} = m.old AND {mine}"
        connection.execute(text(follow), values)
    for statement in (
        "DELETE FROM checkpoint WHERE partition = :p AND sequence <> ALL(:old)",
        f"UPDATE checkpoint SET sequence = -m.new FROM {moves} WHERE partition = :p AND sequence = m.old",
        "UPDATE checkpoint SET sequence = -sequence WHERE partition = :p",
    ):
        connection.execute(text(statement), values)
