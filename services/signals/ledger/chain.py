"""One chain read again, record by record: links, hashes, order, and the cycles that must be there."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import rfc8785

from services.signals.candles import TIMEFRAMES, length_of
from services.signals.errors import BadRecord
from services.signals.ledger import records
from services.signals.ledger.checkpoints import Previous, is_due
from services.signals.ledger.records import NO_CANDLES, Head, iso
from services.signals.repository.audit import BatchRow, Began, RecordRow

MEMBERS: dict[str, tuple[type, ...]] = {
    "algorithms": (list,),
    "candles": (str,),
    "changes": (list,),
    "close_time": (str,),
    "format": (int,),
    "late": (bool,),
    "partition": (int,),
    "previous": (str,),
    "sequence": (int,),
    "set_aside": (list,),
    "timeframe": (str,),
}
OPTIONAL: dict[str, tuple[type, ...]] = {"checkpoint": (str,)}
CHANGE: dict[str, tuple[type, ...]] = {
    "algorithm": (str,),
    "close": (int, float),
    "from": (str,),
    "ticker": (str,),
    "to": (str,),
}
ALGORITHM: dict[str, tuple[type, ...]] = {"key": (str,), "parameters": (dict,), "version": (str,)}


class NotARecord(ValueError):
    """A text is no record of the ledger; what it lacks."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of which the place in its chain is right, and what it says."""

    row: RecordRow
    content: Mapping[str, Any]

    @property
    def open_time(self) -> datetime:
        """When the candles of the record opened."""
        return self.row.close_time - length_of(self.row.timeframe)


class Reader:
    """Reads the texts of records, and tells whether they are canonical JSON.

    The algorithms are most of a record and those of the record before, nearly always: they are written out
    once. Where the text begins with them as written, the rest has to be canonical beside an empty list.
    """

    def __init__(self) -> None:
        self._algorithms: str | None = None

    def read(self, body: str) -> dict[str, Any]:
        """What a record says. Raises NotARecord."""
        try:
            content = orjson.loads(body)
        except ValueError as error:
            raise NotARecord(f"its text is no JSON: {error}") from error
        if not isinstance(content, dict) or not _is_formed(content, MEMBERS, OPTIONAL):
            raise NotARecord("its text is no record of the ledger")
        if content["format"] != records.FORMAT or content["timeframe"] not in TIMEFRAMES:
            raise NotARecord(f"its format is {content['format']}, its timeframe {content['timeframe']}")
        if not all(_is_formed(each, CHANGE) for each in content["changes"]) or not all(
            _is_formed(each, ALGORITHM) for each in content["algorithms"]
        ):
            raise NotARecord("its text is no record of the ledger")
        try:
            canonical = self._is_canonical(body, content)
        except rfc8785.CanonicalizationError as error:
            raise NotARecord(f"its text is not canonical JSON: {error}") from error
        if not canonical:
            raise NotARecord("its text is not canonical JSON: written again it is another one")
        return content

    def _is_canonical(self, body: str, content: dict[str, Any]) -> bool:
        written = self._algorithms
        if written is not None and body.startswith(written):
            rest = '{"algorithms":[],' + body[len(written) :]
            return rest == rfc8785.dumps({**content, "algorithms": []}).decode()
        if rfc8785.dumps(content).decode() != body:
            return False
        self._algorithms = '{"algorithms":' + rfc8785.dumps(content["algorithms"]).decode() + ","
        return True


def _is_formed(
    content: Any,
    members: Mapping[str, tuple[type, ...]],
    optional: Mapping[str, tuple[type, ...]] | None = None,
) -> bool:
    """Whether something is an object of these members, each of its type, and perhaps the optional ones."""
    if not isinstance(content, dict) or not members.keys() <= content.keys():
        return False
    known = {**members, **(optional or {})}
    return all(name in known and type(value) in known[name] for name, value in content.items())


class Chain:
    """A chain as far as it was read. Records go in one after the other; the first wrong one is refused.

    `batches` are all released batches in their order and `is_met` tells whether this chain's shard has
    evaluated one; `began` are the chain's tickers; `heads` has by sequence the hashes that were exported,
    each with its document's name. Every method raises BadRecord.
    """

    def __init__(
        self,
        partition: int,
        batches: Iterator[BatchRow],
        is_met: Callable[[BatchRow], bool],
        began: Iterable[Began],
        heads: Mapping[int, list[tuple[str, str]]],
    ) -> None:
        self.head = Head(partition)
        self._reader = Reader()
        self._batches = (batch for batch in batches if is_met(batch))
        self._heads = heads
        self._begun: set[str] = set()
        self._previous: dict[str, Previous] = {}
        self._awaited = {
            (each.timeframe, each.first_open_time + length_of(each.timeframe)): each.ticker for each in began
        }

    def follow(self, row: RecordRow) -> Entry:
        """Take the next record."""
        head = self.head
        if row.sequence != head.sequence + 1:
            raise self._bad(head.sequence + 1, None, f"it is missing: record {row.sequence} comes next")
        try:
            content = self._reader.read(row.record)
        except NotARecord as error:
            raise self._bad(row.sequence, row.close_time, str(error)) from error
        for what in self._faults(row, content):
            raise self._bad(row.sequence, row.close_time, what)
        self._meet(row)
        self._begun.add(row.timeframe)
        if not row.late:
            self._previous[row.timeframe] = Previous(row.close_time, content["algorithms"])
        self._awaited.pop((row.timeframe, row.close_time), None)
        clock = head if row.late else row
        self.head = Head(head.partition, row.sequence, row.hash, clock.close_time, clock.timeframe)
        return Entry(row, content)

    def end(self) -> None:
        """Say what is missing behind the last record."""
        self._meet(None)
        for (timeframe, close_time), ticker in sorted(self._awaited.items()):
            what = f"the record of {timeframe} in which {ticker} had its first candle is missing"
            raise self._bad(self.head.sequence + 1, close_time, what)
        for sequence, named in sorted(self._heads.items()):
            if sequence > self.head.sequence:
                what = f"the chain ends with record {self.head.sequence}, but {named[0][1]} has this one"
                raise self._bad(sequence, None, f"it is missing: {what}")

    def _faults(self, row: RecordRow, content: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with a record in itself and in its place, the plainest first."""
        head = self.head
        digest = hashlib.sha256(row.record.encode()).hexdigest()
        if digest != row.hash:
            yield f"its hash is {digest}, but it is stored with {row.hash}"
        if content["previous"] != head.hash:
            yield f"it follows on {content['previous']}, but the record before is {head.hash}"
        said = (content["partition"], content["sequence"], content["timeframe"], content["late"])
        if said != (head.partition, row.sequence, row.timeframe, row.late) or (
            content["close_time"] != iso(row.close_time)
        ):
            yield "its columns say something else than its text"
        if row.late != head.is_late(row.close_time, row.timeframe):
            yield (
                "it is marked late, but comes in its place"
                if row.late
                else "it is out of order, and not marked late"
            )
        if row.timeframe not in self._begun and content["candles"] == NO_CANDLES:
            yield f"the chain begins in {row.timeframe} without a candle"
        due = not row.late and is_due(
            self._previous.get(row.timeframe), row.close_time, content["algorithms"]
        )
        if due != ("checkpoint" in content):
            yield f"it {'lacks a' if due else 'has a'} checkpoint where {'one' if due else 'none'} is due"
        for hash_, name in self._heads.get(row.sequence, ()):
            if hash_ != row.hash:
                yield f"its hash is not the one that {name} has"

    def _meet(self, row: RecordRow | None) -> None:
        """Pass over released batches up to that of a record (None: to the end); each due one must be that."""
        for batch in self._batches:
            if row is not None and (batch.timeframe, batch.close_time) == (row.timeframe, row.close_time):
                return
            if self._is_due(batch):
                what = f"batch {batch.sequence} of the feed {batch.feed} ({batch.timeframe})"
                raise self._bad(self.head.sequence + 1, batch.close_time, f"the record of {what} is missing")
        if row is not None:
            what = f"no feed has released a batch of {row.timeframe} for it"
            raise self._bad(row.sequence, row.close_time, what)

    def _is_due(self, batch: BatchRow) -> bool:
        """Whether a batch has a record in this chain, whatever its candles."""
        if batch.timeframe not in self._begun or self.head.is_late(batch.close_time, batch.timeframe):
            return False
        return not batch.unusable or self.head.is_next(batch.close_time, batch.timeframe, self._begun)

    def _bad(self, sequence: int, close_time: datetime | None, what: str) -> BadRecord:
        return BadRecord(self.head.partition, sequence, close_time, what)
