"""A version of an algorithm is one set of parameters, for ever; and who sees when an algorithm fails."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import text

from services.signals import runner, versions, worker
from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.base import Frame, Rule
from services.signals.algorithms.reversal_rsi import ReversalRsi
from services.signals.errors import LineupError
from services.signals.lineup import Lineup
from services.signals.runner import Runner
from shared.bus.local import LocalBus
from shared.db.engine import Database
from tests.signals import local_market, site
from tests.signals.closing import ALL, close, close_all
from tests.signals.market import batches, random_walk
from tests.signals.test_runner import MakeDatabase, MakeUrl
from tests.signals.test_sharding import command

OTHER = Lineup({"reversal_rsi": ReversalRsi(entry_rsi=30.0)}, None)


def remembered(database: Database) -> dict[tuple[str, str], Any]:
    with database.read() as connection:
        rows = connection.execute(text("SELECT algorithm, version, parameters FROM algorithm_version"))
        return {(row.algorithm, row.version): row.parameters for row in rows}


def test_what_a_version_was_is_remembered_and_a_new_one_stands_beside_it(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    versions.require(database, ALL)
    versions.require(database, ALL)
    assert remembered(database) == {(key, each.version): each.parameters for key, each in ALGORITHMS.items()}

    class Second(ReversalRsi):
        version = "2"

    versions.require(database, Lineup({"reversal_rsi": Second(entry_rsi=30.0)}, None))
    assert remembered(database)["reversal_rsi", "1"] == {"entry_rsi": 35.0, "exit_rsi": 65.0}
    assert remembered(database)["reversal_rsi", "2"] == {"entry_rsi": 30.0, "exit_rsi": 65.0}


def test_a_version_with_other_parameters_is_refused_in_one_line(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    versions.require(database, ALL)
    with pytest.raises(LineupError) as caught:
        versions.require(database, OTHER)
    assert str(caught.value) == (
        "version 1 of reversal_rsi has run with entry_rsi=35, exit_rsi=65 and can't run with entry_rsi=30,"
        " exit_rsi=65: give the algorithm another version"
    )


@pytest.mark.parametrize("process", [runner, worker])
def test_no_process_starts_with_a_version_that_was_something_else(process: Any, database_url: Any) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test")
    with database.transaction() as session:
        session.execute(
            text("INSERT INTO algorithm_version VALUES ('golden_crossover', '1', '{\"entry_rsi\": 50}')")
        )
    with pytest.raises(LineupError, match="version 1 of golden_crossover has run with entry_rsi=50"):
        process.loops(local_market.settings(url), database, LocalBus())
    database.dispose()


@pytest.mark.parametrize("process", ["runner", "worker"])
def test_a_process_ends_with_one_line_over_a_version_that_was_something_else(
    process: str, database_url: MakeUrl
) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test")
    versions.require(database, Lineup({"reversal_rsi": ReversalRsi(entry_rsi=30.0)}, None))
    database.dispose()
    done = command(url, process)
    told = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    conflict = (
        "boritrader: version 1 of reversal_rsi has run with entry_rsi=30, exit_rsi=65 and can't run with"
        " entry_rsi=35, exit_rsi=65: give the algorithm another version"
    )
    assert (done.returncode, told) == (2, [conflict])


def test_no_signal_is_stored_of_a_version_that_was_something_else(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    whole = list(batches(random_walk(60, 2, seed=2)))
    close_all(database, whole[:50])
    other = Runner(0, 1, OTHER)
    with pytest.raises(LineupError):
        close(database, other, whole[50], 51)
    with database.read() as connection:
        assert connection.execute(text("SELECT max(sequence) FROM shard_position")).scalar_one() == 50


def test_each_signal_says_with_which_version_and_parameters_it_was_given(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    whole = list(batches(random_walk(170, 2, seed=21)))

    @dataclass(frozen=True)
    class Second(ReversalRsi):
        version = "2"
        entry_rsi: float = 45.0

    close_all(database, whole[:120], Runner(0, 1, Lineup({"reversal_rsi": ReversalRsi()}, None)))
    later = Runner(0, 1, Lineup({"reversal_rsi": Second()}, None))
    for number, batch in enumerate(whole[120:], start=121):
        close(database, later, batch, number)
    with site.person(database) as client:
        items = client.get("/api/v1/signals?limit=500").json["items"]  # type: ignore[index]
    changed = whole[120].open_time.isoformat().replace("+00:00", "Z")
    given = {each["time"] >= changed: (each["algorithm_version"], each["parameters"]) for each in items}
    assert given == {
        False: ("1", {"entry_rsi": 35.0, "exit_rsi": 65.0}),
        True: ("2", {"entry_rsi": 45.0, "exit_rsi": 65.0}),
    }


def test_the_list_of_algorithms_says_version_and_parameters(migrated: MakeDatabase) -> None:
    with site.person(migrated("signals")) as client:
        items = client.get("/api/v1/algorithms").json["items"]  # type: ignore[index]
    assert {each["key"]: (each["version"], each["parameters"]) for each in items} == {
        key: (each.version, each.parameters) for key, each in ALGORITHMS.items()
    }
    assert {each["failing_since"] for each in items} == {None}


@dataclass(frozen=True)
class Moody(ReversalRsi):
    """Fails while a price is above its limit."""

    fails_above: float = 1000.0
    version = "moody"

    def entry(self, frame: Frame) -> Rule:
        if (frame.close > self.fails_above).any():
            raise ZeroDivisionError("too high")
        return super().entry(frame)


def test_people_see_which_algorithm_fails_and_since_when(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    prices = random_walk(8, 1, seed=3)
    prices[3:6] = 2000.0
    moody = Runner(0, 1, replace(ALL, algorithms={**ALGORITHMS, "reversal_rsi": Moody()}))
    seen, pages = [], []
    with site.person(database) as client:
        for number, batch in enumerate(batches(prices), start=1):
            close(database, moody, batch, number)
            items = client.get("/api/v1/algorithms").json["items"]  # type: ignore[index]
            seen.append({each["key"]: each["failing_since"] for each in items}["reversal_rsi"])
            pages.append(
                "Maximized RSI is set aside" in client.get("/dashboard").text
                and "Maximized RSI is set aside" in client.get("/tickers/T0?algorithm=reversal_rsi").text
            )
            assert "set aside" not in client.get("/tickers/T0?algorithm=pump_and_dump").text
    since = "2020-01-01T04:00:00Z"
    assert seen == [None, None, None, since, since, since, None, None]
    assert pages == [each is not None for each in seen]


def test_a_shard_that_works_does_not_hide_one_that_fails(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    prices = random_walk(2, 16, seed=3)
    high = [f"T{n}" for n in range(16)].index("T1")
    prices[:, high] = 2000.0
    moody = replace(ALL, algorithms={"reversal_rsi": Moody()})
    runners = [Runner(shard, 2, moody) for shard in range(2)]
    for number, batch in enumerate(batches(prices), start=1):
        for each in runners:
            close(database, each, batch, number)
    with database.read() as connection:
        rows = connection.execute(text("SELECT algorithm, shard, since FROM algorithm_failure")).all()
    assert [(row.algorithm, row.since.isoformat()) for row in rows] == [
        ("reversal_rsi", "2020-01-01T01:00:00+00:00")
    ]
