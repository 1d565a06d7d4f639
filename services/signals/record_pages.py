"""The page that everybody may read: what became of every change in the ledger."""

from datetime import datetime

from flask import Blueprint, render_template, request

from services.signals import track_record
from services.signals.offered import lineup
from services.signals.outcomes import HORIZONS
from services.signals.repository import feeds, heads, repaints
from shared.web.unit_of_work import read

FEW_CHANGES = 100
"""Fewer changes than this say next to nothing; the page marks them."""

MINUS, NO_FIGURE = "\N{MINUS SIGN}", "\N{EN DASH}"

record_pages = Blueprint("signals_record_pages", __name__)


@record_pages.app_template_filter("percent")
def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage, with a true minus: `54.1 %`; an en dash where there is none."""
    if share is None:
        return NO_FIGURE
    return _without_sign_of_zero(f"{100 * share:,.{digits}f} %")


@record_pages.app_template_filter("signed_percent")
def signed_percent(share: float | None, digits: int = 2) -> str:
    """A move or a return as a percentage with its sign: `+1.25 %`."""
    if share is None:
        return NO_FIGURE
    return _without_sign_of_zero(f"{100 * share:+,.{digits}f} %")


def _without_sign_of_zero(written: str) -> str:
    if any(digit in written for digit in "123456789"):
        return written.replace("-", MINUS)
    return written.lstrip("+-")


@record_pages.app_template_filter("moment")
def moment(text: str) -> datetime:
    """A moment that was stored as text."""
    return datetime.fromisoformat(text)


@record_pages.get("/track-record")
def track_record_page() -> str:
    """The figures after 1, 4 or 24 candles, of following every change, and how to check them."""
    asked = request.args.get("after", "")
    after = int(asked) if asked in map(str, HORIZONS) else HORIZONS[-1]
    place = HORIZONS.index(after)
    known = lineup().algorithms
    with read() as connection:
        told = track_record.told(connection)
        return render_template(
            "signals/track_record.html",
            told=told,
            rows=[
                (known[each["algorithm"]].name if each["algorithm"] in known else each["algorithm"], each)
                for each in told.algorithms
            ],
            after=after,
            place=place,
            horizons=HORIZONS,
            few=FEW_CHANGES,
            head=heads.told(connection),
            repaints=repaints.summary(connection),
            feed=feeds.feed_in_use(connection),
        )
