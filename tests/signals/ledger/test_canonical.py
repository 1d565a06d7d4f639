import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from services.signals.ledger import canonical

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = (
    FLOATS
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.integers(-(10**6), 10**6).map(float)
    | st.sampled_from(
        [0.0, -0.0, 1e-5, 9.999e-6, 1e16, 9007199254740992.0, 9007199254740993.0, 1e15 + 0.5, 1e21]
    )
)
TEXT = st.text(max_size=12) | st.sampled_from(["\x00\x1f\x7f", '"\\/\b\f\n\r\t', "é", "\U0001f600", "\ufb33"])
VALUES = st.recursive(
    NUMBERS | TEXT | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, max_size=6))
def test_bytes_are_those_of_the_reference_implementation(value):
    assert canonical.dumps(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, 2**53 + 1])
def test_what_has_no_canonical_form_is_refused(number):
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical.dumps({"close": [number]})
