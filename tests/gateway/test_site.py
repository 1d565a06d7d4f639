"""The marketing site says what is so."""

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.build_site import SOURCE, build, fill
from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.golden_crossover import GoldenCrossover
from services.signals.config import DEMO_DIR

ROOT = Path(__file__).resolve().parents[2]
DAY = "2013-04-29T00:00:00Z"
SAMPLE = re.compile(
    r'<th scope="row">(\w+)</th><td class="sample__close">([\d.]+)</td>\s*'
    r'<td>.*?view--hold.*?sample__new">(\w+)<'
)
RULE = re.compile(
    r'<th scope="row">([^<]+)</th>\s*<td data-label="Candles">([^<]+)</td>\s*'
    r'<td data-label="BUY when">([^<]+)</td>\s*<td data-label="SELL when">([^<]+)</td>'
)
CANDLES = {"1h": "1 hour", "4h": "4 hours"}


def test_the_sample_is_what_the_rule_said_that_day() -> None:
    page = (SOURCE / "index.html").read_text()
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "services.signals",
            "replay",
            str(DEMO_DIR),
            "--algorithms",
            GoldenCrossover.key,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    told_before = {row["ticker"] for row in rows if row["time"] < DAY}
    turned = {(row["ticker"], row["close"], row["view"]) for row in rows if row["time"] == DAY}
    sample = SAMPLE.findall(page)
    assert len(sample) == 3
    assert set(sample) <= turned
    assert told_before.isdisjoint(ticker for ticker, _, _ in sample), "each was HOLD before"
    assert f"<em>{GoldenCrossover.name}</em>" in page
    assert "29 April 2013" in page.replace("\n", " ")


def test_every_rule_can_be_read_with_its_candles_and_its_numbers() -> None:
    page = (SOURCE / "index.html").read_text()
    rules = {name: (candles, entry, exit_) for name, candles, entry, exit_ in RULE.findall(page)}
    assert set(rules) == {algorithm.name for algorithm in ALGORITHMS.values()}
    for algorithm in ALGORITHMS.values():
        candles, *sides = rules[algorithm.name]
        assert candles == CANDLES[algorithm.timeframe]
        stated = re.findall(r"Entry: (.+?) Exit: (.+)", " ".join((algorithm.__doc__ or "").split()))[0]
        for text, side in zip(sides, stated, strict=True):
            assert _figures(text) == _figures(side), f"{algorithm.name}: {text}"
    assert page.count('href="#rules"') == 2


def test_error_pages_invite_nobody_who_may_be_logged_in_and_every_page_has_the_theme(site: Path) -> None:
    pages = {path.name: path.read_text() for path in (site / "site").rglob("*.html")}
    for name, page in pages.items():
        assert "data-theme-toggle" in page
        assert ('href="/register"' in page) == (name == "index.html"), name
        assert ('href="/dashboard"' in page) == (name != "index.html"), name


def _figures(text: str) -> set[float]:
    """The numbers in a rule as multiples and periods; the RSI's 14 stands below the table."""
    plain = re.sub(r"RSI14|RSI over 14", "RSI", text)
    plain = re.sub(r"(\d+) % or more above", lambda found: str(1 + int(found[1]) / 100), plain)
    plain = re.sub(r"[Tt]wice", "2", plain)
    plain = plain.replace("which is > 0", "")
    return {float(number) for number in re.findall(r"\d+(?:\.\d+)?", plain)}


def test_the_names_of_files_come_from_the_build(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"shared/none\.css"):
        fill("{{ static 'shared/none.css' }}", {}, {"shared/app.css": "shared/app-1.css"})
    assert (
        fill("{{ static 'a.css' }} {{ title }}", {"title": "T"}, {"a.css": "a-1.css"}) == "/static/a-1.css T"
    )


def test_the_same_sources_make_the_same_bytes(site: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in (site / "site").rglob("*") if path.is_file()}
    build(site / "static", tmp_path / "site")
    after = {path.name: path.read_bytes() for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert after == {name: content for name, content in before.items() if not name.endswith(".gz")}
