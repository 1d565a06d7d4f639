"""What people see of tickers that fell silent, of late changes, and of the why of each change."""

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from shared.db.engine import Database
from tests.signals import site
from tests.signals.conftest import Copied
from tests.signals.test_pages import cells, page, stored_views


@pytest.fixture(scope="module")
def database(kept_copied: Copied) -> Database:
    """A market of which T1 has fallen silent, and whose newest changes were decided late."""
    return kept_copied(site.fill_with_silence)


@pytest.fixture
def client(database: Database) -> Iterator[FlaskClient]:
    with site.person(database) as client:
        yield client


def stale_cells(html: str) -> set[str]:
    cell = r'<td class="board__cell"[^>]*data-ticker="([^"]+)"[^>]*data-stale="2020-01-08T06'
    found = re.findall(cell, html)
    assert html.count("STALE</span> <time") == len(found)
    return set(found)


def test_the_cells_of_a_silent_ticker_say_stale_since_when_over_their_views(
    client: FlaskClient, database: Database
) -> None:
    html = page(client, "/dashboard")
    assert stale_cells(html) == {"T1"}
    assert cells(html) == stored_views(database)


def test_the_board_is_filtered_by_stale(client: FlaskClient) -> None:
    html = page(client, "/dashboard?view=STALE")
    assert {ticker for ticker, _ in cells(html)} == {"T1"}
    narrow = page(client, "/dashboard?view=STALE&algorithm=buy_the_dip")
    assert set(cells(narrow)) == {("T1", "buy_the_dip")}
    assert "Nothing matches" in page(client, "/dashboard?view=STALE&q=T2")


def test_the_page_of_a_silent_ticker_says_so_beside_the_view_and_on_the_tabs(client: FlaskClient) -> None:
    note = re.compile(r"data-stale-note(?: hidden)?>(.*?)</p>", re.DOTALL)
    silent, other = page(client, "/tickers/T1"), page(client, "/tickers/T2")
    assert "08 Jan 2020, 06:00 UTC" in note.findall(silent)[0]
    assert "data-stale-note hidden" not in silent
    assert "data-stale-note hidden" in other
    assert len(re.findall(r"<a class=\"algorithm-tab\"[^>]*data-stale=", silent)) == 6
    assert "data-stale=" not in other


def test_a_change_is_a_card_with_a_sentence_figures_rule_and_ledger(
    client: FlaskClient, database: Database
) -> None:
    html = page(client, "/tickers/T0?algorithm=pump_and_dump")
    cards = re.findall(r'<details class="change-card".*?</details>', html, re.DOTALL)
    with database.read() as connection:
        newest = connection.execute(
            text(
                "SELECT * FROM view_change WHERE ticker = 'T0' AND algorithm = 'pump_and_dump'"
                " ORDER BY close_time DESC LIMIT 1"
            )
        ).one()
    words = " ".join(re.sub(r"<[^>]+>", " ", cards[0]).split()).replace("&lt;", "<").replace("&gt;", ">")
    rule = "entry" if newest.to_view == "BUY" else "exit"
    assert f"Pump and Dump turned from {newest.from_view} to {newest.to_view}: its {rule} held" in words
    for condition in newest.why:
        assert condition["text"] in words
        operator = condition["operator"] if condition["holds"] else f"not {condition['operator']}"
        assert f"{condition['value']:.6g} {operator} {condition['threshold']:.6g}" in words
        assert ("holds" if condition["holds"] else "does not hold") in words
    assert "Rule pump_and_dump, version 1" in words
    assert f"Ledger chain {newest.ledger_partition}, record {newest.ledger_sequence}" in words
    assert [" open>" in card for card in cards[:7]] == [True] * 6 + [False]


def test_a_late_change_says_that_nobody_was_alerted(client: FlaskClient, database: Database) -> None:
    with database.read() as connection:
        counts = dict(
            connection.execute(
                text(
                    "SELECT late, count(*) FROM view_change"
                    " WHERE ticker = 'T0' AND algorithm = 'pump_and_dump' GROUP BY late"
                )
            ).all()
        )
    assert set(counts) == {True, False}
    html = page(client, "/tickers/T0?algorithm=pump_and_dump")
    assert html.count("It was decided late, nobody was alerted.") == counts[True]
