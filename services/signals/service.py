"""Use cases of signals: a close is evaluated and told, a shard goes on from what is stored."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from services.signals import silence
from services.signals.algorithms.base import Algorithm
from services.signals.candles import Candle, CandleBatch, FloatArray, read_only
from services.signals.engine import Engine
from services.signals.evaluation import Evaluation, Shard
from services.signals.ledger.records import PARTITIONS
from services.signals.lineup import Lineup
from services.signals.repository import checkpoints, cycles, feeds, history, locks
from services.signals.repository.cycles import ChangeRow, TickerRow
from services.signals.state import BrokenState, EngineState, IncompleteState
from shared import logs
from shared.contracts.signals import (
    MAX_CHANGES,
    MAX_TICKERS,
    AlgorithmsListedV1,
    CandlesClosedV1,
    ListedAlgorithm,
    TickersListedV1,
    ViewsChangedV1,
)
from shared.db import outbox

Item = TypeVar("Item")
log = logs.logger(__name__)


def partitions_of(shard: int, shards: int) -> tuple[int, ...]:
    """The ledger partitions that belong to one of `shards` runners."""
    return tuple(partition for partition in range(PARTITIONS) if partition % shards == shard)


def restored_shard(
    connection: Connection,
    partitions: Sequence[int],
    lineup: Lineup,
    each_close: Callable[[], None] = lambda: None,
) -> Shard:
    """A shard as its checkpoints, stored candles, views and chains say, through the same step as live.

    The chains are read first: whatever another process appends meanwhile shows as a longer chain.
    `each_close` is called after each close; what it raises ends the work.
    """
    shard = Shard(partitions, lineup)
    heads = history.heads(connection, partitions)
    last_records = checkpoints.last_records(connection, partitions)
    shard.restore_chains(heads.values(), history.tickers(connection), last_records)
    for timeframe in shard.timeframes:
        since = _restore_checkpoints(connection, shard, timeframe, lineup, each_close)
        others = {partition: history.FOREVER for partition in partitions if partition not in since}
        for candles in (
            history.evaluated_candles(connection, timeframe, others),
            history.candles_evaluated_since(connection, timeframe, since),
        ):
            for batch in candles:
                shard.restore_candles(batch)
                each_close()
    shard.restore_views(history.views(connection, partitions))
    return shard


def _restore_checkpoints(
    connection: Connection, shard: Shard, timeframe: str, lineup: Lineup, each_close: Callable[[], None]
) -> dict[int, int]:
    """Give a shard its newest checkpoints of a timeframe; returns their record by partition.

    What one lacks, of an algorithm that is new, is built from the stored candles before it. A partition whose
    checkpoint can't be used is left to the stored candles.
    """
    since: dict[int, int] = {}
    incomplete: dict[int, EngineState] = {}
    for checkpoint, recorded in checkpoints.newest(connection, timeframe, shard.partitions):
        warn = partial(
            log.warning,
            partition=checkpoint.partition,
            timeframe=timeframe,
            close_time=checkpoint.close_time,
        )
        try:
            checkpoint.require(recorded)
            state = EngineState.from_bytes(checkpoint.state)
        except BrokenState as error:
            warn("a checkpoint is passed over, all stored candles are read", reason=str(error))
            continue
        try:
            shard.restore_state(state)
        except IncompleteState as error:
            warn("a checkpoint is completed from the stored candles", reason=str(error))
            incomplete[checkpoint.partition] = state
        since[checkpoint.partition] = checkpoint.sequence
    builder = Engine(timeframe, lineup.on(timeframe))
    for batch in history.evaluated_candles(
        connection, timeframe, {partition: since[partition] for partition in incomplete}
    ):
        builder.step(batch)
        each_close()
    for state in incomplete.values():
        shard.restore_state(state.completed(builder.snapshot(state.tickers)))
    return since


def is_current(connection: Connection, shard: Shard) -> bool:
    """Whether the shard stands where its chains end: nobody else has evaluated since."""
    stored = history.sequences(connection, shard.partitions)
    return all(shard.heads[partition].sequence == sequence for partition, sequence in stored.items())


def close_candles(
    session: Session, shard: Shard, event: CandlesClosedV1, alert_max_age: timedelta
) -> Evaluation:
    """Evaluate a close, store all that comes of it, and tell of every view that turned.

    Changes of a live close that is older than `alert_max_age` by now are late: stored and told, but nobody
    is alerted of them. The shard has moved on when this returns or raises: keep it only if the transaction
    commits.
    """

    def earlier(ticker: str, open_time: datetime) -> Candle | None:
        return history.candle_at(session, ticker, event.timeframe, open_time)

    locks.share_closes(session.connection())
    result = shard.advance(batch_of(event), earlier)
    with cycles.inserting_signals(session, result.signals):
        shard.conclude(result)
        evaluated_at = datetime.now(UTC)
        late = not event.recorded and evaluated_at - event.close_time > alert_max_age
        changed = _views_changed(event, result.changes, evaluated_at, late=late)
    if not result.usable:
        feeds.note_unusable(session, event.feed, event.sequence)
    cycles.insert_tickers(session, result.tickers)
    cycles.insert_close(session, result.candles, result.evaluated_in)
    cycles.insert_candles(session, event.timeframe, result.late, None)
    cycles.insert_gaps(session, result.gaps)
    cycles.upsert_views(session, result.views)
    cycles.insert_changes(session, result.changes, late=late)
    cycles.insert_records(session, result.records)
    checkpoints.insert(session, result.checkpoints)
    _list_tickers(session, event, result.tickers)
    views = f"views:{event.timeframe}"
    outbox.add_all(session, changed, aggregate_id=views, aggregate_version=event.sequence)
    result.newly_missing = silence.after_close(session, event, shard.partitions, result)
    return result


def batch_of(event: CandlesClosedV1) -> CandleBatch:
    """The candles of an event as the engine takes them."""
    columns = (event.open, event.high, event.low, event.close, event.volume)
    arrays: list[FloatArray] = [read_only(np.array(column, dtype=np.float64)) for column in columns]
    return CandleBatch(event.timeframe, event.close_time, event.tickers, *arrays)


def publish_algorithms(session: Session, lineup: Lineup) -> bool:
    """Tell the list of algorithms when it is not the one told last; returns whether it was told."""
    listed = tuple(_listed(algorithm, lineup) for algorithm in lineup.algorithms.values())
    content = [each.model_dump(mode="json") for each in listed]
    version, published = feeds.published_algorithms(session)
    if content == published:
        return False
    feeds.set_published_algorithms(session, version + 1, content)
    outbox.add(
        session,
        AlgorithmsListedV1(algorithms=listed),
        aggregate_id="algorithms",
        aggregate_version=version + 1,
    )
    return True


def _listed(algorithm: Algorithm, lineup: Lineup) -> ListedAlgorithm:
    return ListedAlgorithm.model_validate(
        {
            "key": algorithm.key,
            "name": algorithm.name,
            "version": algorithm.version,
            "timeframe": lineup.timeframe_of(algorithm.key),
        }
    )


def _list_tickers(session: Session, event: CandlesClosedV1, tickers: Sequence[TickerRow]) -> None:
    outbox.add_all(
        session,
        [
            TickersListedV1.model_validate(
                {"tickers": [{"ticker": row.ticker, "timeframe": event.timeframe} for row in rows]}
            )
            for rows in _in_parts(tickers, MAX_TICKERS)
        ],
        aggregate_id=f"tickers:{event.timeframe}",
        aggregate_version=event.sequence,
    )


def _views_changed(
    event: CandlesClosedV1, changes: Iterable[ChangeRow], evaluated_at: datetime, *, late: bool
) -> list[ViewsChangedV1]:
    told = {
        "timeframe": event.timeframe,
        "close_time": event.close_time,
        "released_at": event.released_at,
        "evaluated_at": evaluated_at,
        "recorded": event.recorded,
        "late": late,
    }
    return [
        ViewsChangedV1.model_validate(told | {"changes": list(map(_change, part))})
        for part in _in_parts(changes, MAX_CHANGES)
    ]


def _change(row: ChangeRow) -> dict[str, Any]:
    """A change as the event has it, which is validated as a whole: a hundred at once cost half."""
    return {
        "algorithm": row.algorithm,
        "algorithm_version": row.algorithm_version,
        "ticker": row.ticker,
        "from": row.from_view,
        "to": row.to_view,
        "close": row.close,
        "why": row.why,
        "ledger": {"partition": row.ledger_partition, "sequence": row.ledger_sequence},
    }


def _in_parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
