"""The daily head: where every chain ended on a UTC day, in a document that names the one before.

A document is canonical JSON (RFC 8785) of the members `chains` (partition, sequence and hash of the last
record of each; sequence 0 and GENESIS before the first), `date`, `format` and `previous`, the hash of the
document before. Its hash is the SHA-256 of those bytes. A file holds the same members and `hash`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Self

import orjson
import rfc8785

from services.signals.errors import BadHead, ExportError
from services.signals.ledger.records import GENESIS, Head

FORMAT = 1
SUFFIX = ".json"
"""How the name of an exported file ends."""
MEMBERS = frozenset({"chains", "date", "format", "previous"})


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of all chains on a day. `document` is the canonical JSON that `hash` is the SHA-256 of."""

    day: date
    chains: tuple[tuple[int, int, str], ...]
    previous: str
    document: str
    hash: str

    @classmethod
    def of(cls, day: date, heads: Iterable[Head], previous: str | None) -> Self:
        """The ends of chains as they are; `previous` is the hash of the document before, if there is one."""
        chains = sorted((head.partition, head.sequence, head.hash) for head in heads)
        body = rfc8785.dumps(
            {
                "chains": [{"hash": hash_, "partition": p, "sequence": s} for p, s, hash_ in chains],
                "date": day.isoformat(),
                "format": FORMAT,
                "previous": previous or GENESIS,
            }
        )
        return cls(day, tuple(chains), previous or GENESIS, body.decode(), hashlib.sha256(body).hexdigest())

    @classmethod
    def stored(cls, document: str, hash_: str) -> Self:
        """What `of` gave, from its document. Raises BadHead for another text or another hash."""
        try:
            content = orjson.loads(document)
            canonical = rfc8785.dumps(content)
        except ValueError as error:
            raise BadHead(f"is no JSON: {error}") from error
        if canonical.decode() != document:
            raise BadHead("is not canonical JSON")
        if hashlib.sha256(canonical).hexdigest() != hash_:
            raise BadHead("is not of the hash that it is stored with")
        return cls(*_content(content), document, hash_)

    @property
    def file(self) -> bytes:
        """The file's bytes: canonical JSON of the document's members and `hash`, and a line's end."""
        return rfc8785.dumps({**orjson.loads(self.document), "hash": self.hash}) + b"\n"

    @property
    def file_name(self) -> str:
        """The file's name, `YYYY-MM-DD.json`."""
        return f"{self.day.isoformat()}{SUFFIX}"

    def require_same(self, there: bytes, place: str) -> None:
        """Raise ExportError unless the bytes at a place are those of this file: nothing is written over."""
        if there != self.file:
            raise ExportError(f"{place}: another {self.file_name} is there already, it stays as it is")

    @property
    def is_empty(self) -> bool:
        """Whether no chain has a record."""
        return not any(sequence for _, sequence, _ in self.chains)


def read_file(content: bytes) -> Ends:
    """The ends that an exported file tells. Raises BadHead."""
    try:
        members = orjson.loads(content)
        hash_ = members.pop("hash")
        document = rfc8785.dumps(members).decode()
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadHead(f"is no exported head: {error}") from error
    ends = Ends.stored(document, hash_)
    if ends.file != content:
        raise BadHead("is not written as it was exported")
    return ends


def read_files(files: Iterable[tuple[str, bytes]]) -> list[tuple[str, Ends]]:
    """The exported heads in files, names and contents; with those names, oldest first.

    Raises BadHead when a file is not as it was exported or names another one as the one before. The list
    may begin at any day.
    """
    found: list[tuple[str, Ends]] = []
    for name, content in files:
        try:
            found.append((name, read_file(content)))
        except BadHead as error:
            raise BadHead(f"{name} {error}") from error
    found.sort(key=lambda each: each[1].day)
    check_order(found)
    return found


def check_order(heads: Sequence[tuple[str, Ends]]) -> None:
    """Raise BadHead unless each of the documents names the one before, and every chain only grew."""
    for (_, before), (name, after) in pairwise(heads):
        if after.previous != before.hash:
            raise BadHead(f"{name} does not name the one of {before.day} as the one before")
        lengths = {partition: sequence for partition, sequence, _ in after.chains}
        for partition, sequence, _ in before.chains:
            if lengths.get(partition, 0) < sequence:
                raise BadHead(f"{name} has chain {partition} shorter than the one of {before.day}")


def _content(content: Any) -> tuple[date, tuple[tuple[int, int, str], ...], str]:
    try:
        if content.keys() != MEMBERS or content["format"] != FORMAT:
            raise BadHead(f"is not of format {FORMAT}")
        day = date.fromisoformat(content["date"])
        chains = tuple(
            (int(each["partition"]), int(each["sequence"]), str(each["hash"])) for each in content["chains"]
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadHead(f"is no head of the ledger: {error}") from error
    return day, chains, str(content["previous"])
