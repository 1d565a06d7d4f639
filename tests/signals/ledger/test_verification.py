"""`ledger verify` names what somebody who may write to the database has done to a chain."""

from typing import Any

import pytest
from sqlalchemy import Connection, text

from services.signals.ledger.export import Folder
from services.signals.ledger.heads import read_files
from services.signals.ledger.records import iso
from services.signals.ledger.verification import verify
from shared.db.engine import Database
from tests.signals.audited import CHAIN, Content, contents, write_anew
from tests.signals.ledger.tampering import FIRST_DAY, MINE, Market, execute, fault, tampered


def with_a_change(connection: Connection) -> int:
    """The sequence of a record somewhere in the middle that has a change."""
    return next(
        each["sequence"] for each in contents(connection) if each["changes"] and each["sequence"] > 20
    )


def test_a_ledger_that_nobody_touched_is_good(database: Database, market: Market) -> None:
    told: list[tuple[int, int]] = []
    report = verify(
        database, read_files(Folder(market.heads).files()), lambda done, of: told.append((done, of))
    )
    with database.read() as connection:
        count = connection.execute(text("SELECT count(*) FROM ledger")).scalar_one()
        changes = connection.execute(text("SELECT count(*) FROM view_change")).scalar_one()
        late = connection.execute(text("SELECT count(*) FROM ledger WHERE late")).scalar_one()
        unusable = connection.execute(text("SELECT count(*) FROM released_batch WHERE unusable")).scalar_one()
    assert (report.records, report.changes, report.without_candles) == (count, changes, 0)
    assert (report.heads, report.exported) == (2, 2)
    assert told[-1] == (count, count)
    assert report.checkpoints == 3 * 3
    assert (late, unusable) == (1, 2)
    assert changes > 10


def test_a_record_that_was_edited_is_named(database: Database) -> None:
    tampered(
        database,
        execute("""UPDATE ledger SET record = replace(record, ',"late"', ', "late"')
            WHERE partition = :p AND sequence = 17"""),
    )
    found = fault(database)
    assert (found.partition, found.sequence, iso(found.close_time or FIRST_DAY)) == (
        CHAIN,
        17,
        close_of_row(database, 17),
    )
    assert "not canonical JSON" in found.what


def close_of_row(database: Database, sequence: int) -> str:
    with database.read() as connection:
        row = connection.execute(
            text("SELECT close_time FROM ledger WHERE partition = :p AND sequence = :s"),
            {"p": CHAIN, "s": sequence},
        )
        return iso(row.scalar_one())


def test_a_record_that_says_something_else_than_its_hash_is_named(database: Database) -> None:
    tampered(
        database,
        execute("""UPDATE ledger SET record = replace(record, '"candles":"', '"candles":"0')
            WHERE partition = :p AND sequence = 17"""),
    )
    found = fault(database)
    assert found.sequence == 17
    assert "its hash is" in found.what


def turned(content: Content) -> Content:
    change, *rest = content["changes"]
    return {**content, "changes": [{**change, "close": change["close"] + 1}, *rest]}


def edited(connection: Connection) -> None:
    number = with_a_change(connection)
    records = contents(connection)
    records[number - 1] = turned(records[number - 1])
    write_anew(connection, records)


def test_an_edited_record_in_a_chain_that_was_linked_anew_differs_from_its_change(database: Database) -> None:
    with database.read() as connection:
        number = with_a_change(connection)
    tampered(database, edited)
    found = fault(database)
    assert found.sequence == number
    assert "is not in view_change like that" in found.what


def edited_everywhere(connection: Connection) -> None:
    """A change at a price that never was, in all tables that tell of it."""
    number = with_a_change(connection)
    records = contents(connection)
    change = records[number - 1]["changes"][0]
    edited(connection)
    values = {"t": change["ticker"], "a": change["algorithm"], "p": CHAIN, "s": number}
    pair = "ticker = :t AND algorithm = :a"
    opened = "SELECT open_time FROM candle WHERE ticker = :t AND evaluated_in = :s"
    for statement in (
        f"UPDATE signal SET close = close + 1 WHERE {pair} AND open_time IN ({opened})",
        f"UPDATE view SET close = close + 1 WHERE {pair} AND ledger_sequence = :s",
        f"UPDATE view_change SET close = close + 1 WHERE {pair} AND ledger_sequence = :s",
    ):
        connection.execute(text(statement), values)


def test_a_past_rewritten_in_every_table_shows_in_the_exported_heads(
    database: Database, market: Market
) -> None:
    tampered(database, edited_everywhere)
    tampered(database, execute("DELETE FROM ledger_head"))
    verify(database)
    found = fault(database, read_files(Folder(market.heads).files()))
    assert found.partition == CHAIN
    assert "its hash is not the one that 2026-11-2" in found.what


def test_a_past_rewritten_differs_from_the_stored_heads_too(database: Database) -> None:
    tampered(database, edited_everywhere)
    assert "the stored head of 2026-11-2" in fault(database).what


def test_a_record_that_was_deleted_is_named(database: Database) -> None:
    tampered(database, execute("DELETE FROM ledger WHERE partition = :p AND sequence = 23"))
    found = fault(database)
    assert (found.partition, found.sequence) == (CHAIN, 23)
    assert "it is missing" in found.what


def test_a_record_left_out_of_a_chain_that_was_linked_anew_is_named(database: Database) -> None:
    with database.read() as connection:
        records = contents(connection)
    omitted = next(each for each in records if each["sequence"] > 30 and each["changes"])
    tampered(database, lambda connection: write_anew(connection, [r for r in records if r is not omitted]))
    found = fault(database)
    assert (found.partition, found.sequence) == (CHAIN, omitted["sequence"])
    assert iso(found.close_time or FIRST_DAY) == omitted["close_time"]
    assert "is missing" in found.what


def swapped(connection: Connection, **more: Any) -> None:
    records = contents(connection)
    first = next(
        number
        for number in range(30, len(records))
        if not records[number]["late"] and not records[number + 1]["late"]
    )
    records[first], records[first + 1] = records[first + 1], {**records[first], **more}
    write_anew(connection, records)


def test_records_that_changed_places_are_named_where_their_links_end(database: Database) -> None:
    for old, new in ((31, 0), (32, 31), (0, 32)):
        move = "UPDATE ledger SET sequence = :new WHERE partition = :p AND sequence = :old"
        tampered(database, execute(move, old=old, new=new))
    found = fault(database)
    assert found.sequence == 31
    assert "the record before is" in found.what


def test_records_that_changed_places_in_a_chain_that_was_linked_anew_are_named(database: Database) -> None:
    tampered(database, swapped)
    found = fault(database)
    assert found.sequence == 31
    assert "is missing" in found.what


def test_nor_does_it_help_to_call_them_late(database: Database) -> None:
    tampered(database, lambda connection: swapped(connection, late=True))
    assert fault(database).sequence == 31


@pytest.mark.parametrize(
    ("was_late", "what"),
    [(False, "it is marked late, but comes in its place"), (True, "it is out of order, and not marked late")],
)
def test_a_record_that_is_late_without_saying_so_or_says_so_without_being_late_is_named(
    database: Database, was_late: bool, what: str
) -> None:
    with database.read() as connection:
        records = contents(connection)
    wrong = next(each for each in records[20:] if each["late"] is was_late and "checkpoint" not in each)
    wrong["late"] = not was_late
    tampered(database, lambda connection: write_anew(connection, records))
    found = fault(database)
    assert (found.sequence, found.what) == (wrong["sequence"], what)


def without_a_checkpoint(connection: Connection) -> None:
    records = contents(connection)
    due = next(each for each in records if "checkpoint" in each)
    del due["checkpoint"]
    write_anew(connection, records)
    connection.execute(
        text("DELETE FROM checkpoint WHERE partition = :p AND sequence = :s"),
        {"p": CHAIN, "s": due["sequence"]},
    )


def test_a_checkpoint_left_out_of_a_chain_that_was_linked_anew_is_named(database: Database) -> None:
    tampered(database, without_a_checkpoint)
    assert "it lacks a checkpoint where one is due" in fault(database).what


def cut_off(connection: Connection) -> None:
    """The last three records of a chain and all that came of them."""
    write_anew(connection, contents(connection)[:-3])
    for statement in (
        f"""DELETE FROM signal WHERE {MINE}
            AND (ticker, open_time) NOT IN (SELECT ticker, open_time FROM candle)""",
        """INSERT INTO view SELECT DISTINCT ON (ticker, algorithm) ticker, algorithm, timeframe, to_view,
                close_time, close, ledger_partition, ledger_sequence
            FROM view_change WHERE ledger_partition = :p ORDER BY ticker, algorithm, close_time DESC
            ON CONFLICT (ticker, algorithm) DO NOTHING""",
    ):
        connection.execute(text(statement), {"p": CHAIN})


def test_a_tail_that_was_cut_off_is_named(database: Database) -> None:
    with database.read() as connection:
        records = contents(connection)
    tampered(database, cut_off)
    found = fault(database)
    assert (found.partition, found.sequence) == (CHAIN, len(records) - 2)
    assert iso(found.close_time or FIRST_DAY) == records[-3]["close_time"]
    assert "of the feed test" in found.what


def cut_off_with_the_batches(connection: Connection) -> None:
    """The last three records, and whatever tells that there were cycles that had them."""
    cut_off(connection)
    last = "(SELECT sequence FROM released_batch ORDER BY number DESC OFFSET 3 LIMIT 1)"
    for statement in (
        f"UPDATE feed SET sequence = {last}",
        f"UPDATE shard_position SET sequence = {last}",
        f"DELETE FROM released_batch WHERE sequence > {last}",
    ):
        connection.execute(text(statement))


def test_a_tail_cut_off_with_everything_that_tells_of_it_shows_in_the_exported_heads(
    database: Database, market: Market
) -> None:
    tampered(database, cut_off_with_the_batches)
    tampered(database, execute("DELETE FROM ledger_head"))
    found = fault(database, read_files(Folder(market.heads).files()))
    assert found.partition == CHAIN
    assert "2026-11-28.json has this one" in found.what
