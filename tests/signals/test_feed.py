import gzip
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from services.signals.config import Settings
from services.signals.errors import FeedError
from services.signals.feeds.csv_files import read_directory
from services.signals.feeds.replay import Pace, ReplayFeed, read_recording, source_of
from services.signals.ledger.records import iso
from services.signals.repository import feeds
from services.signals.repository.feeds import FeedNotice
from shared.db.engine import Database
from shared.settings import environment
from tests.signals import local_market
from tests.signals.closing import events
from tests.signals.local_market import running, settings, wait_until
from tests.signals.market import DATA
from tests.signals.test_runner import MakeDatabase, MakeUrl

HEADER = "time,open,high,low,close,volume\n"


def write(directory: Path, ticker: str, rows: int, *, start: int = 0, step: int = 3600) -> None:
    lines = [f"{(start + number) * step},1,2,0.5,{1 + number / 100},10\n" for number in range(rows)]
    (directory / f"{ticker}.csv").write_text(HEADER + "".join(lines))


def feed(database: Database, directory: Path, *, speed: float = 0, warmup: int = 0) -> ReplayFeed:
    recording = read_recording(directory, "test")
    return ReplayFeed("test", recording, database, source=source_of(directory), pace=Pace(speed, warmup))


def batches_out(database: Database) -> list[tuple[str, str, tuple[str, ...]]]:
    told = events(database, "market.candles_closed.v1")
    return [(each["close_time"], each["timeframe"], tuple(each["tickers"])) for each in told]


def has_batches(database: Database, count: int) -> bool:
    return len(batches_out(database)) == count


def publish_all(database: Database) -> None:
    with database.transaction() as session:
        session.execute(text("UPDATE outbox SET published_at = now() WHERE published_at IS NULL"))


class Publisher:
    """Stands for the relay: marks whatever is in the outbox as published."""

    name = "publisher"

    def __init__(self, database: Database) -> None:
        self._database = database

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        while not stop.wait(0.002):
            beat()
            publish_all(self._database)


def test_a_batch_waits_until_the_one_before_has_gone_out(migrated: MakeDatabase, tmp_path: Path) -> None:
    write(tmp_path, "AAA", 5)
    database = migrated("signals")
    with running([feed(database, tmp_path)]):
        for count in range(1, 6):
            wait_until(partial(has_batches, database, count), f"{count} batches")
            with database.read() as connection:
                waiting = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
                assert connection.execute(text(waiting)).scalar_one() == 1
            publish_all(database)


def test_batches_come_in_one_order_over_all_tickers_and_timeframes(
    migrated: MakeDatabase, tmp_path: Path
) -> None:
    write(tmp_path, "AAA", 8)
    write(tmp_path, "BBB", 6, start=2)
    write(tmp_path, "FOUR", 3, step=14_400)
    database = migrated("signals")
    expected = [
        (f"{batch.close_time.replace(tzinfo=None).isoformat()}Z", batch.timeframe, batch.tickers)
        for batch in read_directory(tmp_path).batches()
    ]
    with running([feed(database, tmp_path), Publisher(database)]):
        wait_until(lambda: local_market.released(database) == len(expected), "all batches")
    assert batches_out(database) == expected
    assert expected[3][1:] == ("1h", ("AAA", "BBB"))
    assert expected[4][1:] == ("4h", ("FOUR",))


def test_a_restart_goes_on_behind_the_last_batch(migrated: MakeDatabase, tmp_path: Path) -> None:
    write(tmp_path, "AAA", 40)
    database = migrated("signals")
    for count in (10, 25, 40):
        with running(
            [feed(database, tmp_path), Publisher(database)] if count == 40 else [feed(database, tmp_path)]
        ):
            while count < 40 and local_market.released(database) < count:
                publish_all(database)
            if count == 40:
                wait_until(lambda: local_market.released(database) == 40, "the end")
    told = events(database, "market.candles_closed.v1")
    assert [each["sequence"] for each in told] == list(range(1, 41))
    assert len({each["close_time"] for each in told}) == 40
    with database.read() as connection:
        listed = connection.execute(
            text("SELECT sequence, timeframe, close_time, tickers FROM released_batch ORDER BY number")
        ).all()
    assert [(row.sequence, row.timeframe, row.tickers) for row in listed] == [
        (number, "1h", 1) for number in range(1, 41)
    ]
    assert [iso(row.close_time) for row in listed] == [each["close_time"] for each in told]


def test_after_the_end_the_feed_idles(migrated: MakeDatabase, tmp_path: Path) -> None:
    write(tmp_path, "AAA", 3)
    database = migrated("signals")
    beats = threading.Semaphore(0)
    stop = threading.Event()
    idle = feed(database, tmp_path)
    thread = threading.Thread(target=idle.run, args=(stop, beats.release))
    thread.start()
    with running([Publisher(database)]):
        wait_until(lambda: local_market.released(database) == 3, "all batches")
        for _ in range(8):
            assert beats.acquire(timeout=10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert len(batches_out(database)) == 3


def notice(database: Database) -> FeedNotice | None:
    with database.read() as connection:
        return feeds.feed_in_use(connection)


def ended(database: Database) -> datetime | None:
    told = notice(database)
    return told and told.ended


def test_the_end_of_the_recording_is_stored_and_known_after_a_restart(
    migrated: MakeDatabase, tmp_path: Path
) -> None:
    write(tmp_path, "AAA", 3)
    database = migrated("signals")
    last = datetime(1970, 1, 1, 3, tzinfo=UTC)
    with running([feed(database, tmp_path)]):
        for count in range(1, 4):
            wait_until(partial(has_batches, database, count), f"{count} batches")
            assert ended(database) is None, "the last batch has not even gone out"
            publish_all(database)
        wait_until(lambda: ended(database) == last, "the end is stored")
    assert feed(database, tmp_path).rest() == (0, 0)
    with running([feed(database, tmp_path)]):
        assert ended(database) == last
    write(tmp_path, "AAA", 5)
    assert feed(database, tmp_path).rest().closes == 2
    with running([feed(database, tmp_path)]):
        wait_until(lambda: ended(database) is None, "a longer recording goes on")


def test_how_long_the_recording_still_lasts(migrated: MakeDatabase, tmp_path: Path) -> None:
    write(tmp_path, "AAA", 12)
    write(tmp_path, "BBB", 6, start=2)
    write(tmp_path, "FOUR", 3, step=14_400)
    database = migrated("signals")
    assert feed(database, tmp_path, speed=4, warmup=10).rest() == (12, 0.5)
    assert feed(database, tmp_path, speed=0).rest() == (12, 0)
    with running([feed(database, tmp_path, speed=4, warmup=3)]):
        wait_until(partial(has_batches, database, 1), "one close")
        assert feed(database, tmp_path, speed=4, warmup=3).rest() == (11, 9 / 4)


def test_the_first_closes_come_at_once_and_the_rest_at_the_speed() -> None:
    pace = Pace(speed=4, warmup=250)
    assert [pace.pause(close) for close in (1, 250, 251, 9000)] == [0, 0, 0.25, 0.25]
    assert Pace(speed=0, warmup=0).pause(1) == 0


def test_the_speed_holds_on_the_clock(migrated: MakeDatabase, tmp_path: Path) -> None:
    write(tmp_path, "AAA", 8)
    database = migrated("signals")
    began = datetime.now(UTC)
    with running([feed(database, tmp_path, speed=4, warmup=4), Publisher(database)]):
        wait_until(lambda: local_market.released(database) == 8, "all batches")
    with database.read() as connection:
        times = list(connection.execute(text("SELECT created_at FROM outbox ORDER BY seq")).scalars())
    # measured from the start, as one that is late on a busy machine makes the step to the next one shorter
    assert all(time - began >= step * timedelta(seconds=0.25) for step, time in enumerate(times[4:], start=1))


def test_broken_rows_are_told_with_file_and_line_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "AAA", 5)
    path = tmp_path / "AAA.csv"
    path.write_text(path.read_text() + "72000,1,nonsense,1,1,1\n")
    (tmp_path / "bad name.csv").write_bytes(path.read_bytes())
    recording = read_recording(tmp_path, "test")
    assert [each.ticker for each in recording.tickers] == ["AAA"]
    assert f"{path}:7: high is not a number" in caplog.text
    assert "'bad name' is no name for a ticker" in caplog.text


def test_a_directory_with_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text("nothing here\n")
    with pytest.raises(FeedError, match=r"holds no readable TICKER\.csv"):
        read_recording(tmp_path, "test")
    with pytest.raises(FeedError, match="cannot be read: No such file"):
        read_recording(tmp_path / "absent", "test")


@pytest.mark.parametrize("value", ["ccxt:krakn", "ccxt:", "replay:", "nonsense", "replay:/absent"])
def test_a_wrong_feed_stops_the_process_with_one_line(value: str, database_url: MakeUrl) -> None:
    variables = {
        **environment(),
        "FEED": value,
        "DATABASE_URL": database_url("signals"),
        "SECRET_KEY": "k" * 32,
        "IDENTITY_PUBLIC_KEYS": "{}",
        "HEALTH_PORT": "0",
    }
    command = [sys.executable, "-m", "services.signals", "feed"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if not line.startswith("{")] == [
        line for line in done.stderr.splitlines() if line.startswith("boritrader: FEED")
    ]
    assert "boritrader: FEED" in done.stderr


def test_a_recording_says_where_it_comes_from(tmp_path: Path) -> None:
    assert source_of(tmp_path) == tmp_path.name
    (tmp_path / "banner.txt").write_text("Daily candles of 40 stocks, 2013 to 2018.\nMore.\n")
    assert source_of(tmp_path) == "Daily candles of 40 stocks, 2013 to 2018."


def test_the_demo_is_the_feed_when_none_is_set_and_warms_up() -> None:
    demo = settings("postgresql+psycopg://nowhere/x")
    assert demo.replay_dir is not None
    assert len(read_directory(demo.replay_dir).tickers) >= 20
    assert demo.warmup_closes == 250
    chosen = settings("postgresql+psycopg://nowhere/x", feed=f"replay:{DATA}")
    assert (chosen.replay_dir, chosen.warmup_closes) == (DATA, 0)
    assert settings("postgresql+psycopg://nowhere/x", replay_warmup=7).warmup_closes == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithm_timeframes": "1h"},
        {"algorithm_timeframes": '{"golden_crossover": "2h"}'},
        {"overlays": "golden_crossover+stop_loss_5"},
        {"overlays": "[5]"},
        {"runner_shard": 2, "runner_shards": 2},
        {"replay_speed": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"(?i)algorithm_timeframes|overlays|runner_shard|replay_speed"):
        settings("postgresql+psycopg://nowhere/x", **wrong)


def test_compressed_recordings_are_read(tmp_path: Path) -> None:
    write(tmp_path, "AAA", 4)
    plain = tmp_path / "AAA.csv"
    (tmp_path / "BBB.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert [each.ticker for each in read_recording(tmp_path, "test").tickers] == ["AAA", "BBB"]


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "DATABASE_URL": "postgresql+psycopg://nowhere/x",
        "SECRET_KEY": "k" * 32,
        "IDENTITY_PUBLIC_KEYS": "{}",
        "FEED": "replay:/data",
        "REPLAY_SPEED": "2.5",
        "REPLAY_WARMUP": "9",
        "ALGORITHM_TIMEFRAMES": '{"golden_crossover": "4h"}',
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert (read.replay_dir, read.replay_speed, read.replay_warmup) == (Path("/data"), 2.5, 9)
    assert read.timeframe_overrides() == {"golden_crossover": "4h"}
    assert not read.algorithms_follow_feed
