"""Moments of candles between seconds since 1970 and aware datetimes."""

from datetime import datetime, timedelta

from services.signals.candles import EPOCH


def moment(seconds: int) -> datetime:
    """Seconds since 1970 as aware UTC."""
    return EPOCH + timedelta(seconds=seconds)


def seconds_of(when: datetime) -> int:
    """Whole seconds since 1970."""
    return (when - EPOCH) // timedelta(seconds=1)
