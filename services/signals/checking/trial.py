"""One algorithm on trial: run through the engine on candles, and asked again what it has answered before.

What is decided may depend on nothing but the frame, row by row. So the same frame gets the same answer at
any time and in any order, a ticker's row the same among other rows, and a candle the same whatever follows.
"""

import hashlib
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.signals.algorithms.base import Algorithm, BoolArray, Frame, Rule, Side
from services.signals.algorithms.registry import described
from services.signals.candles import COLUMNS, FloatArray
from services.signals.checking import Finding
from services.signals.checking.market import Market
from services.signals.checking.watch import Watch
from services.signals.engine import Engine

CUTS = (110, 210)
"""Candles behind which the future is taken away."""
OTHER_FUTURE = 160
"""Candles behind which it is replaced."""
ASKED_AGAIN = 12
"""Every so many candles a frame is asked about again, out of order and with other rows."""
MANY = 10_000
SLOW_MS = 20.0
"""Milliseconds of processor time for MANY tickers; the published rules need under one."""


class Broken(Exception):
    """The algorithm raised or gave no answer, and there is no use in asking on."""


@dataclass(frozen=True)
class Answer:
    """What a rule said of one frame, a row per ticker: held, then each check's numbers; and its texts."""

    texts: tuple[str, ...]
    rows: FloatArray

    @property
    def holds(self) -> FloatArray:
        """Where the rule held, as 1 and 0."""
        return self.rows[:, 0]

    def differs(self, other: "Answer") -> NDArray[np.intp]:
        """The rows that are not the same; all of them where the checks are others."""
        if self.texts != other.texts or self.rows.shape != other.rows.shape:
            return np.arange(len(self.rows))
        same = (self.rows == other.rows) | (np.isnan(self.rows) & np.isnan(other.rows))
        return np.flatnonzero(~same.all(axis=1))

    def take(self, rows: NDArray[np.intp]) -> "Answer":
        """The answer of some rows."""
        return Answer(self.texts, self.rows[rows])


@dataclass(frozen=True)
class Seen:
    """What a frame held, copied: columns by name, those of the candle before, prices of the entries."""

    columns: Mapping[str, FloatArray]
    previous: Mapping[str, FloatArray]
    entry_price: FloatArray
    highest_close: FloatArray | None

    def frame(self, rows: NDArray[np.intp]) -> Frame:
        """A frame of some of the rows, in memory of its own."""
        highest = self.highest_close
        return Frame(
            {name: _copied(values, rows) for name, values in self.columns.items()},
            {name: _copied(values, rows) for name, values in self.previous.items()},
            _copied(self.entry_price, rows),
            frozenset(self.columns),
            None if highest is None else _copied(highest, rows),
        )


@dataclass(frozen=True)
class Asked:
    """A candle of some tickers, counted from 1, what the frame held, and what both rules said of it."""

    number: int
    tickers: tuple[str, ...]
    seen: Seen
    entry: Answer
    exit: Answer

    def frame(self, rows: NDArray[np.intp] | None = None) -> Frame:
        """The frame again, or some of its rows."""
        return self.seen.frame(np.arange(len(self.tickers)) if rows is None else rows)

    def place(self, side: Side, row: int) -> str:
        """The ticker of a row and the candle, as a finding names them."""
        return f"{side} of {self.tickers[row]} at candle {self.number}"

    def answers(self) -> tuple[tuple[Side, Answer], ...]:
        """What each rule said."""
        return ("entry", self.entry), ("exit", self.exit)


class Trial(Algorithm):
    """Stands for an algorithm in an engine; notes what it is asked, what it answers and what it breaks."""

    def __init__(self, algorithm: Algorithm, watch: Watch) -> None:
        self.key, self.name, self.version = algorithm.key, algorithm.name, algorithm.version
        self.timeframe, self.indicators = algorithm.timeframe, algorithm.indicators
        self.follows_highest_close = algorithm.follows_highest_close
        self.findings: dict[Finding, None] = {}
        self._algorithm = algorithm
        self._watch = watch
        self._names = (*COLUMNS, *algorithm.indicators)
        self._number = 0
        self._answers: dict[Side, Answer] = {}
        self._broken: Broken | None = None
        self._seen: Seen
        self._thorough = True

    def entry(self, frame: Frame) -> BoolArray:
        """The algorithm's entry."""
        return self._told("entry", frame)

    def exit(self, frame: Frame) -> BoolArray:
        """The algorithm's exit."""
        return self._told("exit", frame)

    def note(self, rule: str, where: str, what: str) -> None:
        """Record what the algorithm breaks."""
        self.findings[Finding(rule, where, what)] = None

    def run(self, market: Market, candles: int | None = None) -> list[Asked]:
        """The first candles, or all, through a fresh engine, each frame copied and watched. Raises Broken."""
        self._thorough = True
        numbers = self._steps(market, candles)
        return [Asked(number, tickers, self._seen, *self._said()) for number, tickers in numbers]

    def answers(self, market: Market, candles: int | None = None) -> list[tuple[Answer, Answer]]:
        """The same without copies: what entry and exit say of each candle. Raises Broken."""
        self._thorough = False
        return [self._said() for _ in self._steps(market, candles)]

    def ask(self, side: Side, frame: Frame) -> Answer:
        """One rule's answer to a frame. Raises Broken where it is none."""
        before = self._bytes_of(frame) if self._thorough else []
        try:
            with self._watch.deciding():
                stated = self._algorithm.entry(frame) if side == "entry" else self._algorithm.exit(frame)
        except Exception as error:  # foreign code: that it raises is what is told of it
            self._note_raised(side, error)
            raise Broken from error
        answer = self._answer(side, stated, frame.close.size)
        if self._thorough and self._bytes_of(frame) != before:
            self.note(
                "mutates",
                f"{side} at candle {self._number}",
                "it writes into the frame that all algorithms share",
            )
        return answer

    def milliseconds(self, asked: Asked) -> float:
        """The least processor time of both rules for MANY tickers, in milliseconds."""
        frame = asked.frame(np.resize(np.arange(len(asked.tickers)), MANY))
        taken = []
        for _ in range(5):
            began = _processor_time()
            self._algorithm.entry(frame)
            self._algorithm.exit(frame)
            taken.append(1000 * (_processor_time() - began))
        return min(taken)

    def _told(self, side: Side, frame: Frame) -> BoolArray:
        if self._thorough and side == "entry":
            self._seen = self._copied(frame)  # now: when the step is over the engine's arrays have moved on
        try:
            answer = self._answers[side] = self.ask(side, frame)
        except Broken as error:
            self._broken = error
            raise
        held: BoolArray = answer.holds.astype(np.bool_)
        return held

    def _answer(self, side: Side, stated: object, size: int) -> Answer:
        where = f"{side} at candle {self._number}"
        rule = stated if isinstance(stated, Rule) else Rule(np.asarray(stated), ())
        if rule.holds.dtype != np.bool_:
            self.note("dtype", where, f"it gives {rule.holds.dtype} where booleans are wanted")
            raise Broken
        columns = [rule.holds, *(each.value for each in rule.checks), *(each.holds for each in rule.checks)]
        columns += [each.threshold for each in rule.checks if not isinstance(each.threshold, float)]
        for column in columns:
            if column.shape != (size,):
                self.note("shape", where, f"it gives shape {column.shape} where ({size},) is wanted")
                raise Broken
        texts = tuple(
            f"{each.text}{each.threshold if isinstance(each.threshold, float) else ''}"
            for each in rule.checks
        )
        return Answer(texts, np.stack([column.astype(np.float64) for column in columns], axis=1))

    def _note_raised(self, side: Side, error: Exception) -> None:
        own = [
            each for each in traceback.extract_tb(error.__traceback__) if self._watch.is_own(each.filename)
        ]
        where = (
            f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else f"{side} at candle {self._number}"
        )
        self.note("raises", where, f"{side} raised {described(error)}")

    def _bytes_of(self, frame: Frame) -> list[bytes]:
        arrays = [getattr(part, name) for part in (frame, frame.previous) for name in self._names]
        arrays.append(frame.entry_price)
        if self.follows_highest_close:
            arrays.append(frame.highest_close)
        return [array.tobytes() for array in arrays]

    def _copied(self, frame: Frame) -> Seen:
        return Seen(
            {name: getattr(frame, name).copy() for name in self._names},
            {name: getattr(frame.previous, name).copy() for name in self._names},
            frame.entry_price.copy(),
            frame.highest_close.copy() if self.follows_highest_close else None,
        )

    def _steps(self, market: Market, candles: int | None) -> Iterator[tuple[int, tuple[str, ...]]]:
        engine = Engine(self.timeframe, [self])
        for number in range(len(market) if candles is None else candles):
            self._number = number + 1
            batch = market.batch(number, self.timeframe)
            engine.step(batch)
            if self._broken:
                raise self._broken
            yield self._number, batch.tickers

    def _said(self) -> tuple[Answer, Answer]:
        return self._answers["entry"], self._answers["exit"]


def try_out(trial: Trial, market: Market) -> list[Asked]:
    """Everything that is tried of one algorithm in one process; what it breaks is noted in the trial.

    Returns what was asked in the first run. Raises Broken.
    """
    first = trial.run(market)
    what = "a second run over the same candles answers otherwise"
    _compare(trial, "repaints", first, trial.answers(market), what)
    what = "it answers otherwise when the candles behind are not there"
    for cut in CUTS:
        _compare(trial, "looks-ahead", first, trial.answers(market.until(cut)), what)
    what = "it answers otherwise when the candles behind are others"
    other = market.with_other_future(OTHER_FUTURE)
    _compare(trial, "looks-ahead", first, trial.answers(other, OTHER_FUTURE), what)
    _ask_later(trial, first)
    _ask_of_rows(trial, first)
    took = trial.milliseconds(first[-1])
    if took > SLOW_MS:
        trial.note("slow", "entry and exit", f"{took:.0f} ms for {MANY:,} tickers, of at most {SLOW_MS:.0f}")
    return first


def digest(answers: tuple[Answer, Answer]) -> str:
    """What was answered at a candle, to be compared with another process."""
    told = hashlib.sha256()
    for each in answers:
        told.update("\n".join(each.texts).encode())
        told.update(each.rows.tobytes())
    return told.hexdigest()[:16]


def _compare(
    trial: Trial, rule: str, first: list[Asked], second: list[tuple[Answer, Answer]], what: str
) -> None:
    for before, after in zip(first, second, strict=False):
        for (side, one), other in zip(before.answers(), after, strict=True):
            rows = one.differs(other)
            if rows.size:
                trial.note(rule, before.place(side, rows[0]), what)
                return


def _ask_later(trial: Trial, first: list[Asked]) -> None:
    """Ask about single frames backwards, exit before entry."""
    for each in reversed(first[::ASKED_AGAIN]):
        for side, before in reversed(each.answers()):
            rows = before.differs(trial.ask(side, each.frame()))
            if rows.size:
                what = "the same frame gets another answer when it is asked about later"
                trial.note("hidden-state", each.place(side, rows[0]), what)
                return


def _ask_of_rows(trial: Trial, first: list[Asked]) -> None:
    """Ask about single frames with their rows in another order, some of them, and one alone."""
    for each in first[::ASKED_AGAIN]:
        size = len(each.tickers)
        for rows in (np.arange(size)[::-1], np.arange(0, size, 3), np.array([size // 2])):
            for side, before in each.answers():
                others = before.take(rows).differs(trial.ask(side, each.frame(rows)))
                if others.size:
                    what = "it answers otherwise beside other tickers"
                    trial.note("neighbours", each.place(side, rows[others[0]]), what)
                    return


def _copied(values: FloatArray, rows: NDArray[np.intp]) -> FloatArray:
    chosen = values[rows]
    chosen.flags.writeable = False
    return chosen


_processor_time = time.thread_time
"""Taken before the clocks are watched."""
