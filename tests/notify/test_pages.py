"""The pages: alerts, inbox, unsubscribing."""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from services.notify.unsubscribing import Subscription, UnsubscribeTokens
from shared.db.engine import Database
from tests.notify.conftest import Browser
from tests.notify.events import (
    CLOSE,
    CROSSOVER,
    RSI,
    alert,
    change,
    changed,
    deliveries,
    execute,
    handle,
    person,
    rows,
)

SECRET = "s" * 32


def link(user_id: str, ticker: str = "BTCUSD", *, secret: str = SECRET) -> str:
    return (
        f"/unsubscribe/{UnsubscribeTokens(SecretStr(secret)).make(Subscription(user_id, CROSSOVER, ticker))}"
    )


def channels(database: Database) -> dict[str | None, list[str]]:
    found = rows(database, "SELECT algorithm, ticker, channels FROM alert")
    return {f"{row['algorithm']} {row['ticker']}": row["channels"] for row in found}


def test_an_alert_is_made_and_deleted_by_forms_alone(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada", alerts_max=3)
    ada = browser("ada")
    made = ada.form("/alerts", {"algorithm": CROSSOVER, "ticker": "BTCUSD", "channels": ["mail", "live"]})
    assert (made.status_code, made.headers["Location"]) == (303, "/alerts")
    page = ada.get("/alerts").text
    assert "You will be told: Moving Average Crossover on BTCUSD." in page
    assert "Mail, Live in the browser" in page
    assert re.search(r"data-alerts-count>1</span> of 3", page)
    action = re.search(r'action="(/alerts/[^"]+/delete)"', page)
    assert action is not None
    assert ada.form(action[1], {}).status_code == 303
    assert "No alerts yet" in ada.get("/alerts").text


def test_an_empty_ticker_in_the_form_is_all_tickers(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    browser("ada").form("/alerts", {"algorithm": RSI, "ticker": " ", "channels": "mail"})
    assert channels(database) == {f"{RSI} None": ["mail"]}


def test_a_refused_form_keeps_its_values_and_says_why(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada", channels=("mail",), alerts_max=1)
    ada = browser("ada")
    unknown = ada.form("/alerts", {"algorithm": RSI, "ticker": "N0PE", "channels": "mail"})
    assert unknown.status_code == 400
    assert "There is no such ticker." in unknown.text
    assert 'value="N0PE"' in unknown.text
    assert f'<option value="{RSI}" selected>' in unknown.text
    silent = ada.form("/alerts", {"algorithm": RSI, "ticker": ""})
    assert "Choose at least one way to be told." in silent.text
    dear = ada.form("/alerts", {"algorithm": RSI, "ticker": "", "channels": "live"})
    assert (dear.status_code, "Your plan does not include alerts live in the browser." in dear.text) == (
        403,
        True,
    )
    foreign = ada.form("/alerts", {"algorithm": RSI, "ticker": "", "channels": "mail", "user_id": "bob"})
    assert foreign.status_code == 400
    alert(database, "ada", "BTCUSD")
    full = ada.form("/alerts", {"algorithm": RSI, "ticker": "", "channels": "mail"})
    assert (full.status_code, "Your plan includes 1 alert." in full.text) == (403, True)


def test_the_form_can_be_filled_in_by_a_link(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada")
    page = browser("ada").get(f"/alerts?algorithm={RSI}&ticker=ETHUSD").text
    assert f'<option value="{RSI}" selected>' in page
    assert 'value="ETHUSD"' in page


def test_before_the_plan_is_known_the_page_says_so(browser: Callable[..., Browser]) -> None:
    assert "Your account is being prepared" in browser("ada").get("/alerts").text


def test_anothers_alert_cannot_be_deleted_by_form(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    person(database, "bob")
    hers = alert(database, "ada", "BTCUSD")
    bob = browser("bob")
    assert [bob.form(f"/alerts/{id_}/delete", {}).status_code for id_ in (hers, uuid.uuid4())] == [404, 404]
    assert len(channels(database)) == 1


def test_the_inbox_shows_each_change_once_with_its_receipt(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    alert(database, "ada", None, channels=("mail", "live"))
    handle(database, changed(change("BTCUSD")))
    handle(database, changed(change("BTCUSD", "SELL", before="BUY"), hours=1))
    accepted = CLOSE + timedelta(hours=1, milliseconds=1700)
    execute(
        database,
        "UPDATE delivery SET state = 'sent', receipt = jsonb_build_object('accepted_at', CAST(:at AS text))"
        " WHERE channel = 'mail' AND view_change_id = (SELECT max(id) FROM view_change)",
        at=accepted.isoformat(),
    )
    ada = browser("ada")
    listed = ada.get("/api/v1/inbox").get_json()
    assert [(item["ticker"], item["from"], item["to"]) for item in listed["items"]] == [
        ("BTCUSD", "BUY", "SELL"), ("BTCUSD", "HOLD", "BUY"),
    ]  # fmt: skip
    newest = listed["items"][0]
    assert newest["told"] == [
        {"channel": "live", "state": "pending", "accepted_at": None, "latency_ms": None},
        {
            "channel": "mail",
            "state": "sent",
            "accepted_at": accepted.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "latency_ms": 1500,
        },
    ]
    assert newest["receipt"]["released_at"] == "2026-11-20T13:00:00.200000Z"
    assert newest["why"][0]["text"] == "SMA9 crosses above SMA50"
    page = ada.get("/inbox").text
    assert "Mail: told after 1.5 s" in page
    assert "43,250.5" in page
    closed = datetime.fromisoformat(newest["close_time"])
    assert page.count(f'<time datetime="{closed.isoformat()}">{closed:%d %b %Y, %H:%M} UTC</time>') == 2


def test_the_inbox_goes_on_by_cursor_and_shows_only_ones_own(
    database: Database, browser: Callable[..., Browser]
) -> None:
    for user in ("ada", "bob"):
        person(database, user)
    alert(database, "ada", None)
    alert(database, "bob", "AAPL")
    for hours in range(5):
        handle(database, changed(change("BTCUSD"), hours=hours))
    ada = browser("ada")
    first = ada.get("/api/v1/inbox?limit=3").get_json()
    second = ada.get(f"/api/v1/inbox?limit=3&cursor={first['next']}").get_json()
    assert [len(first["items"]), len(second["items"]), second["next"]] == [3, 2, None]
    assert len({item["id"] for item in first["items"] + second["items"]}) == 5
    assert browser("bob").get("/api/v1/inbox").get_json()["items"] == []
    assert "Nothing yet" in browser("bob").get("/inbox").text


def test_looking_at_the_unsubscribe_page_changes_nothing(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD")
    page = browser().get(link("ada"))
    assert page.status_code == 200
    assert "Moving Average Crossover" in page.text
    assert channels(database) == {f"{CROSSOVER} BTCUSD": ["mail"]}


def test_one_click_of_a_mail_program_switches_the_alert_off(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    person(database, "bob")
    alert(database, "ada", "BTCUSD", channels=("mail", "live"))
    alert(database, "ada", None)
    alert(database, "ada", "ETHUSD")
    alert(database, "bob", "BTCUSD", algorithm=RSI)
    handle(database, changed(change("BTCUSD"), change("ETHUSD")))
    # As RFC 8058 has it: no cookie, no token of ours, no origin.
    answer = browser().client.post(link("ada"), data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert channels(database) == {
        f"{CROSSOVER} BTCUSD": ["live"],
        f"{CROSSOVER} None": [],
        f"{CROSSOVER} ETHUSD": ["mail"],
        f"{RSI} BTCUSD": ["mail"],
    }
    waiting = rows(
        database,
        "SELECT ticker, channel FROM delivery d JOIN view_change c ON c.id = d.view_change_id"
        " WHERE state = 'pending' ORDER BY ticker",
    )
    assert waiting == [{"ticker": "BTCUSD", "channel": "live"}, {"ticker": "ETHUSD", "channel": "mail"}]
    handle(database, changed(change("BTCUSD"), hours=1))
    assert ("ada", "mail", "BTCUSD") in deliveries(database)
    assert len([each for each in deliveries(database) if each == ("ada", "mail", "BTCUSD")]) == 1


def test_the_page_can_switch_off_all_alert_mails(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD", algorithm=RSI, channels=("mail", "live"))
    alert(database, "ada", "ETHUSD")
    answer = browser().client.post(link("ada"), data={"scope": "all"})
    assert "No more alert mails" in answer.text
    assert channels(database) == {f"{RSI} BTCUSD": ["live"], f"{CROSSOVER} ETHUSD": []}


def test_switching_off_twice_is_no_error(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada")
    assert [browser().client.post(link("ada")).status_code for _ in range(2)] == [200, 200]


def test_whoever_has_the_mailbox_stops_all_alert_mails_and_allows_them_again(
    database: Database, browser: Callable[..., Browser]
) -> None:
    for user in ("ada", "bob"):
        person(database, user)
        alert(database, user, "ETHUSD", channels=("mail", "live"))
    welcome = "/unsubscribe/" + UnsubscribeTokens(SecretStr(SECRET)).make(Subscription("ada", None, None))
    wish = {"algorithm": RSI, "ticker": "BTCUSD", "channels": ["mail"]}
    owner, ada, bob = browser(), browser("ada"), browser("bob")

    assert "Stop all alert mails?" in owner.get(welcome).text
    assert ada.call("POST", "/api/v1/alerts", wish).status_code == 201  # looking changed nothing
    assert owner.client.post(welcome, data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert [row["channels"] for row in ada.call("GET", "/api/v1/alerts").get_json()["items"]] == [
        ["live"],
        [],
    ]
    refused = ada.call("POST", "/api/v1/alerts", wish)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "mail_stopped")
    assert ada.call("POST", "/api/v1/alerts", wish | {"channels": ["live"]}).status_code == 200
    assert bob.call("POST", "/api/v1/alerts", wish).status_code == 201

    foreign = owner.client.post(link("ada"), data={"scope": "allow"})
    assert foreign.status_code == 400  # an alert's link is for less
    assert ada.call("POST", "/api/v1/alerts", wish).status_code == 409
    assert "Alert mails are allowed" in owner.client.post(welcome, data={"scope": "allow"}).text
    assert ada.call("POST", "/api/v1/alerts", wish).status_code == 200


def test_a_link_that_we_did_not_make_changes_nothing(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD")
    forged = link("ada", secret="x" * 32)
    for path in (forged, "/unsubscribe/abc", link("ada")[:-2] + "xx", "/unsubscribe/" + "a" * 5000):
        assert browser().get(path).status_code == 400
        assert browser().client.post(path).status_code == 400
    assert channels(database) == {f"{CROSSOVER} BTCUSD": ["mail"]}


def test_an_alert_that_was_switched_off_can_be_switched_on_again(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD", channels=())
    ada = browser("ada")
    assert "Mail is off" in ada.get("/alerts").text
    ada.form("/alerts", {"algorithm": CROSSOVER, "ticker": "BTCUSD", "channels": "mail"})
    assert "Changed: Moving Average Crossover on BTCUSD." in ada.get("/alerts").text
    assert channels(database) == {f"{CROSSOVER} BTCUSD": ["mail"]}
