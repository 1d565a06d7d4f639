"""A state that was taken, written down and restored is the state of an engine that ran through."""

import json

import numpy as np
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.base import Algorithm
from services.signals.algorithms.overlays import overlaid
from services.signals.candles import CandleBatch
from services.signals.engine import Engine
from services.signals.state import BrokenState, EngineState, IncompleteState
from tests.signals.agreement import NAMES
from tests.signals.market import candles, side_by_side

TICKERS = ("T0", "T1", "T2", "T3", "T4")
OVERLAYS = [
    overlaid(ALGORITHMS["reversal_rsi"], "stop_loss_5"),
    overlaid(ALGORITHMS["dollar_cost_averaging"], "trailing_stop_loss_7.5"),
]


def market(seed: int, steps: int = 260, gaps: float = 0.1) -> list[CandleBatch]:
    """Batches of five tickers with gaps, of which one begins late and one ends early."""
    rng = np.random.default_rng(seed)
    series, present = {}, {}
    for number, ticker in enumerate(TICKERS):
        series[ticker] = candles(steps, seed + number)
        series[ticker][:, 4] = rng.choice([0.0, 1.0, 3.0], steps)
        present[ticker] = rng.random(steps) >= gaps
    present["T3"][: steps // 3] = present["T4"][steps // 2 :] = False
    return list(side_by_side(series, present))


def engine() -> Engine:
    return Engine("1h", [*ALGORITHMS.values(), *OVERLAYS], NAMES)


def ran(stream: list[CandleBatch], made: Engine | None = None) -> Engine:
    """An engine that has taken all batches."""
    made = made or engine()
    for batch in stream:
        made.step(batch)
    return made


def restored(data: bytes) -> Engine:
    """A fresh engine that goes on from the bytes of a state."""
    fresh = engine()
    fresh.restore(EngineState.from_bytes(data))
    return fresh


def said(made: Engine, stream: list[CandleBatch]) -> list[object]:
    """All that an engine says of some batches, to the bit."""
    told: list[object] = []
    for batch in stream:
        result = made.step(batch)
        arrays = {**result.signals, **result.views, **result.indicators}
        told.append(({name: values.tobytes() for name, values in arrays.items()}, result.changes))
    return told


@settings(max_examples=4, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    gaps=st.sampled_from([0.0, 0.05, 0.5]),
    stops=st.lists(st.integers(0, 160), min_size=1, max_size=3),
)
def test_stopped_and_restored_anywhere_it_says_what_one_that_ran_through_says(seed, gaps, stops):
    stream = market(seed, steps=160, gaps=gaps)
    expected = said(engine(), stream)
    stopped, begun, told = engine(), 0, []
    for stop in sorted(stops):
        told += said(stopped, stream[begun:stop])
        stopped, begun = restored(stopped.snapshot(TICKERS).to_bytes()), stop
    told += said(stopped, stream[begun:])
    assert told == expected
    assert stopped.snapshot(TICKERS).to_bytes() == ran(stream).snapshot(TICKERS).to_bytes()


def test_bytes_do_not_depend_on_order_neighbours_or_room():
    stream = market(1)
    whole = ran(stream)
    backwards = ran([batch.take(np.arange(len(batch))[::-1]) for batch in stream])
    assert backwards.tickers != whole.tickers
    assert backwards.snapshot(TICKERS).to_bytes() == whole.snapshot(reversed(TICKERS)).to_bytes()
    alone = ran([batch.take(np.flatnonzero(np.array(batch.tickers) == "T3")) for batch in stream])
    assert alone.snapshot(["T3"]).to_bytes() == whole.snapshot(["T3"]).to_bytes()
    header = whole.snapshot(TICKERS).to_bytes().partition(b"\n")[0]
    assert header == rfc8785.dumps(json.loads(header))
    assert whole.snapshot(TICKERS).only(["T3", "gone"]).to_bytes() == alone.snapshot(["T3"]).to_bytes()


def test_bytes_tell_every_difference():
    made, seen = engine(), set()
    for batch in market(2, steps=20):
        made.step(batch)
        seen.add(made.snapshot(TICKERS).to_bytes())
    assert len(seen) == 20


def test_parts_restored_one_after_the_other_are_the_whole():
    stream = market(3)
    through = ran(stream[:200])
    parts = [through.snapshot(part) for part in (["T4", "T0"], ["T2"], ["T1", "T3"])]
    made = engine()
    for part in parts:
        made.restore(part)
    assert said(made, stream[200:]) == said(through, stream[200:])


def test_restoring_leaves_other_tickers_alone_and_replaces_the_same():
    stream = market(4)
    through = ran(stream[:200])
    early = through.snapshot(["T1"])
    said(through, stream[200:230])
    ahead = through.snapshot(TICKERS).only(["T0", "T2", "T3", "T4"])
    through.restore(early)
    assert through.snapshot(TICKERS[:1] + TICKERS[2:]).to_bytes() == ahead.to_bytes()
    assert through.snapshot(["T1"]).to_bytes() == early.to_bytes()


def test_tickers_that_it_has_not_seen_are_passed_over():
    assert ran(market(5)).snapshot(["T0", "unseen"]).tickers == ("T0",)
    nothing = engine().snapshot(["unseen"])
    assert restored(nothing.to_bytes()).tickers == ()


def test_state_of_more_indicators_serves_and_one_of_fewer_is_refused_untouched():
    stream = market(6)
    few = Engine("1h", [ALGORITHMS["reversal_rsi"]])
    many = ran(stream[:200])
    few.restore(many.snapshot(TICKERS))
    through = ran(stream[:200], Engine("1h", [ALGORITHMS["reversal_rsi"]]))
    assert said(few, stream[200:]) == said(through, stream[200:])
    before = many.snapshot(TICKERS).to_bytes()
    with pytest.raises(
        IncompleteState, match=r"the state lacks atr14, bollinger_lower20_2, .*, volume_s"
    ) as caught:
        many.restore(few.snapshot(TICKERS))
    assert caught.value.missing == tuple(sorted({*NAMES} - {"rsi14", "sma100"}))
    assert many.snapshot(TICKERS).to_bytes() == before


def test_state_of_a_longer_history_serves_a_shorter_one():
    stream = market(7)
    short = Engine("1h", [], ["sma9"])
    short.restore(ran(stream[:150], Engine("1h", [], ["sma9", "sma100"])).snapshot(TICKERS))
    assert said(short, stream[150:]) == said(ran(stream[:150], Engine("1h", [], ["sma9"])), stream[150:])


def test_a_state_of_a_shorter_history_is_completed_to_serve_a_longer_one():
    stream, names = market(7, gaps=0.0), ["sma9", "sma100", "ema50"]
    short = ran(stream[:200], Engine("1h", [], ["sma9", "ema50"])).snapshot(TICKERS)
    completed = short.completed(ran(stream[50:200], Engine("1h", [], names)).snapshot(TICKERS))
    made, through = Engine("1h", [], names), ran(stream[:200], Engine("1h", [], names))
    made.restore(completed)
    for batch in stream[200:]:
        ours, theirs = (each.step(batch).indicators for each in (made, through))
        assert ours["ema50"].tobytes() == theirs["ema50"].tobytes()
        assert ours["sma9"].tobytes() == theirs["sma9"].tobytes()
        np.testing.assert_allclose(ours["sma100"], theirs["sma100"], rtol=1e-12)


def test_an_algorithm_that_begins_to_follow_its_highest_close_is_completed_from_the_candles():
    class Following(type(ALGORITHMS["reversal_rsi"])):
        follows_highest_close = True

    stream = market(8)
    state = ran(stream, Engine("1h", [ALGORITHMS["reversal_rsi"]])).snapshot(TICKERS)
    expected = ran(stream, Engine("1h", [Following()])).snapshot(TICKERS)
    assert state.completed(expected).to_bytes() == expected.to_bytes()


def test_algorithm_that_the_state_does_not_know_starts_at_hold():
    stream = market(8)
    old: list[Algorithm] = [ALGORITHMS["reversal_rsi"], ALGORITHMS["dollar_cost_averaging"]]
    new: list[Algorithm] = [ALGORITHMS["dollar_cost_averaging"], ALGORITHMS["simple_trend_ride"]]
    before = ran(stream[:200], Engine("1h", old))
    after = Engine("1h", new)
    after.restore(before.snapshot(TICKERS))
    state = after.snapshot(TICKERS).arrays
    for part in ("view", "entry_price"):
        name = f"algorithm/dollar_cost_averaging/{part}"
        assert state[name].tobytes() == before.snapshot(TICKERS).arrays[name].tobytes()
    assert not state["algorithm/simple_trend_ride/view"].any()
    assert np.isnan(state["algorithm/simple_trend_ride/entry_price"]).all()
    assert not any(name.startswith("algorithm/reversal_rsi/") for name in state)


def test_algorithm_that_begins_to_follow_its_highest_close_is_refused_a_state_without():
    class Following(type(ALGORITHMS["reversal_rsi"])):
        follows_highest_close = True

    state = ran(market(8), Engine("1h", [ALGORITHMS["reversal_rsi"]])).snapshot(TICKERS)
    with pytest.raises(IncompleteState, match="the state lacks highest closes of reversal_rsi"):
        Engine("1h", [Following()]).restore(state)


def test_last_candles_are_those_behind_which_it_goes_on():
    stream = market(9)
    expected = {}
    for batch in stream:
        expected.update((ticker, batch.candle(at)) for at, ticker in enumerate(batch.tickers))
    candles = list(EngineState.from_bytes(ran(stream).snapshot(TICKERS).to_bytes()).last_candles())
    assert candles == [expected[ticker] for ticker in TICKERS]


def test_state_of_another_timeframe_is_refused():
    state = engine().snapshot([])
    with pytest.raises(ValueError, match="a state of 1h in an engine of 4h"):
        Engine("4h", []).restore(state)


def test_either_nan_gives_the_same_bytes():
    state = ran(market(10, steps=3, gaps=0.0)).snapshot(TICKERS)
    flipped = {
        name: np.where(np.isnan(values), -np.float64("nan"), values) if values.dtype == np.float64 else values
        for name, values in state.arrays.items()
    }
    assert EngineState("1h", state.tickers, flipped).to_bytes() == state.to_bytes()


@pytest.mark.parametrize(
    ("was", "put", "reason"),
    [
        (b'"format":1', b'"format":2', "its format is 2, not 1"),
        (b'"format"', b'"former"', "its first line is no header: 'format'"),
        (b'{"arrays"', b'["arrays"', "its first line is no header"),
        (b'"tickers":["T0","T1"]', b'"tickers":["T1","T0"]', "its tickers are not in order"),
        (b'"tickers":["T0","T1"]', b'"tickers":["T0"]', "is f8.2. in a state of 1 tickers"),
        (b'"count","i8"', b'"count","f4"', "the array count is f4"),
        (b'"timeframe":"1h"', b'"timeframe":"2h"', "its timeframe is .2h."),
    ],
)
def test_bytes_that_are_no_state_are_refused(was, put, reason):
    data = ran(market(11, steps=5, gaps=0.0)).snapshot(["T0", "T1"]).to_bytes()
    assert data.count(was) == 1
    with pytest.raises(BrokenState, match=reason):
        EngineState.from_bytes(data.replace(was, put))


def test_bytes_cut_or_lengthened_are_refused():
    data = ran(market(12, steps=5, gaps=0.0)).snapshot(TICKERS).to_bytes()
    with pytest.raises(BrokenState, match="the values end within the array opened"):
        EngineState.from_bytes(data[:-1])
    with pytest.raises(BrokenState, match="1 bytes follow the last array"):
        EngineState.from_bytes(data + b"\0")
