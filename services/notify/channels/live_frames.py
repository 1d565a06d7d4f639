"""The messages of the live channel as they go over the wire."""

from datetime import datetime
from typing import Any

import orjson

from services.notify.constants import ALL_TICKERS
from services.notify.repository.live_log import Message, Snapshot


def frame(n: int, kind: str, time: datetime, data: Any) -> str:
    """A message of the channel as JSON text."""
    body = {"n": n, "type": kind, "time": time, "data": data}
    return orjson.dumps(body, option=orjson.OPT_UTC_Z).decode()


def snapshot_frame(taken: Snapshot, time: datetime) -> str:
    """The ``snapshot`` message; views and STALE tickers go in as the text that the database made."""
    data = {"views": orjson.Fragment(taken.views), "stale": orjson.Fragment(taken.stale), "as_of": time}
    return frame(taken.n, "snapshot", time, data)


def alert_frame(message: Message, asked: tuple[str, ...]) -> str:
    """The ``alert`` message for somebody whose alerts are on the tickers ``asked``."""
    name, ticker = message.data["algorithm_name"], message.data["ticker"]
    alerts = [f"{name} on all tickers" if of == ALL_TICKERS else f"{name} on {ticker}" for of in asked]
    return frame(message.n, message.type, message.time, message.data | {"alerts": alerts})
