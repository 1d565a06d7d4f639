"""Changes that were decided so long after their close that nobody is alerted of them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import text

from services.signals.candles import CandleBatch
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.signals.closing import ALL, close_all, envelope_of, events
from tests.signals.market import START, batches, random_walk
from tests.signals.test_runner import MakeDatabase

CHANGED = "signals.views_changed.v1"
HOURS = 160


def evaluate(database: Database, runner: Runner, stream: Iterable[CandleBatch], *, recorded: bool) -> None:
    for number, batch in enumerate(stream, start=1):
        envelope = envelope_of(batch, number)
        data = envelope.data.model_copy(update={"recorded": recorded})
        with database.transaction() as session:
            runner.candles_closed(session, envelope.model_copy(update={"data": data}))


def told(database: Database) -> dict[str, bool]:
    """Whether the changes of a close were late, by the close."""
    return {event["close_time"]: event["late"] for event in events(database, CHANGED)}


def noted(database: Database) -> dict[str, bool]:
    with database.read() as connection:
        rows = connection.execute(text("SELECT DISTINCT close_time, late FROM view_change"))
        return {f"{row.close_time:%Y-%m-%dT%H:%M:%SZ}": row.late for row in rows}


def age_of(number: int) -> timedelta:
    """A maximum age that lets pass the closes from a number on."""
    return datetime.now(UTC) - (START + timedelta(hours=number, minutes=30))


@pytest.mark.parametrize("recorded", [False, True])
def test_a_live_close_older_than_the_maximum_is_late_and_a_recorded_one_never(
    migrated: MakeDatabase, recorded: bool
) -> None:
    database = migrated("signals")
    runner = Runner(0, 1, ALL, alert_max_age=age_of(120))
    evaluate(database, runner, batches(random_walk(HOURS, 4, seed=3)), recorded=recorded)
    limit = f"{START + timedelta(hours=120):%Y-%m-%dT%H:%M:%SZ}"
    changes = told(database)
    assert noted(database) == changes
    assert min(changes) < limit < max(changes)
    assert changes == {closed: not recorded and closed <= limit for closed in changes}


def test_catching_up_late_leaves_the_ledger_of_one_that_was_on_time(migrated: MakeDatabase) -> None:
    on_time, late = migrated("signals"), migrated("signals")
    stream = list(batches(random_walk(HOURS, 4, seed=3)))
    close_all(on_time, stream)
    evaluate(late, Runner(0, 1, ALL), stream, recorded=False)
    assert set(told(late).values()) == {True}
    with on_time.read() as left, late.read() as right:
        query = text("SELECT partition, sequence, hash FROM ledger ORDER BY 1, 2")
        assert left.execute(query).all() == right.execute(query).all()


def test_the_history_of_a_new_ticker_is_evaluated_in_order_without_an_alert(migrated: MakeDatabase) -> None:
    walk = random_walk(HOURS + 40, 4, seed=3)
    present = np.ones(walk.shape, dtype=np.bool_)
    present[:, 2] = False  # of the chain of T1
    live = list(batches(walk, present=present))
    history = [batch.take(np.array([2], dtype=np.intp)) for batch in batches(walk)]
    alone, database = migrated("signals"), migrated("signals")
    close_all(alone, history[:HOURS])

    runner = Runner(0, 1, ALL, alert_max_age=age_of(HOURS - 1))
    evaluate(database, runner, [*live[:HOURS], *history[:HOURS]], recorded=False)

    query = text(
        "SELECT open_time, algorithm, signal, view, close FROM signal WHERE ticker = 'T2' ORDER BY 1, 2"
    )
    with alone.read() as left, database.read() as right:
        assert left.execute(query).all() == right.execute(query).all()
        changes = right.execute(text("SELECT late, close_time FROM view_change WHERE ticker = 'T2'")).all()
        evaluated = (
            right.execute(
                text(
                    "SELECT late FROM ledger JOIN candle ON sequence = evaluated_in WHERE ticker = 'T2'"
                    " AND partition = (SELECT partition FROM ticker WHERE ticker = 'T2')"
                )
            )
            .scalars()
            .all()
        )
    assert changes
    assert all(change.late for change in changes if change.close_time < START + timedelta(hours=HOURS - 1))
    assert len(evaluated) == HOURS
    assert all(evaluated)
