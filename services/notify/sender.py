"""The sender of notify: due mails go out, each once, critical ones first, at the provider's rate.

Each turn is one transaction that writes down the last mail and claims the next, with a send between two
turns and outside both. So a killed process leaves at most one mail per loop that may have left unrecorded.
"""

import random
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import psycopg
from prometheus_client import Counter, Histogram
from sqlalchemy.exc import SQLAlchemyError

from services.notify.channels.email import Deferred, MailTransport, Refused, Unavailable, transport_of
from services.notify.composing import CannotCompose, Composer
from services.notify.config import Settings
from services.notify.repository import deliveries
from services.notify.repository.deliveries import Again, Claimed, Ended, Outcome, Sent
from shared.db.engine import Database, Listener, is_away
from shared.logs import logger
from shared.process import Beat, Loop

BACKOFF = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 300, 900, 3600, 7200, 14400, 28800, 43200))
"""Pauses after each try that a mail failed by itself; after the last one it is given up."""
SES_RATE = 14.0
"""Mails a second that SES gives to an account that has left its sandbox."""
POLL_SECONDS = 1.0
RECLAIM_SECONDS = 5.0
BEAT_SECONDS = 1.0
"""How often a sender that waits for its turn says that it is alive."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0

MAILS = Counter(
    "notify_mails", "Mails by what became of a try to send them.", ["provider", "kind", "outcome"]
)
MAIL_SECONDS = Histogram("notify_mail_seconds", "Time the provider took for a mail.", ["provider"])
LEASES_EXPIRED = Counter(
    "notify_mail_leases_expired",
    "Mails whose sender vanished: sent again, so possibly doubled.",
    ["provider"],
)
log = logger(__name__)


class MailSender:
    """One loop that sends one mail at a time over a transport of its own."""

    def __init__(
        self,
        name: str,
        database: Database,
        transport: MailTransport,
        composer: Composer,
        *,
        lease: timedelta,
        rate: float | None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.name = name
        self._database = database
        self._transport = transport
        self._composer = composer
        self._lease = lease
        self._rate = rate
        self._poll = poll_seconds
        self._listener: Listener | None = None
        self._reclaim_at = 0.0
        self._closed_until = 0.0
        self._closed_for = FIRST_PAUSE

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Send until ``stop`` is set; then the mail under way is finished and written down."""
        done: tuple[Claimed, Outcome] | None = None
        pause = FIRST_PAUSE
        try:
            while not stop.is_set():
                beat()
                try:
                    claimed = self._turn(done)
                except SQLAlchemyError as error:
                    # What was sent stays in hand until it is written down: forgetting it would send it twice.
                    log.exception("the sender's turn failed", away=is_away(error))
                    stop.wait(_jittered(pause))
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                done, pause = None, FIRST_PAUSE
                if claimed is None:
                    self._await_work(stop)
                    continue
                done = (claimed, self._outcome(claimed, stop, beat))
                self._mind_the_provider(done[1])
            if done is not None:
                self._settle(done)
        finally:
            self._transport.close()
            self._stop_listening()

    def _turn(self, done: tuple[Claimed, Outcome] | None) -> Claimed | None:
        with self._database.transaction() as session:
            if done is not None:
                deliveries.settle(session, *done)
            if time.monotonic() >= self._reclaim_at:
                self._give_back(deliveries.reclaim(session))
                self._reclaim_at = time.monotonic() + RECLAIM_SECONDS
            if time.monotonic() < self._closed_until:
                return None
            return deliveries.claim(
                session, lease=self._lease, provider=self._transport.name, rate=self._rate
            )

    def _settle(self, done: tuple[Claimed, Outcome]) -> None:
        with self._database.transaction() as session:
            deliveries.settle(session, *done)

    def _outcome(self, claimed: Claimed, stop: threading.Event, beat: Beat) -> Outcome:
        outcome, word = self._attempt(claimed, stop, beat)
        MAILS.labels(self._transport.name, claimed.kind, word).inc()
        if word not in ("sent", "released"):
            reason = getattr(outcome, "reason", "")
            log.warning(
                "mail not sent", delivery=str(claimed.id), kind=claimed.kind, outcome=word, reason=reason
            )
        return outcome

    def _attempt(self, claimed: Claimed, stop: threading.Event, beat: Beat) -> tuple[Outcome, str]:
        """Try to send a mail; returns what became of it, for the database and in a word."""
        if claimed.email is None:
            return Ended("cancelled", "the account is deleted"), "cancelled"
        try:
            message = self._composer.compose(claimed)
        except CannotCompose as error:
            return Ended("failed", str(error)), "failed"
        except Exception as error:  # a fault of ours in one kind of mail must not stop all the others
            log.exception("mail could not be composed", delivery=str(claimed.id), kind=claimed.kind)
            return _again(claimed, f"composing: {type(error).__name__}")
        if _wait(claimed.wait, stop, beat):
            return Again(timedelta(), "the sender stops", counted=False), "released"
        return self._hand_over(message, claimed)

    def _hand_over(self, message: EmailMessage, claimed: Claimed) -> tuple[Outcome, str]:
        try:
            with MAIL_SECONDS.labels(self._transport.name).time():
                provider_id = self._transport.send(message, claimed.id)
        except Refused as error:
            return Ended("failed", str(error)), "failed"
        except Deferred as error:
            return _again(claimed, str(error))
        except Unavailable as error:
            return Again(timedelta(), str(error), counted=False), "unavailable"
        return Sent(provider_id, datetime.now(UTC)), "sent"

    def _mind_the_provider(self, outcome: Outcome) -> None:
        """Leave a provider that takes nothing alone for a while, longer each time."""
        if isinstance(outcome, Again) and not outcome.counted:
            self._closed_until = time.monotonic() + _jittered(self._closed_for)
            self._closed_for = min(2 * self._closed_for, LONGEST_PAUSE)
        else:
            self._closed_until, self._closed_for = 0.0, FIRST_PAUSE

    def _give_back(self, expired: list[uuid.UUID]) -> None:
        if expired:
            # Neither SMTP nor a folder can tell whether these left, and of SES's record we do not hear yet.
            LEASES_EXPIRED.labels(self._transport.name).inc(len(expired))
            log.warning(
                "mails with an expired lease are sent again", deliveries=[str(id_) for id_ in expired]
            )

    def _await_work(self, stop: threading.Event) -> None:
        try:
            if self._listener is None:
                self._listener = self._database.listen(deliveries.WAKE_CHANNEL)
                return  # whatever was committed before we listened is looked for first
            self._listener.wait(self._poll, stop)
        except psycopg.Error:
            self._stop_listening()
            stop.wait(self._poll)

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()


def loops(settings: Settings, database: Database) -> list[Loop]:
    """The loops of the sender process: as many mails at once as the settings say."""
    composer = Composer(settings)
    url = settings.mail_url.get_secret_value()
    senders: list[Loop] = []
    for number in range(1, settings.mail_concurrency + 1):
        transport = transport_of(url, timeout=settings.mail_timeout)
        rate = settings.mail_rate or (SES_RATE if transport.name == "ses" else None)
        lease = timedelta(seconds=settings.mail_lease)
        senders.append(
            MailSender(f"mail-sender-{number}", database, transport, composer, lease=lease, rate=rate)
        )
    return senders


def _again(claimed: Claimed, reason: str) -> tuple[Outcome, str]:
    if claimed.attempts > len(BACKOFF):
        return Ended("failed", f"given up after {claimed.attempts} tries: {reason}"), "failed"
    return Again(BACKOFF[claimed.attempts - 1], reason, counted=True), "deferred"


def _wait(seconds: float, stop: threading.Event, beat: Beat) -> bool:
    """Wait, and say all the while that we are alive; returns whether we shall stop."""
    ends_at = time.monotonic() + seconds
    while (left := ends_at - time.monotonic()) > 0 and not stop.wait(min(left, BEAT_SECONDS)):
        beat()
    return stop.is_set()


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
