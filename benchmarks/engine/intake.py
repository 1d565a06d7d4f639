"""What a batch of closed candles costs to take in: as JSON of each candle, as columns, and as the event."""

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import orjson

from services.signals.service import batch_of
from shared.contracts.signals import CandlesClosedV1

COLUMNS = ("open", "high", "low", "close", "volume")


def intake_rows(tickers: int, rounds: int) -> list[list[str]]:
    """Lines of the table: medians over the rounds, in turns."""
    names = [f"kraken:T{index}/USDT" for index in range(tickers)]
    values = np.random.default_rng(1).uniform(1, 100, (tickers,)).tolist()
    each = json.dumps(
        [{"ticker": name, **dict.fromkeys(COLUMNS, value)} for name, value in zip(names, values, strict=True)]
    )
    columns = {"tickers": names, **dict.fromkeys(COLUMNS, values)}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    event = CandlesClosedV1.model_validate(
        {
            "feed": "bench",
            "sequence": 1,
            "timeframe": "1h",
            "close_time": now,
            "released_at": now,
            "recorded": True,
            **{name: tuple(column) for name, column in columns.items()},
        }
    )
    columnar, of_event = orjson.dumps(columns), event.model_dump_json().encode()
    ways: dict[str, Callable[[], object]] = {
        "an object for each candle, json": lambda: _arrays_of_rows(json.loads(each)),
        "columns, orjson": lambda: _arrays(orjson.loads(columnar)),
        "the event, validated, as the runner's batch": lambda: batch_of(
            CandlesClosedV1.model_validate_json(of_event)
        ),
    }
    spans: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            began = time.process_time()
            work()
            spans[name].append(time.process_time() - began)
    return [[name, f"{statistics.median(times) * 1000:.1f}"] for name, times in spans.items()]


def _arrays_of_rows(rows: list[dict[str, float]]) -> list[object]:
    return [np.array([row[name] for row in rows]) for name in COLUMNS]


def _arrays(columns: dict[str, list[float]]) -> list[object]:
    return [np.array(columns[name], dtype=np.float64) for name in COLUMNS]
