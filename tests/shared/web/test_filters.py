"""Figures as people read them."""

import pytest

from shared.web.filters import price


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (43250.5, "43,250.5"),
        (100.0, "100"),
        (1e-08, "0.00000001"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1234567.0, "1,234,567"),
        (1e16, "10,000,000,000,000,000"),
        (0.0, "0"),
    ],
)
def test_a_price_has_all_its_digits_and_no_exponent(value: float, shown: str) -> None:
    assert price(value) == shown
