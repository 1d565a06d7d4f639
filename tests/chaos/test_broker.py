"""A sick broker is invisible to people, and nothing is lost or told twice."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from embedded.postgres import PostgresServer
from embedded.valkey import ValkeyServer
from tests.support.mailbox import Mailbox
from tests.support.person import Person, ask_until_prepared
from tests.support.rabbitmq import RabbitServer
from tests.support.stack import SERVICES, Stack

pytestmark = pytest.mark.alone

ASKED = ("golden_crossover", "pump_and_dump", "simple_trend_ride")
PAGES = ("/dashboard", "/alerts", "/inbox", "/subscription", "/settings")
CHANGES_BETWEEN = 5
WAITING_AT_RESTART = 5
CALM_SECONDS = 90
Change = tuple[str, str, str]


class LiveReader(threading.Thread):
    """Reads the live channel, connecting again from the last number whenever it is cut."""

    def __init__(self, person: Person) -> None:
        super().__init__(name="live-reader", daemon=True)
        self._person = person
        self._enough = threading.Event()
        self.numbers: list[int] = []
        self.changes: Counter[Change] = Counter()
        self.failure: Exception | None = None

    def run(self) -> None:
        last = 0
        while not self._enough.is_set():
            try:
                with self._person.live(since=last) as socket:
                    while not self._enough.is_set():
                        last = self._read(json.loads(socket.recv(timeout=1)), last)
            except (TimeoutError, ConnectionClosed, ConnectionError):
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must say so
                self.failure = error
                return

    def _read(self, received: dict[str, object], last: int) -> int:
        number = received["n"]
        assert isinstance(number, int)
        if received["type"] == "views_changed":
            self.numbers.append(number)
            data = received["data"]
            assert isinstance(data, dict)
            self.changes.update(
                (change["algorithm"], change["ticker"], data["close_time"]) for change in data["changes"]
            )
        return max(last, number)

    def stop(self) -> None:
        self._enough.set()
        self.join()


class Crowd(threading.Thread):
    """People who register all the while, whatever happens to the broker."""

    def __init__(self, gateway: str) -> None:
        super().__init__(name="crowd", daemon=True)
        self._gateway = gateway
        self._enough = threading.Event()
        self.people: list[Person] = []
        self.answers: Counter[int] = Counter()

    def run(self) -> None:
        while not self._enough.wait(0.1):
            person = Person(self._gateway)
            answer = person.register()
            self.answers[answer.status_code] += 1
            self.people.append(person)

    def stop(self) -> None:
        self._enough.set()
        self.join()


@pytest.fixture
def broker() -> Iterator[RabbitServer]:
    with RabbitServer() as broker:
        yield broker


def test_changes_while_the_broker_restarts_reach_everybody_once(
    postgres: PostgresServer,
    valkey: ValkeyServer,
    broker: RabbitServer,
    server_dir: Path,
    full_size: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outages = 20 if full_size else 2
    folder = server_dir / "broker-chaos"
    folder.mkdir(mode=0o711)
    settings = {"REPLAY_SPEED": "4", "REPLAY_WARMUP": "0"}
    with (
        Mailbox() as mailbox,
        Stack(
            folder,
            postgres,
            broker.url,
            valkey.url,
            {"MAIL_URL": mailbox.url, **settings},
            idle=("signals feed",),
        ) as stack,
    ):
        person = Person(stack.url)
        person.register()
        person.log_in()
        for algorithm in ASKED:
            assert ask_until_prepared(person, algorithm, None).status_code == 201
        live, crowd = LiveReader(person), Crowd(stack.url)
        live.start()
        crowd.start()
        stack.start("signals feed")

        pages: Counter[int] = Counter()
        waited: list[int] = []
        for number in range(outages):
            seen = len(live.numbers)
            _wait_until(lambda seen=seen: len(live.numbers) >= seen + CHANGES_BETWEEN, "changes flow", live)
            broker.kill() if number % 2 else broker.stop()
            pages.update(person.get(page).status_code for page in PAGES)
            _wait_until(lambda: _unsent(stack) >= WAITING_AT_RESTART, "events wait for the broker", live)
            waited.append(_unsent(stack))
            broker.start()
        crowd.stop()
        assert pages == {200: outages * len(PAGES)}
        assert set(crowd.answers) == {303}

        stack.stop("signals feed")
        # first all candles are evaluated, in one transaction with what is to be told of them
        _wait_until(lambda: _evaluated(stack), "all candles are evaluated", live)
        _wait_until(lambda: _unsent(stack) == 0, "all events are published", live)
        made = _changes(stack)
        asked = {change for change in made if change[0] in ASKED}
        assert asked
        _wait_until(lambda: sum(live.changes.values()) >= len(made), "all changes reach the browser", live)
        expected = {crowd_member.email: 1 for crowd_member in crowd.people} | {person.email: len(asked) + 1}
        _wait_until(lambda: len(mailbox.received()) >= sum(expected.values()), "all mails", live)
        # what would come twice would have to come before the mail of who registers last
        last = Person(stack.url)
        last.register()
        mailbox.wait_for(lambda mail: last.email in mail.recipients)
        live.stop()

        assert live.changes == Counter(made)
        assert live.numbers == sorted(set(live.numbers))
        mails = Counter(mail.recipients[0] for mail in mailbox.received())
        assert mails == expected | {last.email: 1}
        assert len({str(mail.message["Message-ID"]) for mail in mailbox.received()}) == mails.total()

    with capsys.disabled():
        print(
            f"\n{outages} outages of the broker, in each {min(waited)} to {max(waited)} events waiting:"
            f" {len(made)} changes, {live.changes.total()} live, {len(asked)} asked for by mail and sent;"
            f" {len(crowd.people)} registered meanwhile and welcomed; 0 lost, 0 twice"
        )


def _changes(stack: Stack) -> set[Change]:
    """What signals has recorded: (algorithm, ticker, close time)."""
    query = "SELECT algorithm, ticker, close_time FROM view_change"
    with psycopg.connect(_conninfo(stack, "signals")) as connection:
        rows = connection.execute(query).fetchall()
    return {(algorithm, ticker, f"{closed:%Y-%m-%dT%H:%M:%S}Z") for algorithm, ticker, closed in rows}


def _evaluated(stack: Stack) -> bool:
    """Whether the ledger has the last close that the feed let go."""
    query = "SELECT (SELECT max(close_time) FROM feed) = (SELECT max(close_time) FROM ledger)"
    with psycopg.connect(_conninfo(stack, "signals")) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return bool(row[0])


def _unsent(stack: Stack) -> int:
    """How many events wait in the outboxes."""
    count = 0
    for service in SERVICES:
        with psycopg.connect(_conninfo(stack, service)) as connection:
            row = connection.execute("SELECT count(*) FROM outbox WHERE published_at IS NULL").fetchone()
            assert row is not None
            count += row[0]
    return count


def _conninfo(stack: Stack, service: str) -> str:
    return stack.database_url(service).replace("+psycopg", "") + "?options=-ctimezone%3DUTC"


def _wait_until(reached: Callable[[], bool], what: str, live: LiveReader) -> None:
    deadline = time.monotonic() + CALM_SECONDS
    pause = threading.Event()
    while not reached():
        assert live.failure is None, live.failure
        assert time.monotonic() < deadline, f"after {CALM_SECONDS} s not so: {what}"
        pause.wait(0.1)
