"""Lists by cursor."""

import base64

import pytest

from shared.web.errors import AppError
from shared.web.paging import cursor_time, decode_cursor, encode_cursor, page

ROWS = [("a", 1), ("b", 2), ("c", 3)]


def test_pages_follow_each_other_to_the_end() -> None:
    first = page(ROWS, 2, lambda row: (row[1], row[0]))
    assert first["items"] == ROWS[:2]
    assert decode_cursor(first["next"], int, str) == (2, "b")
    assert page(ROWS[2:], 2, lambda row: (row[1],)) == {"items": ROWS[2:], "next": None}
    assert page([], 2, lambda row: (row,)) == {"items": [], "next": None}


def test_no_cursor_is_the_first_page() -> None:
    assert decode_cursor(None, int) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "!!!!",
        "é",
        "W10",
        encode_cursor(("2", "b")),
        encode_cursor((True, "b")),
        encode_cursor((2.0, "b")),
        encode_cursor((2, "b", 3)),
        encode_cursor((2, "a\x00b")),
        base64.urlsafe_b64encode(b'{"a": 1}').decode(),
        base64.urlsafe_b64encode(b"[" * 5000).decode(),
    ],
)
def test_a_cursor_that_is_not_ours_is_400(cursor: str) -> None:
    with pytest.raises(AppError) as caught:
        decode_cursor(cursor, int, str)
    assert (caught.value.status, caught.value.code) == (400, "invalid_cursor")


def test_a_moment_in_a_cursor_is_aware_or_the_cursor_not_ours() -> None:
    assert cursor_time("2026-11-20T12:00:00") == cursor_time("2026-11-20T13:00:00+01:00")
    with pytest.raises(AppError) as caught:
        cursor_time("yesterday")
    assert (caught.value.status, caught.value.code) == (400, "invalid_cursor")
