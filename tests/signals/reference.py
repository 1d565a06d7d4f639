"""The published rules once more, slowly: one candle at a time, on TA-Lib's values, in plain Python."""

import math

import talib


def near(a, b):
    return abs(a - b) <= 1e-12 * max(abs(a), abs(b))


def gt(a, b):
    return a > b and not near(a, b)


def ge(a, b):
    return a > b or near(a, b)


def lt(a, b):
    return a < b and not near(a, b)


def le(a, b):
    return a < b or near(a, b)


class Candles:
    """One ticker's series; `self[name]` is now, `self.before(name)` one candle ago."""

    def __init__(self, values):
        close = values[:, 3].copy()
        self.length = len(values)
        self.series = {
            "close": close.tolist(),
            "volume": values[:, 4].tolist(),
            "sma9": talib.SMA(close, 9).tolist(),
            "sma50": talib.SMA(close, 50).tolist(),
            "sma100": talib.SMA(close, 100).tolist(),
            "ema50": talib.EMA(close, 50).tolist(),
            "ema100": talib.EMA(close, 100).tolist(),
            "rsi14": talib.RSI(close, 14).tolist(),
        }
        flat = [now == before for now, before in zip(close[1:], close, strict=False)]
        for at in range(14, self.length):
            if all(flat[:at]):
                self.series["rsi14"][at] = 50.0
        self.at = 0

    def __getitem__(self, name):
        return self.series[name][self.at]

    def before(self, name):
        return self.series[name][self.at - 1] if self.at else math.nan

    def crosses_above(self, a, b):
        return le(self.before(a), self.before(b)) and gt(self[a], self[b])

    def crosses_below(self, a, b):
        return ge(self.before(a), self.before(b)) and lt(self[a], self[b])


def golden_crossover(c, entry_price):
    return c.crosses_above("sma9", "sma50") and gt(c["rsi14"], 55), c.crosses_below("sma9", "sma50")


def buy_the_dip(c, entry_price):
    fell = ge(c.before("rsi14") - c["rsi14"], 3)
    return (
        lt(c["rsi14"], 40) and fell and gt(c["ema100"], c["ema50"]),
        gt(c["rsi14"], 65) and c.crosses_above("ema50", "ema100"),
    )


def reversal_rsi(c, entry_price):
    return lt(c["rsi14"], 35) and lt(c["close"], c["sma100"]), gt(c["rsi14"], 65)


def simple_trend_ride(c, entry_price):
    reached = entry_price is not None and ge(c["close"], 1.06 * entry_price)
    return gt(c["rsi14"], 70), reached or lt(c["rsi14"], 55)


def dollar_cost_averaging(c, entry_price):
    doubled = entry_price is not None and ge(c["close"], 2 * entry_price)
    return lt(c["rsi14"], 50) and lt(c["close"], c["sma50"]), doubled


def pump_and_dump(c, entry_price):
    before = c.before("volume")
    pumped = gt(c["volume"], 2 * before) and gt(before, 0)
    rising = gt(c["close"], c["sma9"]) and gt(c["sma9"], c["sma100"])
    return pumped and rising, lt(c["rsi14"], 50) or gt(c["rsi14"], 77)


RULES = {
    rule.__name__: rule
    for rule in (
        golden_crossover,
        buy_the_dip,
        reversal_rsi,
        simple_trend_ride,
        dollar_cost_averaging,
        pump_and_dump,
    )
}


def stop_loss(p, close, since_entry):
    return le(close, (1 - p) * since_entry[0])


def trailing_stop_loss(p, close, since_entry):
    return le(close, (1 - p) * max(since_entry))


def signals_and_views(values):
    """Rule key -> (signal, view) at every candle of one ticker; values of shape (candles, 5)."""
    candles = Candles(values)
    return {key: follow(rule, candles) for key, rule in RULES.items()}


NEEDED = {
    "golden_crossover": ("sma9", "sma50", "rsi14"),
    "buy_the_dip": ("rsi14", "ema50", "ema100"),
    "reversal_rsi": ("rsi14", "sma100"),
    "simple_trend_ride": ("rsi14",),
    "dollar_cost_averaging": ("rsi14", "sma50"),
    "pump_and_dump": ("rsi14", "sma9", "sma100"),
}
"""The indicators of each rule: before all of them are known it gives no entry and no exit."""


def follow(rule, candles, overlay=None, p=None):
    """(signal, view) of a rule at every candle, with an overlay or without."""
    view, since_entry = "HOLD", []
    out = []
    for at in range(candles.length):
        candles.at = at
        entry, exit_ = rule(candles, since_entry[0] if since_entry else None)
        if any(math.isnan(candles[name]) for name in NEEDED[rule.__name__]):
            entry = exit_ = False
        if view == "BUY":
            since_entry.append(candles["close"])
            if overlay and overlay(p, candles["close"], since_entry):
                entry, exit_ = False, True
        signal = "BUY" if entry else "SELL" if exit_ else "HOLD"
        if signal == "BUY" and view != "BUY":
            view, since_entry = "BUY", [candles["close"]]
        elif signal == "SELL" and view != "SELL":
            view, since_entry = "SELL", []
        out.append((signal, view))
    return out
