"""From the close of a candle to the browser and to the mail server, every process on its own.

A replay releases candles of 40 tickers twice a second; one person has alerts by mail on all tickers of
three algorithms and keeps the live channel open. Each change counts from the moment that the feed let its
candle go, once the replay's warm-up is through. Appends its table to benchmarks/results/alert_latency.md.
"""

import statistics
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402 - the checkout is not installed
from embedded.postgres import PostgresServer  # noqa: E402
from embedded.valkey import ValkeyServer  # noqa: E402
from tests.support.mailbox import Mailbox  # noqa: E402
from tests.support.person import Person, ask_until_prepared, message  # noqa: E402
from tests.support.rabbitmq import RabbitServer  # noqa: E402
from tests.support.stack import Stack  # noqa: E402

CHANGES = 200
WARMUP = 250
CALM_CLOSES = 5
ASKED = ("golden_crossover", "pump_and_dump", "reversal_rsi")
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Times:
    """When a change's candle was released, when the browser had it, when its mail was accepted."""

    released: dict[Key, datetime]
    seen: dict[Key, datetime]
    mailed: dict[Key, datetime]


def measure(folder: Path) -> Times:
    """Run the stack until enough changes were told."""
    postgres = PostgresServer.start(folder / "postgres")
    valkey = ValkeyServer.start(folder / "valkey")
    (folder / "stack").mkdir(mode=0o711)
    settings = {"REPLAY_SPEED": "2", "REPLAY_WARMUP": str(WARMUP)}
    try:
        with (
            RabbitServer() as rabbitmq,
            Mailbox() as mailbox,
            Stack(
                folder / "stack", postgres, rabbitmq.url, valkey.url, {"MAIL_URL": mailbox.url, **settings}
            ) as stack,
        ):
            return _follow(stack, mailbox)
    finally:
        valkey.stop()
        postgres.stop()


def _follow(stack: Stack, mailbox: Mailbox) -> Times:
    _wait_for_the_pace(stack)
    person = Person(stack.url)
    person.register()
    person.log_in()
    for algorithm in ASKED:
        assert ask_until_prepared(person, algorithm, None).status_code == 201
    seen: dict[Key, datetime] = {}
    with person.live() as socket:
        message(socket, "snapshot")
        while len(mailbox.received(person.email)) <= CHANGES:
            told = message(socket, "views_changed")
            now = datetime.now(UTC)
            for change in told["data"]["changes"]:
                seen[change["algorithm"], change["ticker"], told["data"]["close_time"]] = now
            print(f"\r{len(mailbox.received(person.email)):4d} of {CHANGES} mails", end="", file=sys.stderr)
    stack.stop("signals feed")
    accepted = {str(mail.message["Message-ID"]): mail.at for mail in mailbox.received(person.email)}
    released: dict[Key, datetime] = {}
    mailed: dict[Key, datetime] = {}
    address = stack.database_url("notify").replace("+psycopg", "") + "?options=-ctimezone%3DUTC"
    with psycopg.connect(address) as connection:
        for algorithm, ticker, close_time, released_at, delivery in connection.execute(
            "SELECT c.algorithm, c.ticker, c.close_time, c.released_at, d.id FROM view_change c"
            " LEFT JOIN delivery d ON d.view_change_id = c.id AND d.channel = 'mail'"
        ):
            key = (algorithm, ticker, f"{close_time:%Y-%m-%dT%H:%M:%SZ}")
            released[key] = released_at
            for message_id, at in accepted.items():
                if delivery is not None and str(delivery) in message_id:
                    mailed[key] = at
    return Times(released, seen, mailed)


def _wait_for_the_pace(stack: Stack) -> None:
    """Wait until the warm-up, which is released at once, is worked off."""
    pause = threading.Event()
    query = "SELECT count(DISTINCT close_time) FROM ledger"
    with psycopg.connect(
        stack.database_url("signals").replace("+psycopg", ""), autocommit=True
    ) as connection:
        evaluated = 0
        while evaluated < WARMUP + CALM_CLOSES:
            pause.wait(0.2)
            evaluated = connection.execute(query).fetchone()[0]  # type: ignore[index]  # an aggregate


def row(name: str, told: dict[Key, datetime], released: dict[Key, datetime]) -> list[str]:
    """A line of the table: milliseconds from release to being told."""
    spans = [(at - released[key]).total_seconds() * 1000 for key, at in told.items() if key in released]
    p50, p99, most = statistics.median(spans), _percentile(spans, 0.99), max(spans)
    return [name, f"{len(spans)}", f"{p50:.0f}", f"{p99:.0f}", f"{most:.0f}"]


def _percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))]


def main() -> None:
    """Measure, print the table and append it to the results."""
    heading = report.run()
    with tempfile.TemporaryDirectory(prefix="boritrader-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        times = measure(folder)
    report.append(
        "alert_latency.md",
        "From a candle's close to the people who asked",
        heading,
        [
            report.table(
                ["from the candle's release to", "changes", "p50 ms", "p99 ms", "most ms"],
                [
                    row("the browser's WebSocket", times.seen, times.released),
                    row("the mail server's acceptance", times.mailed, times.released),
                ],
            )
        ],
    )


if __name__ == "__main__":
    main()
