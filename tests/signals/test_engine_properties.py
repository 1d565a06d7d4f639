"""What holds for every algorithm and overlay on any candles of the one engine."""

from itertools import islice

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.overlays import overlaid
from services.signals.candles import CandleBatch
from services.signals.engine import Signal, View
from services.signals.evaluation import Shard
from services.signals.feeds.csv_files import read_directory
from services.signals.ledger.records import PARTITIONS
from services.signals.lineup import Lineup
from services.signals.replay import replay, signal_rows, stamp
from shared.contracts.signals import CandlesClosedV1
from tests.signals.agreement import NAMES
from tests.signals.closing import envelope_of
from tests.signals.market import DATA, candles, run, side_by_side
from tests.signals.test_engine import Scripted, play

EVERYTHING = [
    *ALGORITHMS.values(),
    *(overlaid(each, "stop_loss_5") for each in ALGORITHMS.values()),
    *(overlaid(each, "trailing_stop_loss_7.5") for each in ALGORITHMS.values()),
]
SOME = [*ALGORITHMS.values(), EVERYTHING[8], EVERYTHING[-2]]


def market(seed, steps, tickers):
    """Candles by ticker with volumes that double now and then."""
    rng = np.random.default_rng(seed)
    series = {f"T{number}": candles(steps, seed + number) for number in range(tickers)}
    for values in series.values():
        values[:, 4] = rng.choice([0.0, 1.0, 3.0], steps)
    return series


def trace(results):
    """Ticker -> everything an engine said of it at each of its candles, to the bit."""
    said = {}
    for result in results:
        arrays = [*result.signals.values(), *result.views.values(), *result.indicators.values()]
        columns = zip(*(values.tolist() for values in arrays), strict=True)
        changes = {ticker: [] for ticker in result.batch.tickers}
        for change in result.changes:
            changes[change.ticker].append(change)
        for ticker, column in zip(result.batch.tickers, columns, strict=True):
            said.setdefault(ticker, []).append(repr((column, changes[ticker])))
    return said


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31), gaps=st.sampled_from([0.0, 0.01, 0.4]), groups=st.integers(2, 3))
def test_any_grouping_of_tickers_says_the_same_bit_for_bit(seed, gaps, groups):
    rng = np.random.default_rng(seed)
    series = market(seed, 140, 5)
    present = {ticker: rng.random(140) >= gaps for ticker in series}
    whole = trace(run(side_by_side(series, present), SOME, NAMES))
    group_of = {ticker: rng.integers(0, groups) for ticker in series}
    for group in set(group_of.values()):
        mine = {ticker: values for ticker, values in series.items() if group_of[ticker] == group}
        part = trace(run(side_by_side(mine, present), SOME, NAMES))
        assert part == {ticker: whole[ticker] for ticker in part}


def test_what_was_said_never_depends_on_later_candles():
    series = market(12, 200, 4)
    whole = trace(run(side_by_side(series), EVERYTHING, NAMES))
    for cut in (20, 130):
        part = trace(
            run(side_by_side({ticker: values[:cut] for ticker, values in series.items()}), EVERYTHING, NAMES)
        )
        assert part == {ticker: said[:cut] for ticker, said in whole.items()}


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**31), power=st.sampled_from([-80, -27, 3, 40]))
def test_prices_in_another_unit_give_the_same_signals(seed, power):
    series = market(seed, 150, 4)
    unit = np.array([2.0**power] * 4 + [2.0**7])
    other = {ticker: values * unit for ticker, values in series.items()}
    for here, there in zip(
        run(side_by_side(series), SOME, NAMES), run(side_by_side(other), SOME, NAMES), strict=True
    ):
        for algorithm in SOME:
            assert here.signals[algorithm.key].tolist() == there.signals[algorithm.key].tolist()
        for name in NAMES:
            ratio = (
                1.0 if name.startswith(("rsi", "stoch")) else 2.0**7 if name.startswith("vol") else 2.0**power
            )
            assert (here.indicators[name] * ratio).tobytes() == there.indicators[name].tobytes(), name


@settings(max_examples=10, deadline=None)
@given(
    script=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    closes=st.lists(st.floats(0.01, 100.0), min_size=60, max_size=60),
)
def test_views_change_to_the_other_side_only_and_from_where_they_were(script, closes):
    algorithms = [
        Scripted(),
        overlaid(Scripted(), "stop_loss_5"),
        overlaid(Scripted(), "trailing_stop_loss_5"),
    ]
    view = {algorithm.key: View.HOLD for algorithm in algorithms}
    for result in play(script, closes[: len(script)], algorithms):
        assert len({change.algorithm for change in result.changes}) == len(result.changes)
        for change in result.changes:
            assert change.from_view is view[change.algorithm]
            assert change.to_view not in (View.HOLD, change.from_view)
            view[change.algorithm] = change.to_view
        assert {key: Signal.of(int(views[0])) for key, views in result.views.items()} == view


def test_live_evaluation_says_bit_for_bit_what_a_replay_says():
    recording = read_directory(DATA / "daily")
    shard = Shard(range(PARTITIONS), Lineup({each.key: each for each in SOME}, None))
    live, replayed = [], []
    for batch, moment in islice(zip(recording.batches_of("1d"), replay(recording, SOME), strict=True), 300):
        sent = CandlesClosedV1.model_validate_json(envelope_of(batch).data.model_dump_json())
        columns = (np.array(getattr(sent, name)) for name in ("open", "high", "low", "close", "volume"))
        received = CandleBatch(sent.timeframe, sent.close_time, sent.tickers, *columns)
        said = shard.advance(received, lambda ticker, opened: None).signals
        time, tickers, closes = stamp(received.open_time), received.tickers, received.close.tolist()
        columns = said.tickers_at, said.algorithms_at, said.signals, said.views
        live += sorted(
            (
                time,
                tickers[place],
                said.algorithms[at][0],
                Signal.of(signal).value,
                Signal.of(view).value,
                repr(closes[place]),
            )
            for place, at, signal, view in zip(*(each.tolist() for each in columns), strict=True)
        )
        replayed += signal_rows(moment)
    assert live == replayed
    assert len({row[2] for row in live}) == len(SOME)
