"""The feed process is killed (SIGKILL) wherever it hurts, and started again hours later."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from services.signals.ledger.records import iso
from services.signals.ledger.verification import verify
from shared.db.engine import Database
from tests.signals.exchanges import HOUR, START, Stage, staged
from tests.signals.feed_process import FeedProcess
from tests.signals.local_market import running, wait_until
from tests.signals.test_live_restart import evaluating, stored
from tests.signals.test_runner import MakeUrl
from tests.support.exchange_server import Asked, Fault

AAA, BBB, CCC = "kraken:AAA/USDT", "kraken:BBB/USDT", "binance:CCC/USDT"
FIRST, LAST = 20, 30
"""The newest close when the feed first starts, and when it starts for the last time."""


@pytest.fixture
def url(database_url: MakeUrl) -> str:
    return database_url("signals")


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    """Two exchanges, two seconds past a close: a backfill ends before it, and it comes as a live one."""
    with staged(
        url, START + FIRST * HOUR + 2, kraken=("AAA/USDT", "BBB/USDT"), binance=("CCC/USDT",)
    ) as stage:
        yield stage


@pytest.fixture
def feed(stage: Stage, url: str, tmp_path: Path) -> Iterator[FeedProcess]:
    process = FeedProcess(
        url, stage.servers, tmp_path / "feed.log", FEED_TIMEFRAME="1h", WARMUP_CANDLES=str(FIRST // 4)
    )
    yield process
    process.close()


def hold_back(database: Database, hour: int) -> None:
    """Let the hourly batch of a close lie in the outbox."""
    closed = iso(datetime.fromtimestamp(START + hour * HOUR, UTC))
    with database.transaction() as session:
        session.execute(
            text(
                f"""
                CREATE FUNCTION hold_back() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN NEW.next_at := 'infinity'; RETURN NEW; END $$;
                CREATE TRIGGER hold_back BEFORE INSERT ON outbox FOR EACH ROW
                    WHEN (NEW.type = 'market.candles_closed.v1'
                        AND NEW.payload -> 'data' ->> 'timeframe' = '1h'
                        AND NEW.payload -> 'data' ->> 'close_time' = '{closed}')
                    EXECUTE FUNCTION hold_back()
                """
            )
        )


def let_go(database: Database) -> None:
    """Let go out what was held back."""
    with database.transaction() as session:
        session.execute(text("DROP TRIGGER hold_back ON outbox"))
        session.execute(text("UPDATE outbox SET next_at = now() WHERE next_at = 'infinity'"))


def test_killed_anywhere_it_releases_every_candle_exactly_once(
    stage: Stage, feed: FeedProcess, url: str
) -> None:
    database = stage.database
    with running(evaluating(database, url)):
        # within a backfill, after a release that nobody has got, before the longer candles of that close
        hold_back(database, 8)
        feed.start()
        wait_until(lambda: stage.released()[-1:] == [("1h", 8, (CCC, AAA, BBB))], "a part of the history")
        feed.kill()
        stage.clock.move_to(START + 26 * HOUR + 2)
        feed.start()
        wait_until(lambda: feed.count("feed goes on") == 2, "it knows where it stood")
        let_go(database)
        # wherever it is just then
        wait_until(lambda: ("1h", 15, (CCC, AAA, BBB)) in stage.released(), "some more of it")
        feed.kill()

        # between the claim of a close and its release: one exchange has told its candles, the other has not
        stage.clock.move_to(START + LAST * HOUR + 2)
        hold = threading.Event()

        def hang(asked: Asked) -> Fault | None:
            is_last = asked.symbol == "CCC/USDT" and ("1h", LAST - 1, (CCC, AAA, BBB)) in stage.released()
            return Fault(hold=hold) if is_last else None

        stage.servers["binance"].fault = hang
        feed.start()
        wait_until(lambda: ("1h", LAST - 1, (CCC, AAA, BBB)) in stage.released(), "what was missed")
        wait_until(lambda: feed.has_taken("kraken", START + LAST * HOUR), "half of a close")
        feed.kill()
        assert stage.released()[-1] == ("1h", LAST - 1, (CCC, AAA, BBB))
        stage.servers["binance"].fault = lambda _asked: None
        hold.set()
        feed.start()
        wait_until(lambda: ("1h", LAST, (CCC, AAA, BBB)) in stage.released(), "the last close")
        wait_until(lambda: stored(database, "1h").get(AAA, [0])[-1] == LAST, "all is evaluated")
        feed.kill()
    everybody = (CCC, AAA, BBB)
    assert stage.released() == [
        (timeframe, close, everybody)
        for close in range(1, LAST + 1)
        for timeframe in (("1h",) if close % 4 else ("1h", "4h"))
    ]
    assert stored(database, "1h") == {each: list(range(1, LAST + 1)) for each in everybody}
    assert stored(database, "4h") == {each: list(range(4, LAST + 1, 4)) for each in everybody}
    verify(database)
