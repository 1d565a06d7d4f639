"""The daily heads of the ledger as they are stored, and where they have been written to."""

from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from services.signals.errors import BadHead
from services.signals.ledger.heads import Ends

LOCK_SPACE = 0x48454144
"""First half of the lock under which a head is stored; the second is 0."""


class ToldHead(NamedTuple):
    """The ends of all chains on a UTC day, by their hash; `exported_to` is where they were written to."""

    day: date
    hash: str
    exported_to: str | None


def stored(connection: Connection) -> list[tuple[str, Ends]]:
    """All heads, oldest first, each with a name for messages. Raises BadHead for one that was changed."""
    found: list[tuple[str, Ends]] = []
    for day, document, hash_ in connection.execute(
        text("SELECT day, document, hash FROM ledger_head ORDER BY day")
    ):
        name = f"the stored head of {day}"
        try:
            ends = Ends.stored(document, hash_)
        except BadHead as error:
            raise BadHead(f"{name} {error}") from error
        if ends.day != day:
            raise BadHead(f"{name} is one of {ends.day}")
        found.append((name, ends))
    return found


def newest_head(connection: Connection) -> Ends | None:
    """The head of the newest day; None before the first."""
    row = connection.execute(
        text("SELECT document, hash FROM ledger_head ORDER BY day DESC LIMIT 1")
    ).one_or_none()
    return None if row is None else Ends.stored(*row)


def told(connection: Connection) -> ToldHead | None:
    """The newest daily head of the ledger; None before the first."""
    row = connection.execute(
        text("SELECT day, hash, exported_to FROM ledger_head ORDER BY day DESC LIMIT 1")
    ).one_or_none()
    return None if row is None else ToldHead(*row)


def page(connection: Connection, before: date | None, limit: int) -> list[Ends]:
    """Heads, newest first."""
    rows = connection.execute(
        text(
            """
            SELECT document, hash FROM ledger_head WHERE CAST(:before AS date) IS NULL OR day < :before
            ORDER BY day DESC LIMIT :limit
            """
        ),
        {"before": before, "limit": limit},
    )
    return [Ends.stored(*row) for row in rows]


def lock(session: Session) -> None:
    """Let nobody else store a head until this transaction ends."""
    session.execute(text("SELECT pg_advisory_xact_lock(:space, 0)"), {"space": LOCK_SPACE})


def add(session: Session, ends: Ends) -> None:
    """Store the head of a day."""
    session.execute(
        text("INSERT INTO ledger_head (day, document, hash) VALUES (:day, :document, :hash)"),
        {"day": ends.day, "document": ends.document, "hash": ends.hash},
    )


def not_exported_to(connection: Connection, place: str) -> list[Ends]:
    """The heads that have not been written to a place, oldest first."""
    rows = connection.execute(
        text("SELECT document, hash FROM ledger_head WHERE exported_to IS DISTINCT FROM :place ORDER BY day"),
        {"place": place},
    )
    return [Ends.stored(*row) for row in rows]


def note_exported(session: Session, day: date, place: str) -> None:
    """Remember where the head of a day was written to."""
    session.execute(
        text("UPDATE ledger_head SET exported_to = :place WHERE day = :day"), {"day": day, "place": place}
    )
