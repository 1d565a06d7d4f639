"""Figures in people's words, the same on the pages of all services and in mails. Needs no Flask."""

from decimal import Decimal


def price(value: float) -> str:
    """A price without exponent, with all digits of its float64, in groups of three: ``43,250.5``."""
    return f"{Decimal(repr(value)).normalize():,f}"
