"""`python -m services.signals backtest DIR --algorithm KEY`: what a rule would have made of money."""

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.signals.backtest import DEFAULT_FEE, HIGHEST_FEE, Backtest, Tested, backtest
from services.signals.candles import TIMEFRAMES
from services.signals.commands import algorithms, recordings
from services.signals.commands.recordings import FAILED, GOOD, NOTHING_READ, ROWS_SKIPPED, STATUSES
from services.signals.replay import stamp

TRADE_HEADER = ("ticker", "entry_time", "exit_time", "entry_price", "exit_price", "return", "open")
"""Columns of the trades as CSV: times are those at which the candles opened, the return is a share of 1."""

NOTHING = "-"
"""Stands where there is no figure."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "backtest",
        help="trades and statistics of an algorithm on recorded candles",
        description="Reads every TICKER.csv and TICKER.csv.gz in DIR as replay does, and prints what an "
        "algorithm would have made of money: all capital in at the close of the candle that turns the view "
        "to BUY, out at the close of the one that turns it to SELL, the fee on both sides, nothing sold "
        "short; a position that is open at the end is closed at the last close and marked. Candles are named "
        f"by the time at which they open. {STATUSES}",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder of CSV files, one per ticker")
    parser.add_argument(
        "--algorithm",
        metavar="KEY",
        required=True,
        type=algorithms.of_key,
        help="a published one or one of an installed package, also with an overlay (KEY+stop_loss_5)",
    )
    parser.add_argument(
        "--fee",
        type=_fee,
        default=DEFAULT_FEE,
        help=f"share of the traded value that each side costs, to {HIGHEST_FEE} (default: {DEFAULT_FEE})",
    )
    parser.add_argument(
        "--timeframe", choices=TIMEFRAMES, help="of all files; else each file's most frequent step"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="also write the trades to FILE as CSV")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Backtest; the exit status."""
    recording = recordings.read(args.directory, args.timeframe)
    if recording is None:
        return NOTHING_READ
    tested, failure = backtest(
        recording,
        args.algorithm,
        args.fee,
        lambda moments: recordings.with_progress(moments, len(recording), sys.stderr),
    )
    try:
        if args.out:
            _write_trades(args.out, tested)
    except OSError as error:
        return recordings.cannot_write(error)
    print(f"{args.algorithm.name}, version {args.algorithm.version}, fee {args.fee:.4%} on each side")
    for each in tested:
        print()
        print("\n".join(_report(each)))
    if len(tested) > 1:
        print()
        print("\n".join(_summary(tested)))
    if failure is not None:
        recordings.complain(f"{failure.algorithm} raised {failure.error!r}")
        return FAILED
    return ROWS_SKIPPED if recording.rejected else GOOD


def _report(tested: Tested) -> Iterator[str]:
    """The trades and the statistics of one ticker."""
    ticker, result = tested
    times = [_stamp(seconds) for seconds in ticker.open_times.tolist()]
    yield f"{ticker.ticker}, {len(ticker):,} candles of {ticker.timeframe}, {times[0]} to {times[-1]}"
    rows = [
        (
            str(number),
            times[trade.entry],
            times[trade.exit],
            repr(trade.entry_price),
            repr(trade.exit_price),
            _percent(trade.gain),
            "open at the end" if trade.is_open else "",
        )
        for number, trade in enumerate(result.trades, start=1)
    ]
    yield from _table(
        ("#", "entry candle", "exit candle", "in at", "out at", "return", ""), rows, right=(0, 3, 4, 5)
    )
    yield from _table(("", ""), list(_figures(result)), right=(1,))


def _figures(result: Backtest) -> Iterator[tuple[str, str]]:
    figures = result.statistics
    yield "trades", f"{figures.trades:,}"
    yield "win rate", _percent(figures.win_rate)
    yield "best trade", _percent(figures.best)
    yield "worst trade", _percent(figures.worst)
    yield "average trade", _percent(figures.average)
    yield "return", _percent(figures.total)
    yield "buy and hold", _percent(figures.hold)
    yield "largest drawdown", _percent(-figures.drawdown)
    yield "longest drawdown", str(timedelta(seconds=figures.drawdown_seconds))
    yield "largest drawdown of holding", _percent(-figures.hold_drawdown)
    yield "time in the market", _percent(figures.exposure)
    yield "growth a year", _percent(figures.cagr)
    yield "Sharpe ratio", NOTHING if figures.sharpe is None else f"{figures.sharpe:.2f}"


def _summary(tested: Sequence[Tested]) -> Iterator[str]:
    """One row for each ticker."""
    rows = [
        (
            ticker.ticker,
            f"{figures.trades:,}",
            _percent(figures.win_rate),
            _percent(figures.total),
            _percent(figures.hold),
            _percent(-figures.drawdown),
        )
        for ticker, figures in ((each.ticker, each.result.statistics) for each in tested)
    ]
    header = ("ticker", "trades", "win rate", "return", "buy and hold", "drawdown")
    yield f"All {len(tested):,} tickers"
    yield from _table(header, rows, right=(1, 2, 3, 4, 5))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> Iterator[str]:
    """Rows in columns as wide as they need be; those in `right` end at the same place."""
    lines = [header, *rows] if any(header) else list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            text.rjust(width) if place in right else text.ljust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  " + "  ".join(cells).rstrip()


def _write_trades(path: Path, tested: Sequence[Tested]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRADE_HEADER)
        for ticker, result in tested:
            times = ticker.open_times.tolist()
            writer.writerows(
                (
                    ticker.ticker,
                    _stamp(times[trade.entry]),
                    _stamp(times[trade.exit]),
                    repr(trade.entry_price),
                    repr(trade.exit_price),
                    repr(trade.gain),
                    "yes" if trade.is_open else "no",
                )
                for trade in result.trades
            )


def _stamp(seconds: int) -> str:
    return stamp(datetime.fromtimestamp(seconds, UTC))


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:,.2%}"


def _fee(text: str) -> float:
    try:
        fee = float(text)
    except ValueError:
        fee = -1.0
    if not 0 <= fee <= HIGHEST_FEE:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to {HIGHEST_FEE}")
    return fee
