import math

import pytest

from services.signals.feeds.rows import Row, read

HOUR = 3600
OPENED = 1_700_000_000 // HOUR * HOUR
NOW = OPENED + 10 * HOUR
GOOD = [OPENED * 1000, 1.0, 2.0, 0.5, 1.5, 10.0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
@pytest.mark.parametrize("place", range(6))
def test_a_value_that_no_event_can_carry_is_refused_and_harms_no_other_candle(value, place):
    broken = [(OPENED - HOUR) * 1000, *GOOD[1:]]
    broken[place] = value
    reading = read([broken, GOOD], HOUR, NOW)
    assert reading.rows == [Row(OPENED, *GOOD[1:])]
    assert [reason for reason, _ in reading.refused] == ["not_finite"]
