"""The marketing site says what is so."""

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.build_site import SOURCE, build, fill
from services.signals.algorithms.golden_crossover import GoldenCrossover
from services.signals.config import DEMO_DIR

ROOT = Path(__file__).resolve().parents[2]
DAY = "2013-04-29T00:00:00Z"
SAMPLE = re.compile(
    r'<th scope="row">(\w+)</th><td class="sample__close">([\d.]+)</td>\s*'
    r'<td>.*?view--hold.*?sample__new">(\w+)<'
)


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
