"""The main job through NGINX, every process on its own, on RabbitMQ: a candle closes, who asked is told."""

import collections
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.support.mailbox import Mailbox, Received
from tests.support.person import Person, ask_until_prepared, message, path_of
from tests.support.stack import Stack

pytestmark = pytest.mark.alone

Wanted = Callable[[Received], bool]


def _welcome(person: Person) -> Wanted:
    return lambda mail: person.email in mail.recipients and "→" not in mail.subject


def _alert(person: Person) -> Wanted:
    return lambda mail: person.email in mail.recipients and "→" in mail.subject


def test_who_asked_is_told_in_the_browser_and_by_mail(stack: Stack, mailbox: Mailbox) -> None:
    person = Person(stack.url)
    assert path_of(person.register().headers["Location"]) == "/login"
    assert path_of(person.log_in().headers["Location"]) == "/dashboard"
    assert person.name in mailbox.wait_for(_welcome(person)).text()

    told = ask_until_prepared(person, "golden_crossover", None)
    assert told.status_code == 201, told.text

    with person.live() as socket:
        snapshot = message(socket, "snapshot")
        changed = message(socket, "views_changed")
    assert changed["n"] > snapshot["n"]
    change = changed["data"]["changes"][0]
    assert change["from"] != change["to"]

    mail = mailbox.wait_for(_alert(person))
    told_of = re.fullmatch(r"(\S+): \w+ → \w+ \(Moving Average Crossover\)", mail.subject)
    assert told_of is not None, mail.subject
    ticker = told_of[1]
    assert ticker in mail.text("html")
    shown = person.get(f"/api/v1/views?algorithm=golden_crossover&ticker={ticker}").json()["items"]
    assert [(view["algorithm"], view["ticker"]) for view in shown] == [("golden_crossover", ticker)]
    changes = person.get(f"/api/v1/signals?algorithm=golden_crossover&ticker={ticker}").json()["items"]
    assert changes, "the change that was told of is no signal"


def test_who_did_not_ask_gets_no_alert(stack: Stack, mailbox: Mailbox) -> None:
    silent, asking = Person(stack.url), Person(stack.url)
    for person in (silent, asking):
        person.register()
        person.log_in()
    assert ask_until_prepared(asking, "golden_crossover", None).status_code == 201
    mailbox.wait_for(_alert(asking))
    mailbox.wait_for(_welcome(silent))
    assert [mail.subject for mail in mailbox.received(silent.email) if "→" in mail.subject] == []


def test_the_link_in_the_mail_ends_the_alerts_only_when_it_is_confirmed(
    stack: Stack, mailbox: Mailbox
) -> None:
    person = Person(stack.url)
    person.register()
    person.log_in()
    assert ask_until_prepared(person, "golden_crossover", None).status_code == 201
    mail = mailbox.wait_for(_alert(person))
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = str(mail.message["List-Unsubscribe"]).strip("<>")
    path = urlsplit(link).path

    stranger = requests.Session()
    stranger.trust_env = False
    assert stranger.get(stack.url + path, timeout=10).status_code == 200
    assert _channels(person) == [["mail"]]
    confirmed = stranger.post(stack.url + path, data={"List-Unsubscribe": "One-Click"}, timeout=10)
    assert confirmed.status_code == 200
    assert _channels(person) == [[]]


def test_a_logout_ends_the_live_channel_and_the_session(stack: Stack) -> None:
    person = Person(stack.url)
    person.register()
    person.log_in()
    cookies = dict(person.session.cookies)
    with person.live() as here, person.live() as there:
        for socket in (here, there):
            message(socket, "heartbeat")
        assert person.post_form("/logout", {}, page="/settings").status_code == 303
        logged_out = time.monotonic()
        person.session.cookies.update(cookies)  # whoever kept the cookie gains nothing by it
        for socket in (here, there):
            assert _closing_code(socket) == 1008
        assert time.monotonic() - logged_out < 5
        asked = time.monotonic()
        while person.get("/dashboard").status_code != 302:
            assert asked - logged_out < 2.5
            asked = time.monotonic()
    with person.live() as again:
        assert _closing_code(again) == 1008
    assert person.get("/api/v1/alerts").status_code == 401


def _closing_code(socket: ClientConnection) -> int:
    """What the server closes with, whatever it says before."""
    ends_at = time.monotonic() + 5

    def receive() -> str | bytes:
        return socket.recv(timeout=max(0, ends_at - time.monotonic()))

    with pytest.raises(ConnectionClosed) as closed:
        collections.deque(iter(receive, None), maxlen=0)
    assert closed.value.rcvd is not None
    return int(closed.value.rcvd.code)


def _channels(person: Person) -> list[list[str]]:
    return [alert["channels"] for alert in person.get("/api/v1/alerts").json()["items"]]
