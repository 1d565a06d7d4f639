"""The trades and figures of a backtest, and `python -m services.signals backtest` as a person runs it."""

import csv
import os
import pty
import subprocess
import sys

import numpy as np
import pytest

from services.signals.algorithms import ALGORITHMS
from services.signals.backtest import Backtest, backtest
from services.signals.engine import Signal
from services.signals.feeds.csv_files import read_directory
from tests.signals.market import DATA
from tests.signals.test_replay_command import GOOD, ROOT, command, folder

__all__ = ["folder"]

HOUR = 3600
BUY, SELL = Signal.BUY, Signal.SELL


def of(closes, turns, fee=0.0):
    times = np.arange(len(closes), dtype=np.int64) * HOUR
    return Backtest.of(times, np.array(closes, dtype=np.float64), turns, fee)


def test_capital_goes_in_at_the_close_of_the_entry_and_out_at_the_close_of_the_exit():
    result = of([10, 20, 30, 40, 10], [(1, BUY), (3, SELL)])
    (trade,) = result.trades
    assert (trade.entry, trade.exit, trade.entry_price, trade.exit_price) == (1, 3, 20.0, 40.0)
    assert (trade.gain, trade.is_open, trade.held_before) == (1.0, False, False)
    assert result.equity.tolist() == [1, 1, 1.5, 2, 2]


def test_the_fee_is_paid_on_both_sides():
    result = of([100, 110, 110], [(0, BUY), (1, SELL)], fee=0.01)
    assert result.trades[0].gain == pytest.approx((110 - 100 - 1.1 - 1.0) / 100, rel=1e-15)
    assert result.equity[-1] == pytest.approx(1.1 * 0.99 / 1.01, rel=1e-15)


def test_a_sell_without_a_position_does_nothing():
    result = of([100, 50, 100], [(1, SELL)])
    assert result.trades == ()
    assert result.equity.tolist() == [1, 1, 1]
    assert result.statistics.win_rate is None
    assert result.statistics.drawdown == 0


def test_an_open_position_is_closed_at_the_last_close_and_marked():
    result = of([100, 100, 150], [(1, BUY)], fee=0.01)
    (trade,) = result.trades
    assert (trade.exit, trade.exit_price, trade.is_open) == (2, 150.0, True)
    assert result.equity[-1] == pytest.approx(1.5 * 0.99 / 1.01, rel=1e-15)


def test_a_position_held_before_the_first_candle_is_taken_at_its_close():
    (trade,) = of([100, 120, 90], [(-1, BUY), (1, SELL)]).trades
    assert (trade.entry, trade.exit, trade.held_before, trade.gain) == (0, 1, True, 0.2)
    assert of([100, 120], [(-1, SELL), (1, BUY)]).trades[0].entry == 1


def test_the_figures_of_a_small_case_are_those_of_a_pencil():
    figures = of([100, 200, 100, 100, 50, 150, 75], [(0, BUY), (2, SELL), (3, BUY), (5, SELL)]).statistics
    assert figures.trades == 2
    assert figures.win_rate == 0.5
    assert (figures.best, figures.worst) == (0.5, 0.0)
    assert figures.average == pytest.approx(1.5**0.5 - 1, rel=1e-15)
    assert (figures.total, figures.hold) == (0.5, -0.25)
    # 1 -> 2 -> 1 -> 0.5: three quarters below the peak, which is not reached again
    assert (figures.drawdown, figures.hold_drawdown) == (0.75, 0.75)
    assert figures.drawdown_seconds == 5 * HOUR
    assert figures.exposure == 6 / 7
    assert figures.cagr == pytest.approx(1.5 ** (365.25 * 24 / 6) - 1)
    assert figures.sharpe is None


def test_growth_beyond_all_numbers_is_not_told():
    figures = of([1, 1e9], [(0, BUY)]).statistics
    assert figures.cagr is None
    assert figures.total == 1e9 - 1


def test_a_rule_that_raises_is_reported_and_its_ticker_stays_without_trades(monkeypatch):
    class Raising(type(ALGORITHMS["reversal_rsi"])):
        def entry(self, frame):
            raise ZeroDivisionError("on purpose")

    tested, failure = backtest(read_directory(DATA / "daily"), Raising(), 0.0)
    assert repr(failure.error) == "ZeroDivisionError('on purpose')"
    assert all(each.result.trades == () for each in tested)


def test_the_command_prints_trades_and_figures_of_each_ticker(tmp_path):
    out = tmp_path / "trades.csv"
    done = command("backtest", DATA / "daily", "--algorithm", "simple_trend_ride", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    tested, _ = backtest(read_directory(DATA / "daily"), ALGORITHMS["simple_trend_ride"], 0.001)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == sum(each.result.statistics.trades for each in tested)
    assert [(row["ticker"], float(row["return"])) for row in rows] == [
        (each.ticker.ticker, trade.gain) for each in tested for trade in each.result.trades
    ]
    assert [row["ticker"] for row in rows if row["open"] == "yes"] == [
        each.ticker.ticker for each in tested if each.result.trades[-1].is_open
    ]
    lines = done.stdout.splitlines()
    assert lines[0] == "Ride the Trend, version 1, fee 0.1000% on each side"
    assert "AAPL, 3,270 candles of 1d, 2000-03-01T00:00:00Z to 2013-03-01T00:00:00Z" in lines
    apple = tested[0].result.statistics
    assert any(line.split() == ["return", f"{apple.total:,.2%}"] for line in lines)
    assert any(line.split()[:2] == ["AAPL", str(apple.trades)] for line in lines)


def test_broken_rows_are_named_and_the_rest_is_tested(folder):
    lines = GOOD.splitlines()
    (folder / "GOOD.csv").write_text("\n".join([*lines[:5], "nonsense", *lines[5:]]))
    done = command("backtest", folder, "--algorithm", "reversal_rsi", "--fee", "0")
    assert done.returncode == 3
    assert "GOOD.csv:6: 1 fields instead of 6" in done.stderr
    assert "GOOD, 120 candles of 1h" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--algorithm", "no_such"), "unknown algorithm 'no_such'; known are"),
        (("--algorithm", "reversal_rsi", "--fee", "0.5"), "'0.5' is no share from 0 to 0.1"),
        (("--algorithm", "reversal_rsi", "--fee", "nan"), "'nan' is no share from 0 to 0.1"),
        ((), "the following arguments are required: --algorithm"),
    ],
)
def test_what_can_not_be_meant_is_refused(arguments, complaint, folder):
    done = command("backtest", folder, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_a_folder_without_candles_says_so(tmp_path):
    done = command("backtest", tmp_path, "--algorithm", "reversal_rsi")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no candle could be read" in done.stderr
    done = command("backtest", tmp_path / "nowhere", "--algorithm", "reversal_rsi")
    assert (done.returncode, "No such file" in done.stderr) == (2, True)


def test_a_file_that_can_not_be_written_ends_the_run(folder, tmp_path):
    done = command("backtest", folder, "--algorithm", "reversal_rsi", "--out", tmp_path / "no" / "x.csv")
    assert done.returncode == 2
    assert "x.csv: No such file or directory" in done.stderr


def test_a_terminal_sees_how_far_it_is(folder):
    ours, theirs = pty.openpty()
    arguments = [sys.executable, "-m", "services.signals", "backtest", folder]
    with subprocess.Popen(
        [*map(str, arguments), "--algorithm", "reversal_rsi"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        assert process.wait(60) == 0
    os.close(theirs)
    assert b"of 120 candles" in os.read(ours, 1000)
    os.close(ours)
