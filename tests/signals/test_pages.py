import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from services.signals.algorithms import ALGORITHMS
from services.signals.pages import figure
from services.signals.repository import feeds
from shared.db.engine import Database
from shared.web.filters import price
from tests.signals import closing, market, site
from tests.signals.test_runner import MakeDatabase


@pytest.fixture
def database(filled: Database) -> Database:
    return filled


@pytest.fixture
def client(database: Database) -> Iterator[FlaskClient]:
    with site.person(database) as client:
        yield client


def page(client: FlaskClient, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return response.text


def cells(html: str) -> dict[tuple[str, str], str]:
    pattern = r'data-ticker="([^"]+)" data-algorithm="([^"]+)" data-view="([^"]+)"'
    return {(ticker, algorithm): view for ticker, algorithm, view in re.findall(pattern, html)}


def stored_views(database: Database) -> dict[tuple[str, str], str]:
    with database.read() as connection:
        rows = connection.execute(text("SELECT ticker, algorithm, view FROM view")).all()
    return {(ticker, algorithm): view for ticker, algorithm, view in rows}


@pytest.mark.parametrize("path", ["/dashboard", "/tickers/T0"])
def test_a_stranger_is_sent_to_log_in(path: str, database: Database) -> None:
    with site.visitor(database) as stranger:
        response = stranger.get(path)
    assert response.status_code == 302
    assert response.headers["Location"].startswith("/login")


def test_the_board_shows_every_ticker_under_every_algorithm(client: FlaskClient, database: Database) -> None:
    views = stored_views(database)
    assert len(views) == 5 * len(ALGORITHMS)
    assert set(views.values()) == {"BUY", "SELL", "HOLD"}
    assert cells(page(client, "/dashboard")) == views


def test_pages_say_that_the_data_are_a_replay(client: FlaskClient) -> None:
    for path in ("/dashboard", "/tickers/T1"):
        html = page(client, path)
        assert "Replay of recorded data." in html
        assert "Recorded for &lt;tests&gt;." in html
        assert "has ended" not in html


def test_pages_say_when_the_recording_has_ended_and_how_to_begin_again(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        state = feeds.open_feed(session, "test", "replay", site.SOURCE)
        close_time = datetime(2018, 2, 8, tzinfo=UTC)
        ended = state._replace(sequence=state.sequence + 1, timeframe="1d", close_time=close_time)
        assert feeds.advance(session, "test", ended, 1)
        feeds.end(session, "test")
    for path in ("/dashboard", "/tickers/T1"):
        html = re.sub("</?time[^>]*>", "", page(client, path))
        assert "The recording has ended." in html
        assert "Its last candle closed 08 Feb 2018, 00:00 UTC" in html
        assert "DATA_DIR" in html


def test_the_board_is_filtered_by_view_and_algorithm(client: FlaskClient, database: Database) -> None:
    views = stored_views(database)
    shown = cells(page(client, "/dashboard?view=BUY&algorithm=pump_and_dump"))
    expected = {pair: view for pair, view in views.items() if pair[1] == "pump_and_dump" and view == "BUY"}
    assert shown == expected
    buyers = {ticker for (ticker, _), view in views.items() if view == "BUY"}
    assert {ticker for ticker, _ in cells(page(client, "/dashboard?view=BUY"))} == buyers
    assert "Nothing matches" in page(client, "/dashboard?q=zzz")


@pytest.mark.parametrize(
    ("query", "found"), [("t3", {"T3"}), ("T", {"T0", "T1", "T2", "T3", "T4"}), ("_", set()), ("%25", set())]
)
def test_the_board_is_searched_by_a_part_of_the_name(
    query: str, found: set[str], client: FlaskClient
) -> None:
    assert {ticker for ticker, _ in cells(page(client, f"/dashboard?q={query}"))} == found


@pytest.mark.parametrize("query", ["view=NONSENSE", "algorithm=no_such", "q=%00", "view=BUY%00"])
def test_a_filter_that_makes_no_sense_filters_nothing(query: str, client: FlaskClient) -> None:
    assert len(cells(page(client, f"/dashboard?{query}"))) == 5 * len(ALGORITHMS)


def test_the_board_is_shown_page_by_page(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    closing.close_all(database, market.batches(market.random_walk(2, 120, seed=3)))
    with site.person(database) as client:
        path, seen = "/dashboard?view=HOLD", []
        while path:
            html = page(client, path)
            found = sorted({ticker for ticker, _ in cells(html)})
            assert len(found) <= 50
            seen += found
            following = re.search(r'rel="next" href="([^"]+)"', html)
            path = "/dashboard" + following[1].replace("&amp;", "&") if following else ""
    assert seen == sorted(f"T{number}" for number in range(120))


def test_an_empty_market_says_what_will_come(migrated: MakeDatabase) -> None:
    with site.person(migrated("signals")) as client:
        assert "Waiting for the first candles" in page(client, "/dashboard")


def test_a_ticker_shows_each_change_of_an_algorithm_with_its_why(
    client: FlaskClient, database: Database
) -> None:
    html = page(client, "/tickers/T1?algorithm=pump_and_dump")
    with database.read() as connection:
        changes = connection.execute(
            text(
                """
                SELECT close_time, from_view, to_view FROM view_change
                WHERE ticker = 'T1' AND algorithm = 'pump_and_dump' ORDER BY close_time DESC
                """
            )
        ).all()
    assert len(changes) > 3
    shown = re.findall(r'data-time="([^"]+)" data-from="(\w+)" data-to="(\w+)"', html)
    assert shown == [(moment.isoformat(), before, after) for moment, before, after in changes]
    assert "RSI14 &lt; 50" in html
    assert "volume &gt; 2" in html


def test_without_a_choice_the_algorithm_that_turned_last_is_shown(
    client: FlaskClient, database: Database
) -> None:
    with database.read() as connection:
        newest = """
            SELECT algorithm FROM view WHERE ticker = 'T1' AND view <> 'HOLD'
            ORDER BY since DESC, algorithm DESC LIMIT 1
            """
        algorithm = connection.execute(text(newest)).scalar_one()
    assert f'data-algorithm="{algorithm}"' in page(client, "/tickers/T1")


def test_a_ticker_with_a_slash_has_a_page(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    whole = list(market.batches(market.random_walk(3, 1, seed=3)))
    renamed = [type(each)(each.timeframe, each.close_time, ("ETH/BTC",), *each.columns) for each in whole]
    closing.close_all(database, renamed)
    with site.person(database) as client:
        assert "ETH/BTC" in page(client, "/tickers/ETH/BTC")
        assert 'href="/tickers/ETH/BTC"' in page(client, "/dashboard")


@pytest.mark.parametrize("ticker", ["NOBODY", "%00", "T0%00", "../dashboard", "T0'"])
def test_an_unknown_ticker_is_not_found(ticker: str, client: FlaskClient) -> None:
    assert client.get(f"/tickers/{ticker}").status_code == 404


def test_a_ticker_whose_candles_were_let_go_keeps_its_page_and_its_place(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        session.execute(text("DELETE FROM candle WHERE ticker = 'T0'"))
    assert ("T0", "reversal_rsi") in cells(page(client, "/dashboard"))
    html = page(client, "/tickers/T0")
    assert re.search(r"<dd data-last-close>\s*\u2013\s*</dd>", html)
    listed = client.get("/api/v1/tickers").get_json()["items"]
    assert [(each["time"], each["close"]) for each in listed if each["ticker"] == "T0"] == [(None, None)]
    assert client.get("/api/v1/candles?ticker=T0").get_json()["items"] == []
    assert client.get("/algorithms/reversal_rsi?ticker=T0").status_code == 200


def test_times_of_candles_stay_in_utc(client: FlaskClient) -> None:
    for path in ("/dashboard", "/tickers/T1?algorithm=pump_and_dump"):
        local = re.findall(r"<time[^>]*data-local[^>]*>", page(client, path))
        assert len(local) == 1, "only that the page is current as of now is a moment of the reader"
        assert "-as-of" in local[0]


def test_the_board_says_at_which_close_a_view_turned_last(client: FlaskClient, database: Database) -> None:
    with database.read() as connection:
        newest = connection.execute(text("SELECT max(close_time) FROM view_change")).scalar_one()
    assert f'<span data-newest-change><time datetime="{newest.isoformat()}">' in page(client, "/dashboard")


def test_cells_and_tabs_say_since_which_close_for_scripts(client: FlaskClient, database: Database) -> None:
    with database.read() as connection:
        rows = connection.execute(
            text("SELECT algorithm, view, since FROM view WHERE ticker = 'T1' AND view <> 'HOLD'")
        )
        since = {algorithm: (view, since.isoformat()) for algorithm, view, since in rows}
    board, ticker = page(client, "/dashboard?q=T1"), page(client, "/tickers/T1")
    cell = r'data-algorithm="([^"]+)" data-view="(\w+)" data-since="([^"]+)"'
    tab = r'data-tab="([^"]+)" data-view="(\w+)" data-since="([^"]+)"'
    for html, pattern in ((board, cell), (ticker, tab)):
        assert {key: (view, moment) for key, view, moment in re.findall(pattern, html)} == since


def test_no_page_holds_inline_script_or_style(client: FlaskClient) -> None:
    for path in ("/dashboard", "/tickers/T0"):
        html = page(client, path)
        assert not re.search(r"<script(?![^>]*\bsrc=)", html)
        assert not re.search(r"<style|\sstyle=|\son\w+=", html)


def test_numbers_are_written_for_people_without_losing_digits_of_a_price() -> None:
    assert [price(each) for each in (64500.0, 1234.5, 0.00001234, 1e-09, 0.1 + 0.2)] == [
        "64,500",
        "1,234.5",
        "0.00001234",
        "0.000000001",
        "0.30000000000000004",
    ]
    assert [figure(each) for each in (55.0, 57.312345678, 1234567.8, 0.00001234, 0.0)] == [
        "55",
        "57.3123",
        "1,234,568",
        "1.234e-05",
        "0",
    ]


def test_links_lead_to_an_algorithm_with_an_overlay(database: Database) -> None:
    key = "golden_crossover+stop_loss_5"
    with site.person(database, overlays=f'["{key}"]') as client:
        html = page(client, "/dashboard")
        assert ("T0", key) in cells(html)
        [link] = re.findall(r'href="(/tickers/T0\?algorithm=[^"]*loss_5)"', html)
        assert f'data-algorithm="{key}"' in page(client, link)
        assert page(client, "/tickers/T0").count(link) == 1
        assert set(cells(page(client, link.replace("/tickers/T0", "/dashboard")))) == set()
        assert client.get(link.replace("/tickers/T0", "/api/v1/views")).status_code == 200
