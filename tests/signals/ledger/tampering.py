"""A market whose ledger is tampered with, and what `verify` then names."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, text

from services.signals.errors import BadRecord
from services.signals.ledger.heads import Ends
from services.signals.ledger.verification import verify
from shared.db.engine import Database
from tests.signals.audited import CHAIN

FIRST_DAY = datetime(2026, 11, 27, 12, tzinfo=UTC)
"""When the first of the two heads was exported."""
MINE = "ticker IN (SELECT ticker FROM ticker WHERE partition = :p)"

Tamper = Callable[[Connection], Any]


class Market(NamedTuple):
    """A database with a market that was evaluated, and the folder that its heads were exported to."""

    name: str
    heads: Path


def tampered(database: Database, tamper: Tamper) -> None:
    with database.transaction() as session:
        tamper(session.connection())


def fault(database: Database, exported: list[tuple[str, Ends]] | None = None) -> BadRecord:
    with pytest.raises(BadRecord) as caught:
        verify(database, exported or [])
    return caught.value


def execute(statement: str, **values: object) -> Tamper:
    return lambda connection: connection.execute(text(statement), {"p": CHAIN, **values})
