"""What events do to notify."""

import random
from datetime import UTC, datetime, timedelta

from services.notify import handlers
from services.notify.repository import live_log
from shared.contracts.envelope import Envelope
from shared.contracts.registry import EVENTS
from shared.contracts.signals import View
from shared.db.engine import Database
from tests.notify.events import (
    CLOSE,
    CROSSOVER,
    RSI,
    alert,
    algorithms,
    change,
    changed,
    deleted,
    deliveries,
    entitled,
    execute,
    handle,
    person,
    registered,
    rows,
    states,
    tickers,
)


def test_a_registration_makes_a_contact_and_one_welcome_mail(database: Database) -> None:
    handle(database, registered("ada", user_name="Ada"))
    handle(database, registered("ada", user_name="Ada"))
    assert rows(database, "SELECT user_id, user_name, email FROM contact") == [
        {"user_id": "ada", "user_name": "Ada", "email": "ada@example.org"}
    ]
    assert deliveries(database, "welcome") == [("ada", "mail", None)]


def test_a_deletion_forgets_contact_alerts_entitlement_and_waiting_deliveries(database: Database) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD", channels=("mail", "live"))
    handle(database, changed(change("BTCUSD")))
    handle(database, deleted("ada"))
    assert rows(database, "SELECT user_name, email, deleted_at IS NULL AS alive FROM contact") == [
        {"user_name": None, "email": None, "alive": False}
    ]
    assert rows(database, "SELECT * FROM alert") == []
    assert rows(database, "SELECT * FROM entitlement") == []
    assert states(database) == {"sent": 1, "cancelled": 2}


def test_what_arrives_after_the_deletion_brings_nothing_back(database: Database) -> None:
    handle(database, deleted("ada"))
    handle(database, registered("ada"))
    handle(database, entitled("ada"))
    assert rows(database, "SELECT * FROM contact WHERE email IS NOT NULL") == []
    assert rows(database, "SELECT * FROM entitlement") == []
    assert states(database) == {}


def test_an_older_entitlement_is_ignored(database: Database) -> None:
    handle(database, entitled("ada", alerts_max=7), version=3)
    handle(database, entitled("ada", alerts_max=3), version=2)
    assert [row["alerts_max"] for row in rows(database, "SELECT alerts_max FROM entitlement")] == [7]


def test_the_newest_list_of_algorithms_counts_and_former_ones_keep_their_names(database: Database) -> None:
    handle(database, algorithms(RSI), version=5)
    handle(database, algorithms(CROSSOVER), version=4)
    found = {
        row["key"]: row["listed"] for row in rows(database, "SELECT key, listed FROM catalogue_algorithm")
    }
    assert found == {CROSSOVER: False, RSI: True}
    names = rows(database, "SELECT name FROM catalogue_algorithm WHERE key = :key", key=CROSSOVER)
    assert names == [{"name": "Moving Average Crossover"}]


def test_tickers_add_up_over_several_lists(database: Database) -> None:
    handle(database, tickers("BTCUSD", "SOLUSD"))
    found = rows(database, "SELECT ticker FROM catalogue_ticker ORDER BY ticker")
    assert [row["ticker"] for row in found] == ["AAPL", "BTCUSD", "ETHUSD", "SOLUSD"]


def test_only_those_who_asked_for_this_algorithm_and_ticker_are_told(database: Database) -> None:
    for user in ("ada", "bob", "cleo", "dan"):
        person(database, user)
    alert(database, "ada", "BTCUSD")
    alert(database, "bob", None, channels=("live",))
    alert(database, "cleo", "ETHUSD")
    alert(database, "dan", "BTCUSD", algorithm=RSI)
    handle(database, changed(change("BTCUSD")))
    assert deliveries(database) == [("ada", "mail", "BTCUSD"), ("bob", "live", "BTCUSD")]


def test_two_alerts_that_cover_the_same_change_tell_once(database: Database) -> None:
    person(database, "ada")
    alert(database, "ada", None)
    alert(database, "ada", "BTCUSD")
    handle(database, changed(change("BTCUSD"), change("ETHUSD")))
    assert deliveries(database) == [("ada", "mail", "BTCUSD"), ("ada", "mail", "ETHUSD")]
    asked = rows(
        database, "SELECT asked FROM delivery WHERE kind = 'view_changed' ORDER BY cardinality(asked)"
    )
    assert [row["asked"] for row in asked] == [["*"], ["*", "BTCUSD"]]


def test_a_channel_that_the_plan_does_not_include_is_not_used(database: Database) -> None:
    person(database, "ada", channels=("mail",))
    alert(database, "ada", "BTCUSD", channels=("mail", "live"))
    handle(database, changed(change("BTCUSD")))
    assert deliveries(database) == [("ada", "mail", "BTCUSD")]


def test_the_same_change_in_another_message_tells_nobody_again(database: Database) -> None:
    person(database, "ada")
    alert(database, "ada", None, channels=("mail", "live"))
    event = changed(change("BTCUSD"), change("ETHUSD"))
    for _ in range(3):
        handle(database, event)
    handle(database, changed(change("BTCUSD"), change("AAPL")))
    assert [ticker for _, channel, ticker in deliveries(database) if channel == "mail"] == [
        "AAPL", "BTCUSD", "ETHUSD",
    ]  # fmt: skip
    boards = rows(database, "SELECT data FROM live_message WHERE type = 'views_changed' ORDER BY n")
    told = [[each["ticker"] for each in row["data"]["changes"]] for row in boards]
    assert told == [["BTCUSD", "ETHUSD"], ["AAPL"]]


def test_repeated_and_shuffled_events_tell_everybody_exactly_once(database: Database) -> None:
    people = [f"user{number}" for number in range(8)]
    for user in people:
        person(database, user)
        alert(database, user, None, channels=("mail", "live"))
    turns: tuple[View, ...] = ("BUY", "SELL") * 10
    events = [
        changed(change("BTCUSD", to), change("ETHUSD", to), hours=hours) for hours, to in enumerate(turns)
    ]
    envelopes = [Envelope.of(each, aggregate_id="a", aggregate_version=1) for each in events] * 3
    random.Random(7).shuffle(envelopes)
    for envelope in envelopes:
        handle(database, envelope.data, envelope=envelope)
    assert len(deliveries(database)) == len(people) * 2 * 20 * 2
    board = rows(database, "SELECT ticker, view, since FROM board_view ORDER BY ticker")
    newest = CLOSE + timedelta(hours=19)
    assert board == [
        {"ticker": "BTCUSD", "view": "SELL", "since": newest},
        {"ticker": "ETHUSD", "view": "SELL", "since": newest},
    ]


def test_numbers_of_the_channel_are_without_gap_and_the_event_names_the_last(database: Database) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD", channels=("live",))
    handle(database, changed(change("BTCUSD"), change("ETHUSD")))
    handle(database, changed(change("AAPL"), hours=1))
    found = rows(database, "SELECT n, type FROM live_message ORDER BY n")
    assert [(row["n"], row["type"]) for row in found] == [
        (1, "views_changed"), (2, "alert"), (3, "views_changed"),
    ]  # fmt: skip
    told = rows(database, "SELECT payload FROM outbox ORDER BY seq")
    assert [row["payload"]["data"]["n"] for row in told] == [2, 3]


def test_a_deleted_person_with_an_alert_and_a_plan_left_behind_is_not_told(database: Database) -> None:
    person(database, "ada")
    handle(database, deleted("ada"))
    execute(database, "INSERT INTO entitlement VALUES ('ada', 1, NULL, ARRAY['mail'])")
    execute(
        database,
        "INSERT INTO alert (user_id, algorithm, channels) VALUES ('ada', :algorithm, ARRAY['mail'])",
        algorithm=CROSSOVER,
    )
    handle(database, changed(change("BTCUSD")))
    assert deliveries(database) == []


def test_the_live_log_forgets_old_messages_and_remembers_up_to_where(database: Database) -> None:
    handle(database, changed(change("BTCUSD")))
    execute(database, "UPDATE live_message SET created_at = now() - interval '2 days'")
    handle(database, changed(change("ETHUSD")))
    with database.transaction() as session:
        live_log.purge(session, datetime.now(UTC) - timedelta(days=1), 1000)
    with database.read() as connection:
        assert live_log.after(connection, 0, [], limit=10) is None
        kept = live_log.after(connection, 1, [], limit=10)
    assert kept is not None
    assert [message.n for message in kept] == [2]


def test_a_number_that_was_never_given_is_not_resumed_from(database: Database) -> None:
    handle(database, changed(change("BTCUSD")))
    with database.read() as connection:
        assert live_log.after(connection, 99, [], limit=10) is None


def test_every_handler_is_for_an_event_of_the_registry() -> None:
    assert set(handlers.HANDLERS) <= set(EVENTS.values())


def test_one_message_handled_fifty_times_has_one_effect(database: Database) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD")
    envelope = Envelope.of(changed(change("BTCUSD")), aggregate_id="a", aggregate_version=1)
    for _ in range(50):
        handle(database, envelope.data, envelope=envelope)
    assert len(deliveries(database)) == 1
    assert len(rows(database, "SELECT * FROM outbox")) == 1
