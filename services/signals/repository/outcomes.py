"""What became of the ledger's changes: how far each chain was read, and what was found."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from services.signals.candles import CandleBatch, length_of
from services.signals.outcomes import Entry, Outcome, Standing


class Position(NamedTuple):
    """How far a chain was read, up to which record; `problem` says why no further."""

    sequence: int
    hash: str
    problem: str | None


class Found(NamedTuple):
    """The figures as they were last put together, and the newest close they know of."""

    through: datetime | None
    figures: dict[str, Any]


def hold(session: Session, partition: int) -> Position | None:
    """How far a chain was read, kept from others until the transaction ends; None while another has it."""
    session.execute(
        text("INSERT INTO tally (partition) VALUES (:partition) ON CONFLICT DO NOTHING"),
        {"partition": partition},
    )
    row = session.execute(
        text(
            """
            SELECT sequence, hash, problem FROM tally WHERE partition = :partition
            FOR UPDATE SKIP LOCKED
            """
        ),
        {"partition": partition},
    ).one_or_none()
    return None if row is None else Position(*row)


def hold_all(session: Session) -> dict[int, int]:
    """Up to which record each chain was read, kept from others until the transaction ends."""
    rows = session.execute(text("SELECT partition, sequence FROM tally ORDER BY partition FOR UPDATE"))
    return {row.partition: row.sequence for row in rows}


def move(session: Session, partition: int, position: Position) -> None:
    """Remember how far a chain was read."""
    session.execute(
        text(
            """
            UPDATE tally SET sequence = :sequence, hash = :hash, problem = :problem
            WHERE partition = :partition
            """
        ),
        {"partition": partition, **position._asdict()},
    )


def unread(connection: Connection, chains: Sequence[int]) -> list[int]:
    """The chains that have records behind what was read of them."""
    rows = connection.execute(
        text(
            """
            SELECT chain FROM unnest(CAST(:chains AS smallint[])) AS chain
            LEFT JOIN tally ON tally.partition = chain
            WHERE EXISTS (SELECT 1 FROM ledger WHERE ledger.partition = chain
                AND ledger.sequence > COALESCE(tally.sequence, 0))
            ORDER BY chain
            """
        ),
        {"chains": list(chains)},
    )
    return list(rows.scalars())


def is_unread_before(connection: Connection, timeframe: str, end: datetime) -> bool:
    """Whether a chain has a record, behind what was read of it, of candles that opened before a moment."""
    found: bool = connection.execute(
        text(
            """
            SELECT COALESCE(bool_or(unread.oldest < CAST(:end AS timestamptz) + :length), false)
            FROM (SELECT DISTINCT partition FROM ticker WHERE timeframe = :timeframe) AS begun
            LEFT JOIN tally ON tally.partition = begun.partition
            CROSS JOIN LATERAL (SELECT min(close_time) AS oldest FROM ledger
                WHERE partition = begun.partition AND timeframe = :timeframe
                    AND sequence > COALESCE(tally.sequence, 0)) AS unread
            """
        ),
        {"timeframe": timeframe, "end": end, "length": length_of(timeframe)},
    ).scalar_one()
    return found


def entries(session: Session, partition: int, after: int, limit: int) -> list[Entry]:
    """The records of a chain behind one, in their order."""
    rows = session.execute(
        text(
            """
            SELECT sequence, timeframe, close_time, late, record, hash FROM ledger
            WHERE partition = :partition AND sequence > :after ORDER BY sequence LIMIT :limit
            """
        ),
        {"partition": partition, "after": after, "limit": limit},
    )
    return [Entry(*row) for row in rows]


def candles_of(session: Session, partition: int, read: Sequence[Entry]) -> dict[int, CandleBatch]:
    """The stored candles that records of one chain evaluated, by the record's sequence."""
    found: dict[int, CandleBatch] = {}
    for timeframe in {entry.timeframe for entry in read}:
        length = length_of(timeframe)
        opens = [entry.close_time - length for entry in read if entry.timeframe == timeframe]
        sequences = [entry.sequence for entry in read if entry.timeframe == timeframe]
        rows = session.execute(
            text(
                """
                SELECT evaluated_in, open_time, array_agg(ticker ORDER BY ticker COLLATE "C"),
                    array_agg(CAST(open AS float8) ORDER BY ticker COLLATE "C"),
                    array_agg(CAST(high AS float8) ORDER BY ticker COLLATE "C"),
                    array_agg(CAST(low AS float8) ORDER BY ticker COLLATE "C"),
                    array_agg(CAST(close AS float8) ORDER BY ticker COLLATE "C"),
                    array_agg(CAST(volume AS float8) ORDER BY ticker COLLATE "C")
                FROM candle JOIN ticker USING (ticker, timeframe)
                WHERE partition = :partition AND timeframe = :timeframe
                    AND open_time BETWEEN :first AND :last AND evaluated_in = ANY(:sequences)
                GROUP BY evaluated_in, open_time
                """
            ),
            {
                "partition": partition,
                "timeframe": timeframe,
                "first": min(opens),
                "last": max(opens),
                "sequences": sequences,
            },
        )
        for sequence, opened, names, *columns in rows:
            arrays = (np.array(column, np.float64) for column in columns)
            found[sequence] = CandleBatch(timeframe, opened + length, tuple(names), *arrays)
    return found


def pending(session: Session, partition: int) -> list[Outcome]:
    """The changes of a chain that have not had all their candles, in their order."""
    rows = session.execute(
        text(
            """
            SELECT partition, sequence, algorithm, ticker, timeframe, close_time, algorithm_version,
                from_view, to_view, CAST(close AS float8), late, candles, CAST(close_1 AS float8),
                CAST(close_4 AS float8), CAST(close_24 AS float8)
            FROM outcome WHERE partition = :partition AND candles < 24 ORDER BY sequence, ticker, algorithm
            """
        ),
        {"partition": partition},
    )
    return [_outcome(tuple(row)) for row in rows]


def standings(session: Session, partition: int) -> list[Standing]:
    """All standings of the tickers of a chain."""
    rows = session.execute(
        text(
            """
            SELECT ticker, algorithm, timeframe, partition, since, until, CAST(first_close AS float8),
                CAST(last_close AS float8), candles, capital, CAST(entry_close AS float8), worth, peak,
                drawdown, CAST(hold_peak AS float8), hold_drawdown
            FROM standing WHERE partition = :partition
            """
        ),
        {"partition": partition},
    )
    return [Standing(*row) for row in rows]


def store_outcomes(session: Session, rows: Sequence[Outcome]) -> None:
    """Write changes that are new, and the closes that have come since; a close that is known stays."""
    _insert(
        session,
        """
        INSERT INTO outcome AS known (partition, sequence, algorithm, ticker, timeframe, close_time,
            algorithm_version, from_view, to_view, close, late, candles, close_1, close_4, close_24)
        SELECT * FROM unnest(CAST(:c0 AS smallint[]), CAST(:c1 AS bigint[]), CAST(:c2 AS text[]),
            CAST(:c3 AS text[]), CAST(:c4 AS text[]), CAST(:c5 AS timestamptz[]), CAST(:c6 AS text[]),
            CAST(:c7 AS text[]), CAST(:c8 AS text[]), CAST(:c9 AS numeric[]), CAST(:c10 AS boolean[]),
            CAST(:c11 AS smallint[]), CAST(:c12 AS numeric[]), CAST(:c13 AS numeric[]),
            CAST(:c14 AS numeric[]))
        ON CONFLICT (partition, sequence, algorithm, ticker) DO UPDATE SET candles = excluded.candles,
            close_1 = COALESCE(known.close_1, excluded.close_1),
            close_4 = COALESCE(known.close_4, excluded.close_4),
            close_24 = COALESCE(known.close_24, excluded.close_24)
        """,
        [
            (
                row.partition,
                row.sequence,
                row.algorithm,
                row.ticker,
                row.timeframe,
                row.close_time,
                row.algorithm_version,
                row.from_view,
                row.to_view,
                repr(row.close),
                row.late,
                row.candles,
                *map(_text, row.closes),
            )
            for row in rows
        ],
    )


def store_standings(session: Session, rows: Sequence[Standing]) -> None:
    """Write standings that have moved."""
    _insert(
        session,
        """
        INSERT INTO standing (ticker, algorithm, timeframe, partition, since, until, first_close, last_close,
            candles, capital, entry_close, worth, peak, drawdown, hold_peak, hold_drawdown)
        SELECT * FROM unnest(CAST(:c0 AS text[]), CAST(:c1 AS text[]), CAST(:c2 AS text[]),
            CAST(:c3 AS smallint[]), CAST(:c4 AS timestamptz[]), CAST(:c5 AS timestamptz[]),
            CAST(:c6 AS numeric[]), CAST(:c7 AS numeric[]), CAST(:c8 AS bigint[]), CAST(:c9 AS float8[]),
            CAST(:c10 AS numeric[]), CAST(:c11 AS float8[]), CAST(:c12 AS float8[]),
            CAST(:c13 AS float8[]), CAST(:c14 AS numeric[]), CAST(:c15 AS float8[]))
        ON CONFLICT (ticker, algorithm, timeframe) DO UPDATE SET until = excluded.until,
            last_close = excluded.last_close, candles = excluded.candles, capital = excluded.capital,
            entry_close = excluded.entry_close, worth = excluded.worth, peak = excluded.peak,
            drawdown = excluded.drawdown, hold_peak = excluded.hold_peak,
            hold_drawdown = excluded.hold_drawdown
        """,
        [
            (
                row.ticker,
                row.algorithm,
                row.timeframe,
                row.partition,
                row.since,
                row.until,
                repr(row.first_close),
                repr(row.last_close),
                row.candles,
                row.capital,
                _text(row.entry_close),
                row.worth,
                row.peak,
                row.drawdown,
                repr(row.hold_peak),
                row.hold_drawdown,
            )
            for row in rows
        ],
    )


def found(connection: Connection) -> Found | None:
    """The figures as they were last put together; None before the first time."""
    row = connection.execute(text("SELECT through, figures FROM track_record")).one_or_none()
    return None if row is None else Found(*row)


def store_figures(session: Session, figures: Found) -> None:
    """Replace the figures."""
    session.execute(
        text(
            """
            INSERT INTO track_record (id, through, figures) VALUES (1, :through, :figures)
            ON CONFLICT (id) DO UPDATE SET through = excluded.through, figures = excluded.figures
            """
        ).bindparams(bindparam("figures", type_=JSONB)),
        figures._asdict(),
    )


def records_read(connection: Connection) -> int:
    """How many records of all chains were read and found good."""
    read: int = connection.execute(text("SELECT COALESCE(sum(sequence), 0) FROM tally")).scalar_one()
    return int(read)


def problems(connection: Connection) -> list[str]:
    """Why chains could not be read to their end."""
    rows = connection.execute(text("SELECT problem FROM tally WHERE problem IS NOT NULL ORDER BY partition"))
    return list(rows.scalars())


def forget(session: Session) -> None:
    """Begin all over: as if no chain had been read."""
    for table in ("outcome", "standing", "tally", "track_record"):
        session.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - text of this module only


def _outcome(row: tuple[Any, ...]) -> Outcome:
    *values, after_1, after_4, after_24 = row
    outcome = Outcome(*values)
    outcome.closes = [after_1, after_4, after_24]
    return outcome


def _insert(session: Session, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        columns = zip(*rows, strict=True)
        session.execute(text(statement), {f"c{index}": list(column) for index, column in enumerate(columns)})


def _text(number: float | None) -> str | None:
    """The shortest decimal that reads back as the number."""
    return None if number is None else repr(number)
