"""Indicators as streams: one value per ticker and candle, all tickers at once.

Every indicator keeps its state in arrays over the tickers and advances by the candles of a step; a
ticker that is missing from a step stands still. Values are NaN during warm-up. All work is elementwise
or in a fixed order over time, so a ticker's values do not depend on which tickers stand beside it.

`names` tells which there are and how they are asked for.
"""

from services.signals.indicators.names import Name
from services.signals.indicators.sets import IndicatorSet
from services.signals.indicators.stream import IntArray, Rows, Step, grown

__all__ = ["IndicatorSet", "IntArray", "Name", "Rows", "Step", "grown"]
