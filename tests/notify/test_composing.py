"""Mails as people get them."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from services.notify.composing import CannotCompose, Composer, number, plain, price, seconds
from services.notify.config import Settings
from services.notify.repository import deliveries
from shared.db.engine import Database
from tests.notify.events import alert, change, changed, entitled, execute, handle, registered

MINUTE = timedelta(minutes=1)
HOSTILE = "Eve\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script>{{7*7}}\x1b[31m\u202egnp.exe"


def claimed(database: Database, kind: str) -> deliveries.Claimed:
    """The waiting mail of a kind, claimed."""
    execute(database, "UPDATE delivery SET state = 'cancelled' WHERE kind <> :kind", kind=kind)
    with database.transaction() as session:
        found = deliveries.claim(session, lease=MINUTE, provider="test", rate=None)
    assert found is not None
    return found


def read(message: EmailMessage) -> EmailMessage:
    """The message as its reader parses it from the wire."""
    return message_from_bytes(message.as_bytes(), policy=policy.default)


def part(message: EmailMessage, subtype: str) -> str:
    found = message.get_body((subtype,))
    assert found is not None
    return str(found.get_content())


@pytest.fixture
def compose(database: Database, make_settings: Callable[..., Settings]) -> Callable[..., EmailMessage]:
    """``compose("welcome", user_name="Ada")`` registers her and gives the mail as she reads it."""

    def make(
        kind: str, *, user_name: str = "Ada", ticker: str | None = "BTCUSD", **settings: Any
    ) -> EmailMessage:
        handle(database, registered("ada", user_name=user_name))
        handle(database, entitled("ada"))
        alert(database, "ada", ticker)
        handle(database, changed(change("BTCUSD")))
        composer = Composer(make_settings(**settings))
        return read(composer.compose(claimed(database, kind)))

    return make


def test_a_view_change_says_what_changed_why_and_when(compose: Callable[..., EmailMessage]) -> None:
    mail = compose("view_changed")
    assert mail["Subject"] == "BTCUSD: HOLD → BUY (Moving Average Crossover)"
    assert mail["From"] == "Boritrader <noreply@boritrader.example>"
    assert mail["To"] == "ada@example.org"
    assert mail.get_content_type() == "multipart/alternative"
    assert [each.get_content_type() for each in mail.iter_parts()] == ["text/plain", "text/html"]
    text, html = part(mail, "plain"), part(mail, "html")
    for body in (text, html):
        assert "Moving Average Crossover" in body
        assert "43,250.5" in body
        assert "SMA9 crosses above SMA50" in body
        assert "61.2346 against 55" in body
        assert "SMA9 crosses below SMA50" not in body  # the exit's rule, which had no part in a BUY
        assert "2026-11-20 12:00:00 UTC" in body
        assert "http://127.0.0.1:8000/tickers/BTCUSD" in body
        assert "http://127.0.0.1:8000/unsubscribe/" in body
        assert "replay of recorded" not in body
    assert "ledger         partition 3, record 17" in text
    assert "for BTCUSD." in text


def test_an_alert_on_all_tickers_says_so(compose: Callable[..., EmailMessage]) -> None:
    assert "an alert on Moving Average Crossover for all tickers." in part(
        compose("view_changed", ticker=None), "plain"
    )


def test_a_replayed_candle_is_called_a_replay(
    database: Database, compose: Callable[..., EmailMessage]
) -> None:
    handle(database, registered("ada"))
    handle(database, entitled("ada"))
    alert(database, "ada", "BTCUSD")
    handle(database, changed(change("BTCUSD"), recorded=True))
    execute(database, "UPDATE delivery SET state = 'cancelled' WHERE kind = 'welcome'")
    mail = compose("view_changed", ticker="ETHUSD")
    assert "This is a replay of recorded market data" in part(mail, "plain")
    assert "This is a replay of recorded market data" in part(mail, "html")


@pytest.mark.parametrize("kind", ["welcome", "view_changed"])
def test_one_click_unsubscription_is_in_the_headers_and_the_text(
    kind: str, compose: Callable[..., EmailMessage]
) -> None:
    mail = compose(kind, public_url="https://boritrader.example")
    link = str(mail["List-Unsubscribe"])
    assert re.fullmatch(r"<https://boritrader\.example/unsubscribe/[A-Za-z0-9_.-]+>", link)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link.strip("<>") in part(mail, "plain")
    assert link.strip("<>") in part(mail, "html")


def test_the_link_to_unsubscribe_is_one_line_on_the_wire(
    database: Database, compose: Callable[..., EmailMessage], make_settings: Callable[..., Settings]
) -> None:
    compose("view_changed")
    execute(database, "UPDATE delivery SET state = 'pending', lease_until = NULL WHERE kind = 'view_changed'")
    wire = Composer(make_settings()).compose(claimed(database, "view_changed")).as_bytes()
    lines = [line for line in wire.split(b"\r\n") if line.startswith(b"List-Unsubscribe:")]
    assert len(lines) == 1
    assert re.fullmatch(rb"List-Unsubscribe: <http://127\.0\.0\.1:8000/unsubscribe/[\w.-]+>", lines[0])


def test_the_welcome_greets_and_leads_to_dashboard_and_alerts(compose: Callable[..., EmailMessage]) -> None:
    mail = compose("welcome")
    assert mail["Subject"] == "Welcome to Boritrader, Ada"
    assert mail["Auto-Submitted"] == "auto-generated"
    for body in (part(mail, "plain"), part(mail, "html")):
        assert "http://127.0.0.1:8000/dashboard" in body
        assert "http://127.0.0.1:8000/alerts" in body
        assert "without the password nobody" not in body


@pytest.mark.parametrize("kind", ["welcome", "view_changed"])
def test_opening_a_mail_loads_nothing_from_anywhere(kind: str, compose: Callable[..., EmailMessage]) -> None:
    html = part(compose(kind), "html")
    assert re.findall(r"<(?:link|script|iframe|img)\b|@import|url\(", html) == []
    addresses = set(re.findall(r"https?://[^/\"'\s<>]+", html))
    assert addresses <= {"http://127.0.0.1:8000", "http://www.w3.org"}


@pytest.mark.parametrize("kind", ["welcome", "view_changed"])
def test_a_hostile_user_name_stays_a_name(kind: str, compose: Callable[..., EmailMessage]) -> None:
    mail = compose(kind, user_name=HOSTILE)
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    html, text = part(mail, "html"), part(mail, "plain")
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    for body in (html, text):
        assert "{{7*7}}" in body
        assert "49" not in re.sub(r"#?[0-9a-f]{6}", "", body.partition("{{7*7}}")[0][-40:])
        assert "\x1b" not in body
        assert "\u202e" not in body
    assert text.splitlines()[0].startswith(("Hello Eve Bcc:", "BTCUSD: HOLD -> BUY"))


@pytest.mark.parametrize(
    "address", ["", "no-address", "a@b@c", "a b@example.org", "x@example.org\r\nBcc: y@example.org"]
)
def test_an_address_that_is_none_is_told_apart_from_other_failures(
    address: str, database: Database, make_settings: Callable[..., Settings]
) -> None:
    handle(database, registered("ada", email="ada@example.org"))
    execute(database, "UPDATE contact SET email = :email", email=address)
    with pytest.raises(CannotCompose):
        Composer(make_settings()).compose(claimed(database, "welcome"))


def test_replies_go_where_the_settings_say(compose: Callable[..., EmailMessage]) -> None:
    mail = compose("welcome", mail_reply_to="Help <help@boritrader.example>")
    assert mail["Reply-To"] == "Help <help@boritrader.example>"


def test_message_id_is_made_of_delivery_and_sender(
    database: Database, make_settings: Callable[..., Settings]
) -> None:
    handle(database, registered("ada"))
    found = claimed(database, "welcome")
    composer = Composer(make_settings())
    first, second = composer.compose(found), composer.compose(found)
    assert first["Message-ID"] == second["Message-ID"] == f"<{found.id}@boritrader.example>"
    assert isinstance(found.id, uuid.UUID)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (43250.5, "43,250.5"),
        (0.00001234, "0.00001234"),
        (100.0, "100"),
        (1e12, "1,000,000,000,000"),
        (0.1, "0.1"),
    ],
)
def test_prices_have_all_their_digits_and_no_exponent(value: float, text: str) -> None:
    assert price(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(61.234567, "61.2346"), (None, "n/a"), (1234567.891, "1,234,567.89"), (0.00001234567, "0.0000123457")],
)
def test_values_of_indicators_are_rounded(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0.0 s"), (812, "0.8 s"), (59_999, "60.0 s"), (90_000, "2 min"), (7_200_000, "2 h")],
)
def test_latencies_are_in_words(milliseconds: int, text: str) -> None:
    assert seconds(milliseconds) == text


def test_foreign_text_is_one_short_line() -> None:
    assert plain(" a\r\n\tb\u202e\u200bc\x00 ") == "a b c"
    assert len(plain("x" * 10_000_000)) == 80
