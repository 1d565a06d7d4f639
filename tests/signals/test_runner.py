import csv
import gzip
import io
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from services.signals.algorithms import ALGORITHMS
from services.signals.candles import CandleBatch
from services.signals.feeds.csv_files import read_directory
from services.signals.ledger.records import partition_of
from services.signals.lineup import Lineup
from services.signals.replay import stamp
from services.signals.repository.locks import SHARD_SPACE
from services.signals.runner import Runner, loops
from shared.bus.local import LocalBus
from shared.db.engine import Database
from tests.signals import closing, local_market
from tests.signals.closing import ALL, close, close_all, events, stored
from tests.signals.market import DATA, batches, random_walk

MakeDatabase = Callable[[str], Database]
MakeUrl = Callable[[str | None], str]


def printed_by_replay(directory: Path) -> list[dict[str, str]]:
    command = [sys.executable, "-m", "services.signals", "replay", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(csv.DictReader(io.StringIO(done.stdout)))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some hundred candles of recorded tickers of two timeframes, with tickers that begin later."""
    directory = tmp_path_factory.mktemp("recording")
    for name, begin, end in (
        ("daily/AAPL", 0, 130),
        ("daily/IBM", 20, 130),
        ("daily/MSFT", 40, 130),
        ("m15/BTC-USD", 0, 80),
    ):
        header, *rows = gzip.decompress((DATA / f"{name}.csv.gz").read_bytes()).decode().splitlines()
        (directory / f"{Path(name).name}.csv").write_text("\n".join([header, *rows[begin:end]]))
    return directory


@pytest.fixture(scope="module")
def unbroken(kept_database_url: MakeUrl, recording: Path) -> Iterator[Database]:
    """What a market of one shard leaves that evaluates the recording without a break."""
    url = kept_database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    local_market.run_to_the_end(database, url, recording)
    yield database
    database.dispose()


def test_signals_and_views_are_those_that_the_replay_command_prints(
    unbroken: Database, recording: Path
) -> None:
    printed = printed_by_replay(recording)
    assert len({row["algorithm"] for row in printed}) >= 5

    with unbroken.read() as connection:
        rows = connection.execute(
            text("SELECT open_time, ticker, algorithm, signal, view, close FROM signal")
        )
        signals = sorted((stamp(row[0]), *row[1:5], repr(float(row[5]))) for row in rows)
        views = {
            (row.algorithm, row.ticker): row.view
            for row in connection.execute(text("SELECT algorithm, ticker, view FROM view"))
        }
    assert signals == sorted(tuple(row.values()) for row in printed)
    last = {(row["algorithm"], row["ticker"]): row["view"] for row in printed}
    tickers = [each.ticker for each in read_directory(recording).tickers]
    assert views == {
        (key, ticker): last.get((key, ticker), "HOLD") for key in ALGORITHMS for ticker in tickers
    }


def test_three_shards_leave_what_one_leaves(
    unbroken: Database, database_url: MakeUrl, recording: Path
) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    local_market.run_to_the_end(database, url, recording, shards=3)
    found = stored(database)
    database.dispose()
    assert found == stored(unbroken)


def has_released(database: Database, batches: int) -> bool:
    return local_market.released(database) >= batches


def test_a_market_killed_at_random_points_leaves_what_an_unbroken_one_leaves(
    unbroken: Database, database_url: MakeUrl, recording: Path
) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    total = local_market.released(unbroken)
    chance = random.Random(11)
    kills = sorted(chance.sample(range(5, total - 5), 4))
    for at in kills:
        with subprocess.Popen(
            [sys.executable, "-m", "tests.signals.local_market", url, str(recording)]
        ) as market:
            try:
                local_market.wait_until(partial(has_released, database, at), f"{at} batches")
            finally:
                market.send_signal(signal.SIGKILL)
        assert local_market.released(database) < total

    local_market.run_to_the_end(database, url, recording)

    expected, found = stored(unbroken), stored(database)
    database.dispose()
    assert found == expected


def close_in_vain(database: Database, runner: Runner, batch: CandleBatch, sequence: int) -> None:
    with database.transaction() as session:
        runner.candles_closed(session, closing.envelope_of(batch, sequence))
        raise ConnectionError("before the commit")


def test_a_transaction_that_fails_after_the_step_leaves_no_trace_in_the_state(migrated: MakeDatabase) -> None:
    closes = random_walk(110, 7, seed=3)
    unbroken, broken = migrated("signals"), migrated("signals")
    close_all(unbroken, batches(closes))
    runner = Runner(0, 1, ALL)
    chance = random.Random(5)
    failed = 0
    for sequence, batch in enumerate(batches(closes), start=1):
        while chance.random() < 0.2:
            failed += 1
            with pytest.raises(ConnectionError):
                close_in_vain(broken, runner, batch, sequence)
        close(broken, runner, batch, sequence)
    assert failed > 10
    assert stored(broken) == stored(unbroken)


def test_a_close_may_be_thought_about_for_a_minute_and_other_transactions_stay_strict(
    migrated: MakeDatabase,
) -> None:
    database, show = migrated("signals"), text("SHOW idle_in_transaction_session_timeout")
    with database.transaction() as session:
        first = next(iter(batches(random_walk(1, 2, seed=1))))
        Runner(0, 1, ALL).candles_closed(session, closing.envelope_of(first))
        assert session.execute(show).scalar_one() == "1min"
    with database.transaction() as session:
        assert session.execute(show).scalar_one() == "10s"


def test_a_runner_whose_shard_another_one_has_advanced_goes_on_from_there(migrated: MakeDatabase) -> None:
    closes = random_walk(120, 5, seed=8)
    unbroken, shared_one = migrated("signals"), migrated("signals")
    close_all(unbroken, batches(closes))
    runners = [Runner(0, 1, ALL), Runner(0, 1, ALL)]
    for sequence, batch in enumerate(batches(closes), start=1):
        close(shared_one, runners[sequence // 7 % 2], batch, sequence)
    assert stored(shared_one) == stored(unbroken)


def owner_of_shard(database: Database) -> int | None:
    with database.read() as connection:
        held = """
            SELECT pid FROM pg_locks JOIN pg_database ON pg_locks.database = pg_database.oid
            WHERE locktype = 'advisory' AND granted AND classid = :space AND datname = current_database()
            """
        return connection.execute(text(held), {"space": SHARD_SPACE}).scalar_one_or_none()


def test_a_shard_has_one_owner_and_another_takes_over_when_it_ends(database_url: MakeUrl) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    first, second = (loops(local_market.settings(url), database, LocalBus())[0] for _ in range(2))
    with local_market.running([first]):
        local_market.wait_until(lambda: owner_of_shard(database) is not None, "the first owns the shard")
        holder = owner_of_shard(database)
        with local_market.running([second]):
            with database.read() as connection:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": holder})
            local_market.wait_until(
                lambda: owner_of_shard(database) not in {None, holder}, "another one owns the shard"
            )
    assert owner_of_shard(database) is None
    database.dispose()


def test_a_late_candle_is_stored_as_late_and_changes_nothing_else(migrated: MakeDatabase) -> None:
    closes = random_walk(150, 3, seed=4)
    present = np.ones((150, 3), dtype=np.bool_)
    present[100, 1] = False
    database = migrated("signals")
    runner = close_all(database, batches(closes, present=present))
    before = stored(database)
    whole = list(batches(closes))
    missing = whole[100].take(np.array([1], dtype=np.intp))

    close(database, runner, missing, 151)

    after = stored(database)
    assert len(after["candle"]) == len(before["candle"]) + 1
    assert {name: rows for name, rows in after.items() if name != "candle"} == {
        name: rows for name, rows in before.items() if name != "candle"
    }
    with database.read() as connection:
        late = connection.execute(
            text("SELECT ticker, open_time FROM candle WHERE evaluated_in IS NULL")
        ).all()
        gap = connection.execute(
            text("SELECT ticker, after_open_time, before_open_time FROM candle_gap")
        ).all()
    opened = missing.open_time
    assert late == [("T1", opened)]
    assert gap == [("T1", opened - timedelta(hours=1), opened + timedelta(hours=1))]


def test_a_restart_passes_over_late_candles(migrated: MakeDatabase) -> None:
    closes = random_walk(130, 3, seed=9)
    present = np.ones((130, 3), dtype=np.bool_)
    present[60, 2] = False
    unbroken, restarted = migrated("signals"), migrated("signals")
    late = list(batches(closes))[60].take(np.array([2], dtype=np.intp))
    live = list(batches(closes, present=present))
    close_all(unbroken, [*live[:80], late, *live[80:]])
    close_all(restarted, [*live[:80], late])
    close_all(restarted, live[80:], Runner(0, 1, ALL))
    assert stored(restarted) == stored(unbroken)


def test_repeats_are_ignored_and_other_values_refused(
    migrated: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    database = migrated("signals")
    whole = list(batches(random_walk(20, 3, seed=1)))
    runner = close_all(database, whole)
    before = stored(database)

    close(database, runner, whole[-1], 21)
    close(database, runner, whole[4], 22)
    assert stored(database) == before
    assert not caplog.records

    close(database, runner, closing.with_prices(whole[-1], 7.0), 23)
    close(database, runner, closing.with_prices(whole[4], 7.0), 24)
    assert stored(database) == before
    assert "repeats an earlier candle with other values" in caplog.text


def test_more_than_a_hundred_changes_go_out_in_events_of_a_hundred_with_why_and_ledger_position(
    migrated: MakeDatabase,
) -> None:
    database = migrated("signals")
    moves = np.repeat(random_walk(140, 1, seed=6), 130, axis=1)
    close_all(database, batches(moves))

    told = events(database, "signals.views_changed.v1")
    by_close: dict[str, list[int]] = {}
    for event in told:
        by_close.setdefault(event["close_time"], []).append(len(event["changes"]))
    assert max(map(len, by_close.values())) > 1
    assert all(size == 100 for sizes in by_close.values() for size in sizes[:-1])
    with database.read() as connection:
        rows = connection.execute(
            text("SELECT partition, sequence, CAST(record AS jsonb) AS record FROM ledger")
        )
        ledger = {(row.partition, row.sequence): row.record for row in rows}
        turned = connection.execute(text("SELECT count(*) FROM view_change")).scalar_one()
    changes = [(event["close_time"], change) for event in told for change in event["changes"]]
    assert len(changes) == turned > 500
    for close_time, change in changes:
        record = ledger[change["ledger"]["partition"], change["ledger"]["sequence"]]
        assert record["close_time"] == close_time
        assert {key: change[key] for key in ("algorithm", "ticker", "from", "to", "close")} in record[
            "changes"
        ]
        side = "entry" if change["to"] == "BUY" else "exit"
        assert change["why"]
        assert all(condition["side"] == side for condition in change["why"])


def test_new_tickers_are_listed_once(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    present = np.ones((30, 4), dtype=np.bool_)
    present[:10, 3] = False
    whole = list(batches(random_walk(30, 4, seed=2), present=present))
    close_all(database, whole[:20])
    close_all(database, whole[20:], Runner(0, 1, ALL))
    listed = [
        [(each["ticker"], each["timeframe"]) for each in event["tickers"]]
        for event in events(database, "signals.tickers_listed.v1")
    ]
    assert listed == [[("T0", "1h"), ("T1", "1h"), ("T2", "1h")], [("T3", "1h")]]


def test_views_go_on_from_what_was_told_when_a_rule_is_new_or_changed(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    old = "reversal_rsi"
    whole = list(batches(random_walk(260, 6, seed=12)))
    close_all(database, whole[:200], Runner(0, 1, Lineup({old: ALGORITHMS[old]}, None)))
    with database.transaction() as session:
        # as if another version of the rule had told the other side
        session.execute(text("UPDATE view SET view = CASE view WHEN 'SELL' THEN 'BUY' ELSE 'SELL' END"))
        told = {row.ticker: row.view for row in session.execute(text("SELECT ticker, view FROM view"))}
        session.execute(text("DELETE FROM view_change"))

    close_all(database, whole[200:], Runner(0, 1, ALL))

    with database.read() as connection:
        changes = connection.execute(text("SELECT * FROM view_change ORDER BY close_time")).all()
        pairs = connection.execute(text("SELECT count(*) FROM view")).scalar_one()
    assert pairs == 6 * len(ALGORITHMS)
    views = {(old, ticker): view for ticker, view in told.items()}
    for change in changes:
        pair = (change.algorithm, change.ticker)
        assert change.from_view == views.get(pair, "HOLD")
        views[pair] = change.to_view
    assert {change.algorithm for change in changes} > {old}


def test_a_shard_takes_its_own_tickers_only(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    close_all(database, batches(random_walk(12, 40, seed=2)), Runner(1, 4, ALL))
    with database.read() as connection:
        names = set(connection.execute(text("SELECT ticker FROM ticker")).scalars())
    assert names == {f"T{n}" for n in range(40) if partition_of(f"T{n}") % 4 == 1}


def test_an_algorithm_that_raises_is_set_aside_and_named_in_the_record(
    migrated: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    database = migrated("signals")

    class Broken(type(ALGORITHMS["reversal_rsi"])):  # type: ignore[misc]
        key = "broken"

        def entry(self, frame: object) -> object:
            raise ZeroDivisionError("not today")

    lineup = Lineup({"broken": Broken(), "reversal_rsi": ALGORITHMS["reversal_rsi"]}, None)
    whole: list[CandleBatch] = list(batches(random_walk(5, 2, seed=2)))
    close_all(database, whole, Runner(0, 1, lineup))
    with database.read() as connection:
        records = connection.execute(text("SELECT CAST(record AS jsonb) FROM ledger")).scalars().all()
    assert all(record["set_aside"] == ["broken"] for record in records)
    assert "algorithm set aside" in caplog.text
