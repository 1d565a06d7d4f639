"""The public page and the API of the track record."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from services.signals import track_record
from services.signals.algorithms import ALGORITHMS
from services.signals.record_pages import percent, signed_percent
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.signals import closing, market, site
from tests.signals.test_late import evaluate
from tests.signals.test_runner import MakeDatabase

ROOT = Path(__file__).parents[2]


@pytest.fixture
def database(filled: Database) -> Database:
    track_record.follow(filled)
    return filled


@pytest.fixture
def stranger(database: Database) -> Iterator[FlaskClient]:
    with site.visitor(database) as client:
        yield client


def words(client: FlaskClient, path: str = "/track-record") -> str:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", response.text))


def test_everybody_may_read_it_and_find_it(stranger: FlaskClient) -> None:
    html = stranger.get("/track-record").text
    assert "noindex" not in html
    assert '<meta name="description" content="What became of every change' in html
    assert 'href="/login"' in html


def test_the_page_shows_the_figures_of_the_api(stranger: FlaskClient) -> None:
    told = stranger.get("/api/v1/track-record").json
    page = words(stranger)
    assert f"Changes {told['overall']['changes']:,}" in page
    assert f"{told['ledger']['records']:,} each hash checked" in page
    for score in [told["overall"], *told["items"]]:
        name = ALGORITHMS[score["algorithm"]].name if score["algorithm"] else "All together"
        moves = score["after"][2]["all"]
        row = page[page.index(f" {name} {percent(moves['hit_rate'])}") :]
        assert f"{moves['changes']} {signed_percent(moves['average'])}" in row


def test_changes_that_were_told_to_nobody_are_not_mistaken_for_supplementary_ones(
    migrated: MakeDatabase,
) -> None:
    """The history of a live deployment is in the ledger's order, and nobody is alerted of it."""
    database = migrated("signals")
    history = market.batches(market.random_walk(100, 2, seed=3))
    evaluate(database, Runner(0, 1, closing.ALL), history, recorded=False)
    track_record.follow(database)
    with site.visitor(database) as client:
        told = client.get("/api/v1/track-record").json
        page = words(client)
    assert told["untold"] == told["overall"]["changes"] > 0
    assert told["overall"]["late"] == 0
    assert f"there are {told['untold']} of them, a number that is not from the ledger" in page
    assert "also the 0 in supplementary records" in page


def test_every_horizon_has_its_view(stranger: FlaskClient) -> None:
    told = stranger.get("/api/v1/track-record").json
    for place, after in enumerate((1, 4, 24)):
        page = words(stranger, f"/track-record?after={after}")
        assert f"After {after} candle" in page
        assert f"All together {percent(told['overall']['after'][place]['all']['hit_rate'])}" in page
    assert "After 24 candles" in words(stranger, "/track-record?after=7")


def test_the_api_says_when_nothing_is_new(stranger: FlaskClient) -> None:
    first = stranger.get("/api/v1/track-record")
    assert first.status_code == 200
    again = stranger.get("/api/v1/track-record", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


def test_small_samples_are_marked_and_the_limits_of_figures_told(stranger: FlaskClient) -> None:
    page = words(stranger)
    assert " few " in page
    for honest in ("No costs.", "Small samples lie.", "The past is no promise.", "Replay of recorded data."):
        assert honest in page


def test_without_a_change_there_is_an_honest_page(migrated: MakeDatabase) -> None:
    with site.visitor(migrated("signals")) as client:
        page = words(client)
        told = client.get("/api/v1/track-record").json
    assert "Nothing to count yet" in page
    assert "Not measured yet" in page
    assert "None yet: the first is made" in page
    assert (told["overall"], told["items"], told["through"]) == (None, [], None)


def test_head_and_repaints_are_shown(database: Database, stranger: FlaskClient) -> None:
    with database.transaction() as session:
        session.execute(
            text("INSERT INTO ledger_head (day, document, hash) VALUES ('2020-01-02', '{}', 'abc123')")
        )
        session.execute(
            text(
                """
                INSERT INTO repaint_check
                    (day, timeframe, candles, candle_differences, changes, change_differences, details)
                VALUES ('2020-01-02', '1h', 1200, 3, 40, 0, '{}'), ('2020-01-03', '1h', 800, 0, 20, 1, '{}')
                """
            )
        )
    page = words(stranger)
    assert "abc123 of 02 Jan 2020, not exported yet" in page
    assert "1 of 60 changes and 3 of 2,000 candles came out otherwise, in 2 days" in page
    assert "the last of them 03 Jan 2020" in page


def test_a_ledger_that_does_not_verify_is_told_on_the_page(filled: Database) -> None:
    with filled.transaction() as session:
        session.execute(text("UPDATE candle SET close = close + 1, high = high + 1 WHERE ticker = 'T1'"))
    track_record.follow(filled)
    with site.visitor(filled) as client:
        page = words(client)
        problems = client.get("/api/v1/track-record").json["ledger"]["problems"]
    assert len(problems) == 1
    assert f"The figures stop short: {problems[0]}." in page


def recount(database: Database) -> tuple[int, str]:
    return command(database.engine.url.render_as_string(hide_password=False))


def command(url: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "services.signals", "track-record", "--database", url],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "this is no address of a database"),
        ("postgresql+psycopg://nobody@127.0.0.1:1/none", "the database refuses: connection"),
    ],
)
def test_the_command_says_in_one_line_that_it_can_not_read(url: str, said: str) -> None:
    status, lines = command(url)
    assert (status, lines.count("\n"), said in lines) == (2, 1, True), lines


def test_the_command_counts_everything_again_and_changes_nothing(database: Database) -> None:
    with database.read() as connection:
        before = connection.execute(text("SELECT figures FROM track_record")).scalar_one()
    status, said = recount(database)
    assert (status, "the same figures" in said) == (0, True), said
    with database.transaction() as session:
        session.execute(text("UPDATE outcome SET close_24 = close_24 * 2"))
        track_record.put_together(session)
        altered = session.execute(text("SELECT figures FROM track_record")).scalar_one()
    assert altered != before
    status, said = recount(database)
    assert (status, "the stored figures are others" in said) == (1, True), said
    with database.transaction() as session:
        assert session.execute(text("SELECT figures FROM track_record")).scalar_one() == altered
        session.execute(text("DELETE FROM candle WHERE ticker = 'T1'"))
    status, said = recount(database)
    assert (status, "was made of other candles than those that are stored" in said) == (2, True), said


@pytest.mark.parametrize(
    ("share", "plain", "signed"),
    [
        (0.5, "50.0 %", "+50.00 %"),
        (-0.0123, "\N{MINUS SIGN}1.2 %", "\N{MINUS SIGN}1.23 %"),
        (0.00001, "0.0 %", "0.00 %"),
        (-0.0, "0.0 %", "0.00 %"),
        (12.5, "1,250.0 %", "+1,250.00 %"),
        (None, "\N{EN DASH}", "\N{EN DASH}"),
    ],
)
def test_shares_are_written_as_percentages(share: float | None, plain: str, signed: str) -> None:
    assert (percent(share), signed_percent(share)) == (plain, signed)
