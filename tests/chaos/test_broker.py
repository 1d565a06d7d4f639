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
from tests.support.stack import Stack

ASKED = ("golden_crossover", "pump_and_dump", "reversal_rsi")
PAGES = ("/dashboard", "/alerts", "/subscription", "/settings")
CALM_SECONDS = 90


class LiveReader(threading.Thread):
    """Reads the live channel, connecting again from the last number whenever it is cut."""

    def __init__(self, person: Person) -> None:
        super().__init__(name="live-reader", daemon=True)
        self._person = person
        self._enough = threading.Event()
        self.numbers: list[int] = []
        self.changes: Counter[tuple[str, str, str]] = Counter()

    def run(self) -> None:
        last = 0
        while not self._enough.is_set():
            try:
                with self._person.live(since=last) as socket:
                    while not self._enough.is_set():
                        last = self._read(json.loads(socket.recv(timeout=1)), last)
            except (TimeoutError, ConnectionClosed, OSError):
                continue

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
    outages = 20 if full_size else 3
    settings = {"REPLAY_SPEED": "4", "REPLAY_WARMUP": "0"}
    folder = server_dir / "broker-chaos"
    folder.mkdir(mode=0o711)
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
        live = LiveReader(person)
        live.start()
        stack.start("signals feed")

        answers: Counter[int] = Counter()
        for number in range(outages):
            seen = len(live.numbers)
            _wait_until(lambda seen=seen: len(live.numbers) >= seen + 5, "changes flow", 120)
            broker.kill() if number % 2 else broker.stop()
            for page in PAGES:
                answers[person.get(page).status_code] += 1
            broker.start()
        assert answers == {200: outages * len(PAGES)}

        stack.stop("signals feed")
        told = _wait_until_calm(stack, mailbox, live, person)
        live.stop()

    in_browser, by_mail = sum(live.changes.values()), len(mailbox.received(person.email)) - 1
    with capsys.disabled():
        print(
            f"\n{outages} outages of the broker: {told} changes, {in_browser} live, {by_mail} asked for by mail"
        )


def _wait_until_calm(stack: Stack, mailbox: Mailbox, live: LiveReader, person: Person) -> int:
    """Wait until what the ledger says and what was told are the same, each once; the number of changes."""
    made = _changes(stack)
    asked = {change for change in made if change[0] in ASKED}
    assert asked
    _wait_until(lambda: _unsent(stack) == 0, "all events are published", CALM_SECONDS)
    made = _changes(stack)
    asked = {change for change in made if change[0] in ASKED}
    _wait_until(
        lambda: sum(live.changes.values()) >= len(made), "all changes reach the browser", CALM_SECONDS
    )
    _wait_until(lambda: len(mailbox.received(person.email)) >= len(asked) + 1, "all mails", CALM_SECONDS)

    assert live.changes == Counter(made)
    assert live.numbers == sorted(set(live.numbers))
    mails = [str(mail.message["Message-ID"]) for mail in mailbox.received(person.email)]
    assert len(mails) == len(set(mails)) == len(asked) + 1, "the alerts and the welcome mail, each once"
    return len(made)


def _changes(stack: Stack) -> set[tuple[str, str, str]]:
    """What the ledger says of (algorithm, ticker, close time)."""
    query = "SELECT algorithm, ticker, close_time FROM view_change"
    with psycopg.connect(_conninfo(stack, "signals")) as connection:
        rows = connection.execute(query).fetchall()
    return {(algorithm, ticker, f"{closed:%Y-%m-%dT%H:%M:%S}Z") for algorithm, ticker, closed in rows}


def _unsent(stack: Stack) -> int:
    count = 0
    for service in ("signals", "notify"):
        with psycopg.connect(_conninfo(stack, service)) as connection:
            row = connection.execute("SELECT count(*) FROM outbox WHERE published_at IS NULL").fetchone()
            assert row is not None
            count += row[0]
    return count


def _conninfo(stack: Stack, service: str) -> str:
    return stack.database_url(service).replace("+psycopg", "") + "?options=-ctimezone%3DUTC"


def _wait_until(reached: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not reached():
        assert time.monotonic() < deadline, f"after {seconds} s not so: {what}"
        pause.wait(0.1)
