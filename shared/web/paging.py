"""Lists by cursor: ``{"items": [...], "next": cursor | null}``."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

from shared.web.errors import AppError

Row = TypeVar("Row")
Position = str | int | float | None
DEFAULT_LIMIT = 100
MAX_LIMIT = 500


class Page(TypedDict):
    """The wire shape of a list."""

    items: list[Any]
    next: str | None


class PageQuery(BaseModel):
    """Query parameters of a list; a service's own query schema inherits them."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(
        default=None, max_length=500, description="Where to go on: the `next` of the page before."
    )
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="At most so many items.")


def page(rows: Sequence[Row], limit: int, position: Callable[[Row], tuple[Position, ...]]) -> Page:
    """A page of ``rows``, of which the caller fetched ``limit + 1``: the extra one says there is more.

    ``position`` gives the sort key of a row; the next page starts after the last shown one.
    """
    shown = list(rows[:limit])
    more = len(rows) > limit
    return {"items": shown, "next": encode_cursor(position(shown[-1])) if more else None}


def encode_cursor(position: tuple[Position, ...]) -> str:
    """A sort key as opaque text. It holds a place in a list and no right to it, so it needs no signature."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, *types: type) -> tuple[Any, ...] | None:
    """The sort key in a cursor, checked against ``types``, or None for the first page.

    Raises AppError 400 ``invalid_cursor`` for anything ``encode_cursor`` did not make of such values.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        values = None
    if (
        not isinstance(values, list)
        or len(values) != len(types)
        or not all(type(value) is kind for value, kind in zip(values, types, strict=True))
        or any(isinstance(value, str) and "\x00" in value for value in values)
    ):
        raise invalid_cursor()
    return tuple(values)


def cursor_time(text: str) -> datetime:
    """An aware moment that a cursor holds as ISO 8601, in UTC unless it says else. Raises invalid_cursor."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid_cursor() from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def invalid_cursor() -> AppError:
    """The refusal of a cursor that we did not make."""
    return AppError(400, "invalid_cursor", "This cursor is not one of ours. Start again without it.")
