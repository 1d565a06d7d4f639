"""GET, POST and DELETE /api/v1/alerts."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask

from shared.db.engine import Database
from tests.notify.conftest import Browser
from tests.notify.events import (
    CROSSOVER,
    RSI,
    alert,
    algorithms,
    deleted,
    entitled,
    handle,
    person,
    registered,
    rows,
)

BTC_BY_MAIL = {"algorithm": CROSSOVER, "ticker": "BTCUSD", "channels": ["mail"]}


def test_an_alert_is_made_listed_and_deleted(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada")
    ada = browser("ada")
    made = ada.call("POST", "/api/v1/alerts", BTC_BY_MAIL | {"channels": ["live", "mail", "live"]})
    assert made.status_code == 201
    assert made.get_json()["channels"] == ["mail", "live"]
    assert made.get_json()["algorithm_name"] == "Moving Average Crossover"
    everything = ada.call("POST", "/api/v1/alerts", {"algorithm": RSI, "ticker": None, "channels": ["mail"]})
    assert everything.get_json()["ticker"] is None
    listed = ada.get("/api/v1/alerts")
    assert listed.get_json() == {"items": [made.get_json(), everything.get_json()], "next": None}
    gone = ada.call("DELETE", f"/api/v1/alerts/{made.get_json()['id']}")
    assert (gone.status_code, gone.data) == (204, b"")
    assert ada.get("/api/v1/alerts").get_json()["items"] == [everything.get_json()]


def test_asking_again_changes_the_channels_and_answers_200(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada", alerts_max=1)
    ada = browser("ada")
    first = ada.call("POST", "/api/v1/alerts", BTC_BY_MAIL)
    again = ada.call("POST", "/api/v1/alerts", BTC_BY_MAIL | {"channels": ["live"]})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.get_json() == first.get_json() | {"channels": ["live"]}
    assert ada.get("/api/v1/alerts").get_json()["items"] == [again.get_json()]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (BTC_BY_MAIL | {"algorithm": "unknown"}, "algorithm"),
        (BTC_BY_MAIL | {"algorithm": 7}, "algorithm"),
        (BTC_BY_MAIL | {"ticker": "NOPE"}, "ticker"),
        (BTC_BY_MAIL | {"ticker": ""}, "ticker"),
        (BTC_BY_MAIL | {"channels": ["pigeon"]}, "channels"),
        (BTC_BY_MAIL | {"channels": []}, "channels"),
        (BTC_BY_MAIL | {"channels": "mail"}, "channels"),
        (BTC_BY_MAIL | {"user_id": "bob"}, "user_id"),
        ({"ticker": "BTCUSD", "channels": ["mail"]}, "algorithm"),
        ({"algorithm": CROSSOVER, "ticker": "BTCUSD"}, "channels"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(
    body: dict[str, Any], field: str, database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    refused = browser("ada").call("POST", "/api/v1/alerts", body)
    assert refused.status_code == 400
    assert refused.content_type == "application/problem+json"
    assert any(fault["field"].startswith(field) for fault in refused.get_json()["errors"]), refused.get_json()
    assert rows(database, "SELECT * FROM alert") == []


def test_nul_bytes_are_refused(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada")
    refused = browser("ada").call("POST", "/api/v1/alerts", BTC_BY_MAIL | {"algorithm": "a\x00b"})
    assert refused.status_code == 400


def test_a_delisted_algorithm_is_refused(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada")
    handle(database, algorithms(RSI), version=9)
    assert browser("ada").call("POST", "/api/v1/alerts", BTC_BY_MAIL).status_code == 400


def test_more_alerts_than_the_plan_has_are_a_403(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada", alerts_max=1)
    ada = browser("ada")
    assert ada.call("POST", "/api/v1/alerts", BTC_BY_MAIL).status_code == 201
    refused = ada.call("POST", "/api/v1/alerts", BTC_BY_MAIL | {"ticker": "ETHUSD"})
    assert (refused.status_code, refused.get_json()["code"]) == (403, "alert_limit_reached")


def test_the_limit_holds_when_eight_ask_at_once(
    app: APIFlask, database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada", alerts_max=3)
    pairs = [
        (algorithm, ticker) for algorithm in (CROSSOVER, RSI) for ticker in ("BTCUSD", "ETHUSD", "AAPL", None)
    ]
    at_once = threading.Barrier(len(pairs))
    statuses: list[int] = []

    def ask(algorithm: str, ticker: str | None) -> None:
        mine = browser("ada")
        token = mine.csrf_token()
        at_once.wait()
        answer = mine.client.post(
            "/api/v1/alerts",
            json={"algorithm": algorithm, "ticker": ticker, "channels": ["mail"]},
            headers=mine.headers | {"X-CSRFToken": token},
        )
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=ask, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] * 3 + [403] * 5
    assert len(rows(database, "SELECT * FROM alert")) == 3


def test_a_channel_outside_the_plan_is_a_403(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada", channels=("mail",))
    refused = browser("ada").call("POST", "/api/v1/alerts", BTC_BY_MAIL | {"channels": ["mail", "live"]})
    assert (refused.status_code, refused.get_json()["code"]) == (403, "channel_not_in_plan")


def test_a_webhook_without_an_address_is_a_409_rather_than_silence(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    refused = browser("ada").call("POST", "/api/v1/alerts", BTC_BY_MAIL | {"channels": ["webhook"]})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "channel_not_set_up")


@pytest.mark.parametrize("known", ["nothing", "contact", "entitlement", "deletion"])
def test_an_account_that_has_not_reached_us_is_being_prepared(
    known: str, database: Database, browser: Callable[..., Browser]
) -> None:
    if known in ("contact", "deletion"):
        handle(database, registered("ada"))
    if known in ("entitlement", "deletion"):
        handle(database, entitled("ada"))
    if known == "deletion":
        handle(database, deleted("ada"))
    refused = browser("ada").call("POST", "/api/v1/alerts", BTC_BY_MAIL)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "account_being_prepared")
    assert refused.headers["Retry-After"] == "2"


def test_anothers_alert_looks_like_a_missing_one(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada")
    person(database, "bob")
    hers = alert(database, "ada", "BTCUSD")
    bob = browser("bob")
    answers = [bob.call("DELETE", f"/api/v1/alerts/{id_}") for id_ in (hers, uuid.uuid4())]
    assert [answer.status_code for answer in answers] == [404, 404]
    bodies = [{**answer.get_json(), "request_id": ""} for answer in answers]
    assert bodies[0] == bodies[1]
    assert len(rows(database, "SELECT * FROM alert")) == 1
    assert bob.get("/api/v1/alerts").get_json()["items"] == []


def test_the_list_goes_on_by_cursor(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada")
    made = [str(alert(database, "ada", f"T{number}")) for number in range(5)]
    ada, seen, cursor = browser("ada"), [], ""
    while True:
        listed = ada.get(f"/api/v1/alerts?limit=2{cursor}").get_json()
        seen += [item["id"] for item in listed["items"]]
        if listed["next"] is None:
            break
        cursor = f"&cursor={listed['next']}"
    assert seen == made


@pytest.mark.parametrize("query", ["cursor=x", "cursor=WyJhIiwiYiJd", "limit=0", "user=bob"])
def test_a_wrong_query_is_a_400(query: str, database: Database, browser: Callable[..., Browser]) -> None:
    assert browser("ada").get(f"/api/v1/alerts?{query}").status_code == 400


def test_strangers_are_asked_to_log_in(browser: Callable[..., Browser]) -> None:
    stranger = browser()
    assert stranger.get("/api/v1/alerts").status_code == 401
    assert stranger.get("/api/v1/inbox").status_code == 401
    page = stranger.get("/alerts")
    assert (page.status_code, page.headers["Location"]) == (302, "/login?next=%2Falerts")


def test_a_post_without_csrf_token_is_refused(database: Database, browser: Callable[..., Browser]) -> None:
    person(database, "ada")
    ada = browser("ada")
    assert ada.client.post("/api/v1/alerts", json=BTC_BY_MAIL, headers=ada.headers).status_code == 403
