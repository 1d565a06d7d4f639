"""The track record: the ledger read on, record by record, and the figures of what became of its changes."""

import time
from collections import deque
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from services.signals.ledger.records import PARTITIONS, iso
from services.signals.outcomes import Book, BrokenLedger
from services.signals.repository import audit, changes, outcomes, scores
from services.signals.repository.outcomes import Found, Position
from shared import logs
from shared.db.engine import Database

RECORDS_AT_ONCE = 500
SECONDS_AT_ONCE = 10.0

log = logs.logger(__name__)


def follow(database: Database, seconds: float = SECONDS_AT_ONCE) -> int:
    """Read the chains on and put the figures together; how many records were read.

    It ends with the chains, or after so many seconds: the next call goes on. A transaction each for some
    records of one chain; what another process reads is left to it. A chain that does not verify is read up
    to the bad record, which is reported.
    """
    until = time.monotonic() + seconds
    with database.read() as connection:
        chains = deque(outcomes.unread(connection, range(PARTITIONS)))
    read = 0
    while chains and time.monotonic() < until:
        chain = chains.popleft()
        with database.transaction() as session:
            count = read_on(session, chain)
        read += count
        if count == RECORDS_AT_ONCE:
            chains.append(chain)
    if read:
        with database.transaction() as session:
            put_together(session)
    return read


def read_on(session: Session, chain: int, limit: int = RECORDS_AT_ONCE) -> int:
    """Read the next records of a chain; how many there were that verify."""
    position = outcomes.hold(session, chain)
    if position is None:
        return 0
    entries = outcomes.entries(session, chain, position.sequence, limit)
    if not entries:
        return 0
    candles = outcomes.candles_of(session, chain, entries)
    book = Book.opened(
        chain,
        position.sequence,
        position.hash,
        kept_from=audit.kept_from(session.connection()),  # after the candles, which may go meanwhile
        pending=outcomes.pending(session, chain),
        standings=outcomes.standings(session, chain),
    )
    problem = None
    try:
        for entry in entries:
            book.read(entry, candles.get(entry.sequence))
    except BrokenLedger as error:
        problem = str(error)
        if problem != position.problem:
            log.error("track record stops", partition=chain, problem=problem)  # noqa: TRY400 - the words say all
    outcomes.store_outcomes(session, list(book.written.values()))
    outcomes.store_standings(session, list(book.moved.values()))
    outcomes.move(session, chain, Position(book.sequence, book.hash, problem))
    return book.sequence - position.sequence


def put_together(session: Session) -> Found:
    """The figures of everything that was read, stored for whoever looks."""
    connection = session.connection()
    found = Found(scores.through(connection), figures(connection))
    outcomes.store_figures(session, found)
    return found


def figures(connection: Connection) -> dict[str, Any]:
    """The figures, overall and by algorithm: see `schemas.ScoreOut` for their shape.

    Moves and returns are shares of 1. A move is in the direction of the change: of a SELL a fall counts as
    a gain; `hold` is the average move of the price itself over the same candles.
    """
    pairs = scores.standings(connection)
    moves = scores.moves(connection)
    totals = scores.changes(connection)
    scored = [_score(key, totals[key], pairs.get(key), moves) for key in sorted(key for key in totals if key)]
    overall = _score(None, totals[None], pairs.get(None), moves) if None in totals else None
    return {"overall": overall, "algorithms": scored}


class Recount(NamedTuple):
    """The stored figures, those counted again from the first record, and why that could not be done."""

    stored: Found | None
    counted: Found | None
    records: int
    problems: list[str]


def recounted(database: Database) -> Recount:
    """Count everything again up to where each chain was read, and leave no trace of it.

    The transaction is rolled back; until then the worker, which finds the chains taken, waits.
    """
    with database.transaction() as session:
        ends = outcomes.hold_all(session)
        stored = outcomes.found(session.connection())
        outcomes.forget(session)
        read = 0
        for chain, end in ends.items():
            left = end
            while left and (count := read_on(session, chain, min(left, RECORDS_AT_ONCE))):
                left, read = left - count, read + count
        counted = put_together(session) if read else None
        problems = outcomes.problems(session.connection())
        session.rollback()
    return Recount(stored, counted, read, problems)


class Told(NamedTuple):
    """What is told of the track record: figures as `figures` makes them, and what they were made of.

    `untold` counts the changes of which nobody was told. That is not from the ledger, which knows no clock.
    """

    through: datetime | None
    overall: dict[str, Any] | None
    algorithms: list[dict[str, Any]]
    records: int
    problems: list[str]
    untold: int


def told(connection: Connection) -> Told:
    """The figures as they were last put together."""
    found = outcomes.found(connection) or Found(None, {"overall": None, "algorithms": []})
    return Told(
        found.through,
        found.figures["overall"],
        found.figures["algorithms"],
        outcomes.records_read(connection),
        outcomes.problems(connection),
        changes.count_untold(connection),
    )


def _score(
    key: str | None,
    total: scores.Changes,
    pairs: scores.Pairs | None,
    moves: dict[tuple[str | None, str | None, int], scores.Moves],
) -> dict[str, Any]:
    horizons = sorted({candles for _, _, candles in moves})
    return {
        "algorithm": key,
        **total._asdict(),
        "since": _iso(total.since),
        "until": _iso(total.until),
        "following": None if pairs is None else pairs._asdict(),
        "after": [
            {
                "candles": candles,
                **{
                    name: moves[key, side, candles]._asdict() if (key, side, candles) in moves else None
                    for name, side in (("all", None), ("buy", "BUY"), ("sell", "SELL"))
                },
            }
            for candles in horizons
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
