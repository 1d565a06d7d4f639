"""The company's published algorithms, by key."""

from services.signals.algorithms.base import Algorithm
from services.signals.algorithms.buy_the_dip import BuyTheDip
from services.signals.algorithms.dollar_cost_averaging import DollarCostAveraging
from services.signals.algorithms.golden_crossover import GoldenCrossover
from services.signals.algorithms.pump_and_dump import PumpAndDump
from services.signals.algorithms.reversal_rsi import ReversalRsi
from services.signals.algorithms.simple_trend_ride import SimpleTrendRide

_PUBLISHED: tuple[Algorithm, ...] = (
    GoldenCrossover(),
    BuyTheDip(),
    ReversalRsi(),
    SimpleTrendRide(),
    DollarCostAveraging(),
    PumpAndDump(),
)

ALGORITHMS: dict[str, Algorithm] = {algorithm.key: algorithm for algorithm in _PUBLISHED}
