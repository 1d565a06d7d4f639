"""A recorded change is decided again from stored candles, and comes out bit for bit the same."""

import sys
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import text

from services.signals.__main__ import main
from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.base import Frame, Rule
from services.signals.algorithms.simple_trend_ride import SimpleTrendRide
from services.signals.errors import NotReplayable
from services.signals.ledger.replay import replay
from services.signals.lineup import Lineup
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.signals import audited
from tests.signals.audited import CHAIN, contents
from tests.signals.conftest import Copied
from tests.signals.test_runner import MakeDatabase


@dataclass(frozen=True)
class Sometimes(SimpleTrendRide):
    """Raises in some steps, and is set aside in them."""

    def entry(self, frame: Frame) -> Rule:
        if round(float(frame.close[0]) * 100) % 5 == 0:
            raise ArithmeticError("not now")
        return super().entry(frame)


@pytest.fixture(scope="module")
def database(kept_copied: Copied) -> Database:
    return kept_copied(audited.fill)


def turns(database: Database) -> list[tuple[int, str, str]]:
    with database.read() as connection:
        return [
            (each["sequence"], change["ticker"], change["algorithm"])
            for each in contents(connection)
            for change in each["changes"]
        ]


def test_every_change_of_a_chain_comes_out_as_it_was_recorded(database: Database) -> None:
    recorded = turns(database)
    with database.read() as connection:
        replayed = [
            (sequence, each.ticker, each.algorithm)
            for sequence in sorted({sequence for sequence, _, _ in recorded})
            for each in replay(connection, CHAIN, sequence, ALGORITHMS.get)
            if each.is_equal and each.recorded.why
        ]
    assert replayed == recorded


def test_it_starts_at_the_newest_checkpoint_up_to_the_record(database: Database) -> None:
    with database.read() as connection:
        stored = connection.execute(
            text("SELECT sequence FROM checkpoint WHERE partition = :p AND timeframe = '1h' ORDER BY 1"),
            {"p": CHAIN},
        )
        checkpoints = list(stored.scalars())
        records = {each["sequence"]: each for each in contents(connection)}
        starts = {
            (sequence, each.start)
            for sequence, ticker, algorithm in turns(database)
            if records[sequence]["timeframe"] == "1h"
            for each in replay(
                connection, CHAIN, sequence, ALGORITHMS.get, ticker=ticker, algorithm=algorithm
            )
        }
    for sequence, start in starts:
        before = [each for each in checkpoints if each <= sequence]
        words = f"from the checkpoint of record {before[-1]}" if before else "from the first candle"
        assert start == words
    assert len({start for _, start in starts}) == 1 + len(checkpoints) == 4


def test_another_rule_of_the_same_version_is_not_taken_for_the_recorded_one(database: Database) -> None:
    sequence, ticker, key = turns(database)[0]
    with database.read() as connection:
        other = replace(ALGORITHMS[key], **{next(iter(ALGORITHMS[key].parameters)): 1.0})  # type: ignore[type-var]
        with pytest.raises(NotReplayable, match="is installed, but not as version"):
            replay(connection, CHAIN, sequence, {key: other}.get, ticker=ticker, algorithm=key)
        with pytest.raises(NotReplayable, match="is not installed"):
            replay(connection, CHAIN, sequence, {}.get, ticker=ticker, algorithm=key)


def command(monkeypatch: pytest.MonkeyPatch, database: Database, *arguments: object) -> int:
    url = database.engine.url.render_as_string(hide_password=False)
    whole = ["signals", "ledger", "replay", *map(str, arguments), "--database", url]
    monkeypatch.setattr(sys, "argv", whole)
    return main()


def test_the_command_prints_view_close_and_why_and_whether_they_are_equal(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sequence, ticker, key = turns(database)[-1]
    chosen = (CHAIN, sequence, "--ticker", ticker, "--algorithm", key)
    assert command(monkeypatch, database, *chosen) == 0
    told = capsys.readouterr().out
    assert f"{ticker} under {key}" in told
    assert ": equal" in told
    assert " holds" in told

    edited = "UPDATE view_change SET why = why - 0 WHERE ledger_partition = :p AND ledger_sequence = :s"
    with database.transaction() as session:
        session.execute(text(edited), {"p": CHAIN, "s": sequence})
    assert command(monkeypatch, database, *chosen) == 1
    assert "NOT equal" in capsys.readouterr().out

    assert command(monkeypatch, database, CHAIN, 100_000) == 2
    assert command(monkeypatch, database, CHAIN, sequence, "--ticker", "NONE") == 2
    assert "has no such change" in capsys.readouterr().err


def test_a_step_in_which_an_algorithm_was_set_aside_is_left_out_again(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    calm = ALGORITHMS["simple_trend_ride"]
    lineup = Lineup({calm.key: Sometimes()}, None)
    audited.run(database, audited.whole_market(), [Runner(0, 1, lineup)])
    recorded = turns(database)
    with database.read() as connection:
        aside = [each["sequence"] for each in contents(connection) if each["set_aside"]]
        replayed = [
            (sequence, each.ticker, each.algorithm)
            for sequence in sorted({sequence for sequence, _, _ in recorded})
            for each in replay(connection, CHAIN, sequence, {calm.key: calm}.get)
            if each.is_equal
        ]
    assert len(aside) > 5
    assert replayed == recorded != []
