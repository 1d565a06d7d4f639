"""`ledger verify` holds what is stored beside the chains to them."""

import pytest
from sqlalchemy import text

from services.signals.errors import BadBatches
from services.signals.ledger.records import NO_CANDLES
from services.signals.ledger.verification import verify
from shared.db.engine import Database
from tests.signals import audited
from tests.signals.ledger.tampering import MINE, execute, fault, tampered

TURN = """ledger_partition = :p
    AND ledger_sequence = (SELECT min(ledger_sequence) FROM view_change WHERE ledger_partition = :p)"""
CHECKPOINT = """partition = :p
    AND sequence = (SELECT min(sequence) FROM checkpoint WHERE partition = :p)"""
OTHERWISE = {
    "an edited candle": (
        f"UPDATE candle SET close = close + 0.01 WHERE evaluated_in = 25 AND {MINE}",
        25,
        "the candles that it evaluated are not those that are stored",
    ),
    "a deleted candle": (
        f"DELETE FROM candle WHERE evaluated_in = 25 AND {MINE}",
        25,
        "the candles that it evaluated are not those that are stored",
    ),
    "a candle moved to another record": (
        f"UPDATE candle SET evaluated_in = 26 WHERE evaluated_in = 25 AND {MINE}",
        25,
        "the candles that it evaluated are not those that are stored",
    ),
    "an added candle": (
        f"""INSERT INTO candle (ticker, timeframe, open_time, open, high, low, close, volume, evaluated_in)
            SELECT ticker, timeframe, open_time + interval '7 minutes', open, high, low, close, volume, 25
            FROM candle WHERE evaluated_in = 25 AND {MINE}""",
        25,
        "the candles that it evaluated are not those that are stored",
    ),
    "an added candle behind the last record": (
        f"""INSERT INTO candle (ticker, timeframe, open_time, open, high, low, close, volume, evaluated_in)
            SELECT ticker, timeframe, open_time + interval '30 days', open, high, low, close, volume, 25
            FROM candle WHERE evaluated_in = 25 AND {MINE}""",
        25,
        "has a candle that names it, but is of another close than it",
    ),
    "an edited change": (
        f"UPDATE view_change SET close_time = close_time - interval '1 hour' WHERE {TURN}",
        None,
        "is not in view_change like that",
    ),
    "a deleted change": (
        f"DELETE FROM view_change WHERE {TURN}",
        None,
        "is not in view_change like that",
    ),
    "an added change": (
        f"""INSERT INTO view_change (ticker, close_time, algorithm, timeframe, algorithm_version, from_view,
                to_view, close, why, ledger_partition, ledger_sequence)
            SELECT ticker, close_time, algorithm || '_', timeframe, algorithm_version, from_view, to_view,
                close, why, ledger_partition, ledger_sequence FROM view_change WHERE {TURN}""",
        None,
        "which it does not have",
    ),
    "a change of no record": (
        f"""INSERT INTO view_change (ticker, close_time, algorithm, timeframe, algorithm_version, from_view,
                to_view, close, why, ledger_partition, ledger_sequence)
            SELECT ticker, close_time + interval '1 year', algorithm, timeframe, algorithm_version, from_view,
                to_view, close, why, ledger_partition, 100000 FROM view_change WHERE {TURN}""",
        100000,
        "it is missing, but view_change has",
    ),
    "a change of no chain": (
        f"UPDATE view_change SET ledger_partition = 16 WHERE {TURN}",
        None,
        "there is no such chain",
    ),
    "a deleted signal": (
        f"""DELETE FROM signal WHERE (ticker, open_time) IN (
            SELECT ticker, open_time FROM candle WHERE (ticker, evaluated_in) IN (
                SELECT ticker, ledger_sequence FROM view_change WHERE {TURN}))""",
        None,
        "does not say what its change says",
    ),
    "a view that nothing gave": (
        "UPDATE view SET view = CASE view WHEN 'BUY' THEN 'SELL' ELSE 'BUY' END WHERE ledger_partition = :p",
        None,
        "is not what its last change made it",
    ),
    "a column that says something else": (
        "UPDATE ledger SET close_time = close_time + interval '1 s' WHERE partition = :p AND sequence = 9",
        9,
        "its columns say something else than its text",
    ),
    "an edited checkpoint": (
        f"UPDATE checkpoint SET state = state || '0' WHERE {CHECKPOINT}",
        None,
        "its checkpoint is not the one that is stored",
    ),
    "an edited checkpoint with its hash": (
        f"""UPDATE checkpoint SET state = state || '0', hash = encode(sha256(state || '0'), 'hex')
            WHERE {CHECKPOINT}""",
        None,
        "its checkpoint is not the one that is stored",
    ),
    "a deleted checkpoint": (f"DELETE FROM checkpoint WHERE {CHECKPOINT}", None, "its checkpoint is missing"),
    "an added checkpoint": (
        """INSERT INTO checkpoint (partition, sequence, timeframe, close_time, hash, state)
            SELECT partition, 9, timeframe, close_time, hash, state FROM checkpoint
            WHERE partition = :p ORDER BY sequence LIMIT 1""",
        9,
        "its checkpoint stands where it has none",
    ),
    "a chain that is gone": (
        "DELETE FROM ledger WHERE partition = :p",
        1,
        "had its first candle is missing",
    ),
}


@pytest.mark.parametrize(("statement", "sequence", "what"), OTHERWISE.values(), ids=OTHERWISE)
def test_what_is_stored_beside_the_chain_is_held_to_it(
    database: Database, statement: str, sequence: int | None, what: str
) -> None:
    tampered(database, execute(statement))
    found = fault(database)
    assert what in found.what
    assert sequence in (None, found.sequence)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM released_batch WHERE sequence = 12", "batch 12 of the feed test is missing"),
        ("DELETE FROM released_batch WHERE sequence > 90", "90 of them are listed"),
    ],
)
def test_a_released_batch_that_is_no_longer_listed_is_named(
    database: Database, statement: str, what: str
) -> None:
    tampered(database, execute(statement))
    with pytest.raises(BadBatches, match=what):
        verify(database)


def test_candles_that_retention_has_let_go_of_are_no_fault(database: Database) -> None:
    with database.read() as connection:
        hourly = connection.execute(
            text("""SELECT count(*) FROM ledger WHERE timeframe = '1h' AND record NOT LIKE :nothing"""),
            {"nothing": f"%{NO_CANDLES}%"},
        ).scalar_one()
        names = connection.execute(
            text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'candle_1h'::regclass")
        ).scalars()
        for name in names.all():
            connection.execute(text(f"DROP TABLE {name}"))
    assert verify(database).without_candles == hourly


def test_batches_that_no_shard_has_met_need_no_record(database: Database) -> None:
    audited.run(database, audited.whole_market()[-1:], runners=[])
    verify(database)
