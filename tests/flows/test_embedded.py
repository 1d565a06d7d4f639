"""The embedded default from end to end: what a newcomer sees after `make run`."""

import csv
import email
import email.policy
import gzip
import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from services.signals.config import DEMO_DIR
from tests.support.house import EmbeddedHouse
from tests.support.person import Person, ask_until_prepared, message
from tests.support.stack import ROOT

pytestmark = pytest.mark.alone

TICKERS = ("AAL", "ADBE", "AMZN", "AON")
CANDLES = 420


@pytest.fixture(scope="module")
def candles(server_dir: Path) -> Path:
    """Some tickers of the demo data, cut so that the replay comes to its end within the test."""
    folder = server_dir / "candles"
    folder.mkdir()
    for ticker in TICKERS:
        with gzip.open(DEMO_DIR / f"{ticker}.csv.gz", "rt") as whole:
            lines = [next(whole) for _ in range(CANDLES + 1)]
        (folder / f"{ticker}.csv").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def data_dir(server_dir: Path) -> Path:
    return server_dir / "house"


@pytest.fixture(scope="module")
def settings(candles: Path) -> dict[str, str]:
    return {"FEED": f"replay:{candles}", "REPLAY_SPEED": "20"}


@pytest.fixture(scope="module")
def house(data_dir: Path, settings: dict[str, str]) -> Iterator[EmbeddedHouse]:
    with EmbeddedHouse(data_dir, settings) as house:
        yield house
    assert house.process.returncode == 0, house.said


@pytest.fixture(scope="module")
def person(house: EmbeddedHouse) -> Person:
    person = Person(house.url)
    person.register()
    person.log_in()
    return person


def test_the_terminal_says_where_it_is_and_what_to_do_next(house: EmbeddedHouse) -> None:
    for place in ("/register", "/alerts", "/dashboard", "/dev/mail"):
        assert house.url + place in house.said


def test_who_asked_sees_the_view_change_and_finds_both_mails(house: EmbeddedHouse, person: Person) -> None:
    assert ask_until_prepared(person, "reversal_rsi", None).status_code == 201
    with person.live() as socket:
        snapshot = message(socket, "snapshot")
        changed = message(socket, "views_changed")
    assert changed["n"] > snapshot["n"]

    welcome, alert = _wait_for_mails(house, "Welcome"), _wait_for_mails(house, "Maximized RSI")
    assert person.email in welcome.read_text()
    assert person.email in alert.read_text()
    assert person.email in person.get("/dev/mail").text


def test_the_views_shown_are_those_that_replay_prints_for_the_same_files(
    person: Person, candles: Path
) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "services.signals", "replay", str(candles)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = list(csv.DictReader(io.StringIO(printed.stdout)))
    last = {(row["ticker"], row["algorithm"]): row["view"] for row in rows}
    signals = [(row["time"], row["ticker"], row["algorithm"], row["signal"], row["view"]) for row in rows]
    assert len(last) > len(TICKERS), "the files say too little to compare"

    _wait_for_the_end(person, candles)
    shown = {
        (item["ticker"], item["algorithm"]): item["view"] for item in _all_items(person, "/api/v1/views")
    }
    assert {pair: view for pair, view in shown.items() if view != "HOLD"} == last
    stored = sorted(
        (item["time"], item["ticker"], item["algorithm"], item["signal"], item["view"])
        for item in _all_items(person, "/api/v1/signals")
    )
    assert stored == sorted(signals)


def test_a_second_start_keeps_everything_and_leaves_nothing_running(
    house: EmbeddedHouse, person: Person, data_dir: Path, settings: dict[str, str]
) -> None:
    views = _all_items(person, "/api/v1/views")
    children = psutil.Process(house.process.pid).children(recursive=True)
    assert len(children) > 3, "PostgreSQL, Valkey and NGINX run as processes of their own"
    house.__exit__()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []

    with EmbeddedHouse(data_dir, settings, port=house.port) as again:
        # the same cookie, and the same views
        assert again.url == person.gateway
        assert _all_items(person, "/api/v1/views") == views
        assert len(person.get("/api/v1/alerts").json()["items"]) == 1


def _wait_for_mails(house: EmbeddedHouse, word: str) -> Path:
    """The file of the first mail whose subject has the word."""
    deadline = time.monotonic() + 30
    pause = threading.Event()
    while time.monotonic() < deadline:
        for file in sorted((house.data_dir / "mail").glob("*.eml")):
            subject = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)["Subject"]
            if word in subject:
                return file
        pause.wait(0.1)
    raise AssertionError(f"no mail about {word}")


def _all_items(person: Person, path: str) -> list[dict[str, str]]:
    items: list[dict[str, str]] = []
    cursor = ""
    while True:
        answer = person.get(f"{path}?limit=500{cursor}").json()
        items += answer["items"]
        if answer["next"] is None:
            return items
        cursor = f"&cursor={answer['next']}"


def _wait_for_the_end(person: Person, candles: Path) -> None:
    """Wait until the last candle of each file is evaluated."""
    last = (candles / f"{TICKERS[0]}.csv").read_text().splitlines()[-1].split(",")[0]
    deadline = time.monotonic() + 120
    pause = threading.Event()
    while {ticker["time"] for ticker in _all_items(person, "/api/v1/tickers")} != {last}:
        assert time.monotonic() < deadline, "the replay did not come to its end"
        pause.wait(0.2)
