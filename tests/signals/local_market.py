"""Feed, relay and runners of a recording on the local bus: in this process, or in one that may be killed."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from services.signals import runner, sharding, worker
from services.signals.config import Settings
from services.signals.feeds.replay import Pace, ReplayFeed, read_recording, source_of
from shared.bus.local import LocalBus
from shared.db.engine import Database
from shared.process import Loop, Supervisor

PATIENCE = 60.0


def settings(database_url: str, **chosen: object) -> Settings:
    """Settings of a test deployment."""
    values = {"database_url": database_url, "secret_key": "k" * 32, "identity_public_keys": "{}", **chosen}
    return Settings.model_validate(values)


def wait_until(
    met: Callable[[], bool], what: str, patience: float = PATIENCE, *, pause: float = 0.01
) -> None:
    """Wait until a condition is met, looked at every `pause` seconds; fails with `what` when it is late."""
    deadline = time.monotonic() + patience
    tick = threading.Event()
    while not met():
        if time.monotonic() > deadline:
            raise AssertionError(f"in vain: {what}")
        tick.wait(pause)


@contextmanager
def running(loops: Sequence[Loop]) -> Iterator[None]:
    """Run loops for the length of a block."""
    supervisor = Supervisor()
    supervisor.start(loops)
    try:
        yield
    finally:
        assert supervisor.stop(20) == []


def market_loops(
    database: Database, url: str, directory: Path, *, shards: int = 1, pace: Pace | None = None
) -> list[Loop]:
    """All processes of signals but its web, on one local bus."""
    sharding.change(database, shards)
    bus = LocalBus(retry_delays=(0.1,), in_place_delays=(0.02,), unroutable_seconds=3600)
    loops: list[Loop] = []
    for shard in range(shards):
        loops += runner.loops(settings(url, runner_shard=shard, runner_shards=shards), database, bus)
    loops += worker.loops(settings(url, runner_shards=shards), database, bus)
    recording = read_recording(directory, "test")
    loops.append(
        ReplayFeed(
            "test",
            recording,
            database,
            source=source_of(directory),
            pace=pace or Pace(speed=0, warmup=0),
        )
    )
    return loops


def run_to_the_end(database: Database, url: str, directory: Path, *, shards: int = 1) -> None:
    """Release and evaluate everything that a directory holds."""
    batches = sum(1 for _ in read_recording(directory, "test").batches())
    with running(market_loops(database, url, directory, shards=shards)):
        wait_until(lambda: released(database) == batches, f"{batches} batches released and evaluated")


def released(database: Database) -> int:
    """How many batches of the feed are released and handled by every runner."""
    with database.read() as connection:
        row = connection.execute(
            text(
                """
                SELECT sequence, EXISTS (
                    SELECT 1 FROM outbox WHERE id = outbox_id AND published_at IS NULL) AS waits
                FROM feed WHERE name = 'test'
                """
            )
        ).one_or_none()
    return 0 if row is None else row.sequence - int(row.waits)


def main() -> None:
    """The market as a process: arguments are the database's URL and the directory."""
    url, directory = sys.argv[1], Path(sys.argv[2])
    database = Database(url, application_name="local-market", pool_size=10)
    with running(market_loops(database, url, directory)):
        threading.Event().wait()


if __name__ == "__main__":
    main()
