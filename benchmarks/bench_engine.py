"""The engine against others: what a close costs for 10,000 tickers and the six published algorithms.

Each way begins from the same 500 candles and views; its signals are first compared with the engine's, then
all are timed in turns. Each is one thread that computes, so what counts is the processor's time: on a busy
machine the clock would be unkind to whoever takes longest. Beside that: a replay of 500 candles, and what a
batch costs to take in. Appends its tables to benchmarks/results/engine.md.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from mmap import PAGESIZE
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402 - the checkout is not installed
from benchmarks.engine import peers  # noqa: E402
from benchmarks.engine.intake import intake_rows  # noqa: E402
from benchmarks.engine.ours import Limit, Ours, OursExplained  # noqa: E402
from benchmarks.engine.peers import Start, Way  # noqa: E402
from benchmarks.engine.rules import KEYS, FloatArray  # noqa: E402
from services.signals.candles import read_only  # noqa: E402

TICKERS = 10_000
WINDOW = 500
ROUNDS = 7
CHECKED = 5
"""Closes on which a way's signals are compared with the engine's before it is timed."""


@dataclass
class Contestant:
    """A way, on how many tickers its time and its memory are measured, and how many closes in each round."""

    kind: type[Way]
    tickers: int
    remembered: int
    closes: int
    seconds: list[float] = field(default_factory=list)
    compared: int = 0
    megabytes: float = 0.0

    @property
    def milliseconds(self) -> float:
        """Median of a close for TICKERS tickers, scaled linearly."""
        return statistics.median(self.seconds) * 1000 * TICKERS / self.tickers

    @property
    def row(self) -> list[str]:
        """The line of the table."""
        scaled = "" if self.tickers == TICKERS else f"measured on {self.tickers}, scaled"
        return [
            self.kind.name,
            f"{self.milliseconds:,.2f}",
            f"{self.megabytes:,.0f}",
            scaled,
            f"{self.compared:,}",
        ]


@dataclass(frozen=True)
class Market:
    """Closes and volumes of shape (candles, TICKERS): walks with moves of 2 percent a candle."""

    closes: FloatArray
    volumes: FloatArray

    @classmethod
    def of(cls, candles: int) -> "Market":
        """The same one at every run."""
        random = np.random.default_rng(20_260_101)
        closes = 100 * np.exp(np.cumsum(random.normal(0, 0.02, (candles, TICKERS)), axis=0))
        return cls(closes, random.exponential(1000, (candles, TICKERS)))

    def after(self, candles: int, tickers: int) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Close and volume of the candles from a number on, for the first tickers."""
        for close, volume in zip(self.closes[candles:], self.volumes[candles:], strict=True):
            yield read_only(close[:tickers].copy()), read_only(volume[:tickers].copy())


def contestants() -> list[Contestant]:
    """Everybody; how many tickers and closes keep a round below about a second."""
    everybody = [
        Contestant(peers.PandasRecompute, 20, 1000, 1),
        Contestant(peers.PandasWide, 500, TICKERS, 1),
        Contestant(peers.FreqtradeStyle, 20, 1000, 1),
        Contestant(peers.TalibLoop, TICKERS, TICKERS, 1),
        Contestant(peers.TalibStreams, TICKERS, TICKERS, 3),
        Contestant(peers.Talipp, 1000, 1000, 2),
        Contestant(Ours, TICKERS, TICKERS, 15),
        Contestant(OursExplained, TICKERS, TICKERS, 5),
    ]
    return everybody + ([Contestant(Limit, TICKERS, TICKERS, 15)] if Limit.compiler else [])


def measure(everybody: list[Contestant], market: Market) -> None:
    """Compare, then time in turns."""
    first = market.closes[:WINDOW], market.volumes[:WINDOW]
    reference = Ours(Start(*first, *_nobody()))
    start = Start(*first, reference.views, reference.prices)
    ways = {each.kind: (each.kind(start.of(each.tickers)), each) for each in everybody}
    streams = {each.kind: market.after(WINDOW, each.tickers) for each in everybody}
    for close, volume in islice(market.after(WINDOW, TICKERS), CHECKED):
        expected = reference.codes(reference.close(close, volume))
        for way, each in ways.values():
            said = way.codes(way.close(*next(streams[each.kind])))
            different = int((said != expected[:, : each.tickers]).sum())
            if different:
                raise SystemExit(f"{each.kind.name}: {different} signals differ from the engine's")
            each.compared += said.size
    for number in range(ROUNDS):
        print(f"\rround {number + 1} of {ROUNDS}", end="", file=sys.stderr)
        for way, each in ways.values():
            for _ in range(each.closes):
                candle = next(streams[each.kind])
                each.seconds.append(_timed(partial(way.close, *candle)))
    print(file=sys.stderr)


def _nobody() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(KEYS), TICKERS), dtype=np.int8), np.full((len(KEYS), TICKERS), np.nan)


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def megabytes(kind: type[Way], tickers: int) -> float:
    """Resident memory that a way's state takes for TICKERS tickers, in a process of its own."""
    market = Market.of(WINDOW + 1)
    start = Start(market.closes[:WINDOW], market.volumes[:WINDOW], *_nobody()).of(tickers)
    before = _resident()
    way = kind(start)
    way.close(*next(market.after(WINDOW, tickers)))
    return (_resident() - before) / 1e6 * TICKERS / tickers


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * PAGESIZE


def replayed(market: Market) -> float:
    """Seconds of engine time for WINDOW candles of all tickers, from the first one on."""
    spans = []
    for _ in range(3):
        way = Ours(Start(market.closes[:0], market.volumes[:0], *_nobody()))
        candles = market.after(0, TICKERS)
        spans.append(sum(_timed(partial(way.step, *candle)) for candle in islice(candles, WINDOW)))
    return statistics.median(spans)


def main() -> None:
    """Measure, print the tables and append them to the results."""
    heading = report.run()
    everybody = contestants()
    market = Market.of(WINDOW + CHECKED + ROUNDS * max(each.closes for each in everybody))
    measure(everybody, market)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for each in everybody:
            each.megabytes = pool.apply(megabytes, (each.kind, each.remembered))
    by_kind = {each.kind: each for each in everybody}
    seconds = replayed(market)
    report.append(
        "engine.md",
        "The engine against others",
        heading,
        [
            _what(),
            report.table(
                ["way", "ms per close", "MB of state", "time", "signals found equal"],
                [each.row for each in everybody],
            ),
            _notes(),
            report.table(["figure", "measured", "target"], targets(by_kind, seconds)),
            report.table(["taking in 10,000 candles", "ms"], intake_rows(TICKERS, ROUNDS)),
        ],
    )


def targets(by_kind: dict[type[Way], Contestant], seconds: float) -> list[list[str]]:
    """The ratios, beside what they are meant to be."""
    ours = by_kind[Ours].milliseconds

    def times(kind: type[Way]) -> str:
        return f"{by_kind[kind].milliseconds / ours:,.0f}x"

    limit = f"{ours / by_kind[Limit].milliseconds:.1f}x" if Limit in by_kind else "no C compiler here"
    return [
        ["freqtrade-style / this engine", times(peers.FreqtradeStyle), ">= 50,000x"],
        ["TA-Lib's functions / this engine", times(peers.TalibLoop), ">= 300x"],
        ["TA-Lib's streaming handles / this engine", times(peers.TalibStreams), ""],
        ["this engine / the limit", limit, "<= 4x"],
        [f"{WINDOW} candles of {TICKERS:,} tickers", f"{seconds:.2f} s", "< 0.5 s"],
    ]


def _what() -> str:
    return (
        f"One closed candle for each of {TICKERS:,} tickers, {len(KEYS)} algorithms, window {WINDOW};"
        f" processor time, medians of {ROUNDS} rounds in turns."
    )


def _notes() -> str:
    lines = [
        "nautilus_trader is left out: what it pins would change the versions that this product is locked to."
    ]
    if not Limit.compiler:
        lines.append("The limit is left out: there is no C compiler (`cc`) on this machine.")
    return " ".join(lines)


if __name__ == "__main__":
    main()
