"""Deliveries: made once for each dedupe key, claimed with a lease, brought to one end.

Their way is pending -> sending -> sent | failed | cancelled, and back to pending for another try. The
functions take part in the caller's transaction.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from services.notify.constants import (
    ALL_TICKERS,
    BULK,
    CRITICAL,
    FAN_OUT_MEMORY,
    FAN_OUT_SECONDS,
    MAIL,
    VIEW_CHANGED,
    WELCOME,
    WORKING_CHANNELS,
)

WAKE_CHANNEL = "notify_delivery"
"""The NOTIFY channel that wakes the senders when there are mails to send."""

# Two joins instead of one with OR: each goes by the index on (algorithm, ticker), however many alerts
# there are.
_FAN_OUT = text(
    """
    WITH asked AS (
        SELECT c.id AS view_change_id, a.user_id, a.channels, a.ticker
          FROM view_change c JOIN alert a ON a.algorithm = c.algorithm AND a.ticker = c.ticker
         WHERE c.id = ANY(:changes)
        UNION ALL
        SELECT c.id, a.user_id, a.channels, :all_tickers
          FROM view_change c JOIN alert a ON a.algorithm = c.algorithm AND a.ticker IS NULL
         WHERE c.id = ANY(:changes)
    ), told AS (
        SELECT asked.view_change_id, asked.user_id, channel,
               array_agg(asked.ticker ORDER BY asked.ticker) AS asked
          FROM asked
          CROSS JOIN LATERAL unnest(asked.channels) AS channel
          JOIN entitlement e ON e.user_id = asked.user_id AND channel = ANY(e.channels)
          JOIN contact ON contact.user_id = asked.user_id AND contact.deleted_at IS NULL
         WHERE channel = ANY(:channels)
         GROUP BY asked.view_change_id, asked.user_id, channel
    ), made AS (
        INSERT INTO delivery (dedupe_key, user_id, channel, kind, lane, view_change_id, asked)
        SELECT concat_ws('|', CAST(:kind AS text), c.algorithm, c.ticker, c.timeframe,
                         to_char(c.close_time AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS'),
                         told.user_id, told.channel),
               told.user_id, told.channel, :kind, :lane, told.view_change_id, told.asked
          FROM told JOIN view_change c ON c.id = told.view_change_id
        ON CONFLICT (dedupe_key) DO NOTHING
        RETURNING view_change_id, channel
    )
    SELECT view_change_id, channel, count(*) AS people FROM made GROUP BY view_change_id, channel
    """
)

_WELCOME = text(
    """
    INSERT INTO delivery (dedupe_key, user_id, channel, kind, lane)
    VALUES (concat_ws('|', CAST(:kind AS text), CAST(:user_id AS text)), :user_id, :channel, :kind, :lane)
    ON CONFLICT (dedupe_key) DO NOTHING RETURNING id
    """
)

_CLAIM = text(
    """
    WITH due AS (
        SELECT id FROM delivery
         WHERE channel = 'mail' AND state = 'pending' AND lane = :lane AND next_at <= clock_timestamp()
         ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE delivery d
           SET state = 'sending', attempts = d.attempts + 1, lease_until = clock_timestamp() + :lease
          FROM due WHERE d.id = due.id
        RETURNING d.*
    )
    SELECT claimed.id, claimed.kind, claimed.user_id, claimed.attempts, claimed.lease_until, claimed.asked,
           contact.email, contact.user_name,
           c.algorithm, coalesce(listed.name, c.algorithm) AS algorithm_name, c.algorithm_version, c.ticker,
           c.timeframe, c.close_time, c.from_view, c.to_view, c.close, c.why, c.ledger_partition,
           c.ledger_sequence, c.released_at, c.evaluated_at, c.queued_at, c.recorded
      FROM claimed
      LEFT JOIN contact ON contact.user_id = claimed.user_id
      LEFT JOIN view_change c ON c.id = claimed.view_change_id
      LEFT JOIN catalogue_algorithm listed ON listed.key = c.algorithm
    """
)

_RESERVE = text(
    """
    INSERT INTO send_rate (provider, ready_at) VALUES (:provider, clock_timestamp() + :step)
    ON CONFLICT (provider) DO UPDATE SET ready_at = greatest(send_rate.ready_at, clock_timestamp()) + :step
    RETURNING extract(epoch FROM ready_at - :step - clock_timestamp())::float8
    """
)

# A sent mail is sent, whatever has become of the lease; every other end needs the lease still to be ours.
_SENT = text(
    """
    UPDATE delivery
       SET state = 'sent', lease_until = NULL, provider_id = :provider_id, reason = NULL,
           receipt = receipt || jsonb_build_object('accepted_at', CAST(:accepted_at AS text))
     WHERE id = :id AND state IN ('sending', 'pending')
    """
)
_ENDED = text(
    """
    UPDATE delivery SET state = :state, lease_until = NULL, reason = :reason
     WHERE id = :id AND state = 'sending' AND lease_until = :lease_until
    """
)
_RETRY = text(
    """
    UPDATE delivery
       SET state = 'pending', lease_until = NULL, reason = :reason, attempts = attempts - :uncounted,
           next_at = clock_timestamp() + :pause
     WHERE id = :id AND state = 'sending' AND lease_until = :lease_until
    """
)
_RECLAIM = text(
    """
    UPDATE delivery
       SET state = 'pending', lease_until = NULL, next_at = clock_timestamp(),
           receipt = receipt || jsonb_build_object('resent', coalesce((receipt->>'resent')::int, 0) + 1)
     WHERE id IN (SELECT id FROM delivery WHERE state = 'sending' AND lease_until < clock_timestamp()
                   FOR UPDATE SKIP LOCKED)
    RETURNING id
    """
)
_CANCEL = text(
    """
    UPDATE delivery SET state = 'cancelled', lease_until = NULL, reason = :reason
     WHERE user_id = :user_id AND state IN ('pending', 'sending')
    """
)
_CANCEL_ALERT_MAILS = text(
    """
    UPDATE delivery d SET state = 'cancelled', reason = 'unsubscribed'
      FROM view_change c
     WHERE d.user_id = :user_id AND d.channel = 'mail' AND d.state = 'pending' AND c.id = d.view_change_id
       AND (CAST(:algorithm AS text) IS NULL OR (c.algorithm = :algorithm AND c.ticker = :ticker))
    """
)
_PUSHED = text(
    """
    UPDATE delivery
       SET state = 'sent', receipt = receipt || jsonb_build_object('accepted_at', CAST(:accepted_at AS text))
     WHERE id = ANY(:ids) AND channel = 'live' AND state = 'pending'
    """
)


_END_UNSEEN = text(
    """
    UPDATE delivery SET state = 'cancelled', reason = 'not connected'
     WHERE id IN (SELECT d.id FROM live_message m
                    JOIN delivery d ON d.view_change_id = m.view_change_id
                                   AND d.channel = 'live' AND d.state = 'pending'
                   WHERE m.created_at < :before LIMIT :limit)
    RETURNING id
    """
)


@dataclass(frozen=True)
class Claimed:
    """A mail that this process is to send until ``lease_until``, after ``wait`` seconds.

    ``row`` has what the mail tells; ``email`` None means that the person is gone.
    """

    id: uuid.UUID
    kind: str
    user_id: str
    attempts: int
    lease_until: datetime
    email: str | None
    wait: float
    row: RowMapping


@dataclass(frozen=True)
class Sent:
    """The provider has accepted the mail under ``provider_id``."""

    provider_id: str
    accepted_at: datetime


@dataclass(frozen=True)
class Ended:
    """The mail will not go out: ``state`` is ``failed`` or ``cancelled``."""

    state: str
    reason: str


@dataclass(frozen=True)
class Again:
    """The mail is to be tried again after a pause; ``counted`` when it was the mail's own fault."""

    pause: timedelta
    reason: str
    counted: bool


Outcome = Sent | Ended | Again


def iso(moment: datetime) -> str:
    """An aware UTC moment as it stands in receipts and messages: ISO 8601 with a Z."""
    return moment.isoformat().replace("+00:00", "Z")


def wake_senders(session: Session) -> None:
    """Wake the senders when the transaction commits."""
    session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": WAKE_CHANNEL})


def welcome(session: Session, user_id: str) -> None:
    """Make the welcome mail of a person, once."""
    made = session.execute(_WELCOME, {"user_id": user_id, "kind": WELCOME, "channel": MAIL, "lane": BULK})
    if made.first() is not None:
        wake_senders(session)


def fan_out(session: Session, changes: Sequence[int]) -> dict[int, dict[str, int]]:
    """Make the deliveries of everybody who asked for these view changes, in one statement.

    Returns how many people are told through each channel, by change id and channel; those who were told
    before are not counted. Takes part of the statement time-out away: 100,000 deliveries take a second.
    """
    session.execute(text(f"SET LOCAL statement_timeout = '{FAN_OUT_SECONDS}s'"))
    session.execute(text(f"SET LOCAL work_mem = '{FAN_OUT_MEMORY}'"))
    parameters = {
        "changes": list(changes),
        "channels": list(WORKING_CHANNELS),
        "kind": VIEW_CHANGED,
        "lane": BULK,
        "all_tickers": ALL_TICKERS,
    }
    told: dict[int, dict[str, int]] = {}
    for row in session.execute(_FAN_OUT, parameters):
        told.setdefault(row.view_change_id, {})[row.channel] = row.people
    if any(MAIL in channels for channels in told.values()):
        wake_senders(session)
    return told


def claim(session: Session, *, lease: timedelta, provider: str, rate: float | None) -> Claimed | None:
    """Take the next due mail, critical ones first, and a place in the provider's rate; None when none is due.

    ``rate`` is in mails a second over all processes; None is without limit.
    """
    for lane in (CRITICAL, BULK):
        row = session.execute(_CLAIM, {"lane": lane, "lease": lease}).mappings().first()
        if row is not None:
            break
    else:
        return None
    wait = 0.0
    if rate is not None:
        step = timedelta(seconds=1 / rate)
        wait = float(session.execute(_RESERVE, {"provider": provider, "step": step}).scalar_one())
    return Claimed(
        id=row["id"],
        kind=row["kind"],
        user_id=row["user_id"],
        attempts=row["attempts"],
        lease_until=row["lease_until"],
        email=row["email"],
        wait=max(0.0, wait),
        row=row,
    )


def settle(session: Session, claimed: Claimed, outcome: Outcome) -> None:
    """Write down what became of a claimed mail."""
    held: dict[str, Any] = {"id": claimed.id, "lease_until": claimed.lease_until}
    match outcome:
        case Sent(provider_id, accepted_at):
            sent = {"id": claimed.id, "provider_id": provider_id, "accepted_at": iso(accepted_at)}
            session.execute(_SENT, sent)
        case Ended(state, reason):
            session.execute(_ENDED, held | {"state": state, "reason": reason})
        case Again(pause, reason, counted):
            session.execute(
                _RETRY, held | {"pause": pause, "reason": reason, "uncounted": 0 if counted else 1}
            )


def reclaim(session: Session) -> list[uuid.UUID]:
    """Give back the mails whose lease has run out; their receipts count that they may go out twice."""
    return [row.id for row in session.execute(_RECLAIM)]


def cancel_all(session: Session, user_id: str, reason: str) -> None:
    """Nothing more is sent to the person."""
    session.execute(_CANCEL, {"user_id": user_id, "reason": reason})


def cancel_alert_mails(session: Session, user_id: str, algorithm: str | None, ticker: str | None) -> None:
    """Cancel the waiting alert mails of a person: those of one (algorithm, ticker), or all for None."""
    session.execute(_CANCEL_ALERT_MAILS, {"user_id": user_id, "algorithm": algorithm, "ticker": ticker})


def pushed(session: Session, ids: Sequence[uuid.UUID], accepted_at: datetime) -> None:
    """Note that live deliveries have been written to a browser's connection; the first time counts."""
    session.execute(_PUSHED, {"ids": list(ids), "accepted_at": iso(accepted_at)})


def end_unseen(session: Session, before: datetime, limit: int) -> int:
    """End at most ``limit`` live deliveries whose live message is from before a moment; how many there were.

    Nobody came to fetch them, and the message is about to be forgotten.
    """
    return len(session.execute(_END_UNSEEN, {"before": before, "limit": limit}).all())
