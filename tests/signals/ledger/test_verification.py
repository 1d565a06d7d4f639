"""`ledger verify` names what somebody who may write to the database has done to the ledger."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, text

from services.signals.__main__ import main
from services.signals.errors import BadBatches, BadHead, BadRecord
from services.signals.feeds.replay import read_recording
from services.signals.ledger.export import Folder, keep_head, write_out
from services.signals.ledger.heads import Ends, read_directory
from services.signals.ledger.records import NO_CANDLES, iso
from services.signals.ledger.verification import verify
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.conftest import _Templates
from tests.signals import audited, local_market
from tests.signals.audited import CHAIN, Content, contents, write_anew
from tests.signals.closing import ALL
from tests.signals.local_market import running
from tests.signals.test_feed import write
from tests.signals.test_runner import MakeUrl

FIRST_DAY = datetime(2026, 11, 27, 12, tzinfo=UTC)
EARLY = 40
"""How many batches had been released on the day of the first exported head."""

Tamper = Callable[[Connection], Any]


class Market(NamedTuple):
    """A database with a market that was evaluated, and the folder that its heads were exported to."""

    name: str
    heads: Path


@pytest.fixture(scope="module")
def market(_templates: _Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    name = _templates.copy("signals")
    database = Database(_templates._server.url(name), application_name="test")
    folder = tmp_path_factory.mktemp("heads")
    whole = audited.whole_market()
    runner = Runner(0, 1, ALL)
    audited.run(database, whole[:EARLY], [runner])
    keep_head(database, FIRST_DAY)
    audited.run(database, whole[EARLY:], [runner])
    keep_head(database, FIRST_DAY.replace(day=28))
    assert write_out(database, Folder(folder)) == 2
    database.dispose()
    yield Market(name, folder)
    _templates.drop(name)


@pytest.fixture
def database(market: Market, _templates: _Templates) -> Iterator[Database]:
    """A copy that may be tampered with."""
    name = f"{market.name}_copy"
    _templates._administer("CREATE DATABASE {} TEMPLATE {}", name, market.name)
    database = Database(_templates._server.url(name), application_name="test")
    yield database
    database.dispose()
    _templates.drop(name)


def tampered(database: Database, tamper: Tamper) -> None:
    with database.transaction() as session:
        tamper(session.connection())


def fault(database: Database, exported: list[tuple[str, Ends]] | None = None) -> BadRecord:
    with pytest.raises(BadRecord) as caught:
        verify(database, exported or [])
    return caught.value


def execute(statement: str, **values: object) -> Tamper:
    return lambda connection: connection.execute(text(statement), {"p": CHAIN, **values})


def with_a_change(connection: Connection) -> int:
    """The sequence of a record somewhere in the middle that has a change."""
    return next(
        each["sequence"] for each in contents(connection) if each["changes"] and each["sequence"] > 20
    )


def test_a_ledger_that_nobody_touched_is_good(database: Database, market: Market) -> None:
    told: list[tuple[int, int]] = []
    report = verify(database, read_directory(market.heads), lambda done, of: told.append((done, of)))
    with database.read() as connection:
        count = connection.execute(text("SELECT count(*) FROM ledger")).scalar_one()
        changes = connection.execute(text("SELECT count(*) FROM view_change")).scalar_one()
        late = connection.execute(text("SELECT count(*) FROM ledger WHERE late")).scalar_one()
        unusable = connection.execute(text("SELECT count(*) FROM released_batch WHERE unusable")).scalar_one()
    assert (report.records, report.changes, report.heads, report.without_candles) == (count, changes, 4, 0)
    assert told[-1] == (count, count)
    assert report.checkpoints == 3 * 3
    assert (late, unusable) == (1, 2)
    assert changes > 20


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
    found = fault(database, read_directory(market.heads))
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
    found = fault(database, read_directory(market.heads))
    assert found.partition == CHAIN
    assert "2026-11-28.json has this one" in found.what


MINE = "ticker IN (SELECT ticker FROM ticker WHERE partition = :p)"
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


def test_a_file_that_was_edited_or_left_out_is_named(
    database: Database, market: Market, tmp_path: Path
) -> None:
    files = sorted(market.heads.iterdir())
    for path in files:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / files[0].name).write_bytes(files[0].read_bytes().replace(b'"sequence":', b'"sequence": '))
    with pytest.raises(BadHead, match=r"2026-11-27.json"):
        read_directory(tmp_path)
    (tmp_path / files[0].name).unlink()
    verify(database, read_directory(tmp_path))
    tampered(database, execute("DELETE FROM ledger_head WHERE day = '2026-11-27'"))
    with pytest.raises(BadHead, match="is not the first one"):
        verify(database)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["signals", "ledger", *arguments])
    return main()


def test_the_command_says_good_or_names_the_first_bad_record_or_that_it_could_not_look(
    database: Database,
    market: Market,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    assert command(monkeypatch, "verify", "--database", url, "--heads", str(market.heads)) == 0
    assert capsys.readouterr().out.startswith("good: ")
    tampered(database, execute("DELETE FROM ledger WHERE partition = :p AND sequence = 23"))
    monkeypatch.setenv("DATABASE_URL", url)
    assert command(monkeypatch, "verify") == 1
    assert capsys.readouterr().out == f"chain {CHAIN}, record 23: it is missing: record 24 comes next\n"
    for nothing in (
        ("--heads", str(tmp_path)),
        ("--heads", str(tmp_path / "none")),
        ("--database", url.replace("_copy", "_none")),
    ):
        assert command(monkeypatch, "verify", *nothing) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 3


def test_a_market_of_feed_relay_and_three_runners_is_good_while_it_runs_and_after(
    database_url: MakeUrl, tmp_path: Path
) -> None:
    for number, name in enumerate(("AAA", "BBB", "CCC", "DDD", "EEE")):
        write(tmp_path, name, 60 + number)
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    batches = sum(1 for _ in read_recording(tmp_path, "test").batches())
    seen: list[int] = []
    with running(local_market.market_loops(database, url, tmp_path, shards=3)):

        def is_through() -> bool:
            seen.append(verify(database).records)
            return local_market.released(database) == batches

        local_market.wait_until(is_through, "the end")
    assert verify(database).records > 60
    assert len(set(seen)) > 1
    database.dispose()
