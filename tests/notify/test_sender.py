"""The sender: each mail once, critical ones first, whatever breaks."""

import itertools
import threading
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import text

from embedded.processes import LOOPBACK, free_port
from services.notify import sender
from services.notify.channels.email import transport_of
from services.notify.composing import Composer
from services.notify.config import Settings
from services.notify.repository import deliveries
from services.notify.sender import MailSender
from shared.db.engine import Database
from tests.notify.conftest import LEASE
from tests.notify.events import (
    alert,
    change,
    changed,
    deleted,
    entitled,
    eventually,
    execute,
    handle,
    people,
    person,
    registered,
    rows,
    running,
    states,
)
from tests.notify.smtp import SmtpServer


def recipients(smtp: SmtpServer) -> list[str]:
    return [str(message["To"]) for message in smtp.messages()]


def test_every_waiting_mail_is_sent_once_with_its_receipt(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 20)
    with running(make_sender(smtp.url, name="one"), make_sender(smtp.url, name="two")):
        eventually(lambda: states(database) == {"sent": 20})
    assert sorted(recipients(smtp)) == sorted(f"user{number}@example.org" for number in range(20))
    found = rows(database, "SELECT id, provider_id, attempts, receipt->>'accepted_at' AS at FROM delivery")
    assert {row["provider_id"] for row in found} == {f"<{row['id']}@boritrader.example>" for row in found}
    assert {row["attempts"] for row in found} == {1}
    assert all(row["at"].endswith("Z") for row in found)


def test_a_new_mail_wakes_the_sender_without_waiting_for_its_poll(
    database: Database, smtp: SmtpServer, make_settings: Callable[..., Settings]
) -> None:
    transport = transport_of(smtp.url, timeout=5)
    lazy = MailSender(
        "lazy", database, transport, Composer(make_settings()), lease=LEASE, rate=None, poll_seconds=600
    )
    stop = threading.Event()
    thread = threading.Thread(target=lazy.run, args=(stop, lambda: None), daemon=True)
    thread.start()
    eventually(
        lambda: bool(
            rows(database, "SELECT 1 FROM pg_stat_activity WHERE query ILIKE 'LISTEN%notify_delivery%'")
        )
    )
    people(database, 1)
    eventually(lambda: states(database) == {"sent": 1})
    handle(database, entitled("user0"))
    alert(database, "user0", "BTCUSD")
    handle(database, changed(change("BTCUSD")))
    eventually(lambda: states(database) == {"sent": 2})
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_critical_mails_overtake_bulk(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 6)
    execute(database, "UPDATE delivery SET lane = 0 WHERE user_id IN ('user3', 'user5')")
    with running(make_sender(smtp.url)):
        eventually(lambda: states(database) == {"sent": 6})
    assert sorted(recipients(smtp)[:2]) == ["user3@example.org", "user5@example.org"]


def test_a_refused_mail_is_failed_with_the_reason_and_stops_no_other(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 1)
    smtp.answers["DATA"] = "550 5.1.1 no such user"
    with running(make_sender(smtp.url)):
        eventually(lambda: states(database) == {"failed": 1})
        smtp.answers.clear()
        handle(database, registered("bob"))
        eventually(lambda: states(database) == {"failed": 1, "sent": 1})
    (failed,) = rows(database, "SELECT reason FROM delivery WHERE state = 'failed'")
    assert failed["reason"] == "550 5.1.1 no such user"


def test_a_deferred_mail_is_tried_again_after_a_pause(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 1)
    smtp.answers["RCPT"] = "451 greylisted"
    with running(make_sender(smtp.url)):
        eventually(
            lambda: (
                rows(database, "SELECT attempts FROM delivery WHERE state = 'pending' AND attempts = 1") != []
            )
        )
        (waiting,) = rows(database, "SELECT reason, next_at - now() AS pause FROM delivery")
        assert waiting["reason"] == "451 greylisted"
        assert timedelta(seconds=5) < waiting["pause"] <= timedelta(seconds=10)
        smtp.answers.clear()
        execute(database, "UPDATE delivery SET next_at = now()")
        eventually(lambda: states(database) == {"sent": 1})
    assert rows(database, "SELECT attempts, reason FROM delivery") == [{"attempts": 2, "reason": None}]


def test_a_mail_that_is_deferred_for_ever_is_given_up_with_the_reason(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 1)
    smtp.answers["RCPT"] = "451 greylisted"
    execute(database, "UPDATE delivery SET attempts = :tried", tried=len(sender.BACKOFF))
    with running(make_sender(smtp.url)):
        eventually(lambda: states(database) == {"failed": 1})
    assert rows(database, "SELECT reason FROM delivery") == [
        {"reason": "given up after 10 tries: 451 greylisted"}
    ]


def test_a_server_that_is_away_costs_no_mail_a_try(
    database: Database, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 3)
    nowhere = free_port()
    with running(make_sender(f"smtp://{LOOPBACK}:{nowhere}")):
        eventually(lambda: rows(database, "SELECT 1 FROM delivery WHERE reason LIKE '%Refused%'") != [])
    assert rows(database, "SELECT DISTINCT state, attempts FROM delivery") == [
        {"state": "pending", "attempts": 0}
    ]


def test_a_deleted_person_gets_nothing_even_if_a_mail_was_left_behind(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 1)
    handle(database, deleted("user0"))
    execute(database, "UPDATE delivery SET state = 'pending'")
    with running(make_sender(smtp.url)):
        eventually(lambda: states(database) == {"cancelled": 1})
    assert smtp.accepted == []


def test_a_mail_that_cannot_be_composed_fails_alone(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 2)
    execute(database, "UPDATE contact SET email = 'nowhere' WHERE user_id = 'user0'")
    with running(make_sender(smtp.url)):
        eventually(lambda: states(database) == {"failed": 1, "sent": 1})


def test_an_expired_lease_is_given_back_and_counted(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 1)
    with database.transaction() as session:
        deliveries.claim(session, lease=timedelta(), provider="smtp", rate=None)
    with running(make_sender(smtp.url)):
        eventually(lambda: states(database) == {"sent": 1})
    (found,) = rows(database, "SELECT id, (receipt->>'resent')::int AS resent, attempts FROM delivery")
    assert (found["resent"], found["attempts"]) == (1, 2)


def test_a_sender_whose_lease_ran_out_does_not_undo_what_another_did(database: Database) -> None:
    people(database, 1)
    with database.transaction() as session:
        slow = deliveries.claim(session, lease=timedelta(), provider="smtp", rate=None)
        assert slow is not None
    with database.transaction() as session:
        assert deliveries.reclaim(session) == [slow.id]
        fast = deliveries.claim(session, lease=LEASE, provider="smtp", rate=None)
        assert fast is not None
    with database.transaction() as session:
        deliveries.settle(session, slow, deliveries.Again(timedelta(), "late", counted=True))
        deliveries.settle(session, slow, deliveries.Ended("failed", "late"))
    assert states(database) == {"sending": 1}


def test_the_database_may_go_away_and_come_back(
    database: Database,
    database_url: Callable[[str | None], str],
    smtp: SmtpServer,
    make_sender: Callable[..., MailSender],
) -> None:
    people(database, 30)
    administrator = Database(database_url(None), application_name="test-administrator")
    name = database.name.rpartition("/")[2]

    def connections(*, allowed: bool) -> None:
        with administrator.read() as connection:
            connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {str(allowed).lower()}'))
            if not allowed:
                connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                    {"name": name},
                )

    cut = threading.Event()

    def cut_in_the_middle() -> None:
        if len(smtp.accepted) == 10:
            connections(allowed=False)
            cut.set()

    smtp.on_accepted = cut_in_the_middle
    stop, turns = threading.Event(), itertools.count()
    turn = next(turns)

    def beat() -> None:
        nonlocal turn
        turn = next(turns)

    thread = threading.Thread(target=make_sender(smtp.url).run, args=(stop, beat), daemon=True)
    thread.start()
    try:
        assert cut.wait(20)
        before = turn
        eventually(lambda: turn >= before + 2)  # the sender has met the closed door at least once
        connections(allowed=True)
        eventually(lambda: states(database) == {"sent": 30})
    finally:
        connections(allowed=True)
        stop.set()
        thread.join(20)
        administrator.dispose()
    assert len(recipients(smtp)) == len(set(recipients(smtp))) == 30  # the tenth was not forgotten


def test_a_view_change_reaches_its_subscribers_by_mail(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    for user in ("ada", "bob"):
        person(database, user)
    alert(database, "ada", "BTCUSD")
    with running(make_sender(smtp.url)):
        handle(database, changed(change("BTCUSD")))
        eventually(lambda: len(smtp.accepted) == 1)
    (mail,) = smtp.messages()
    assert (mail["To"], mail["Subject"]) == (
        "ada@example.org",
        "BTCUSD: HOLD → BUY (Moving Average Crossover)",
    )
