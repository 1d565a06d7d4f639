"""The example of `docs/custom-algorithms.md`: built, installed, found, checked, replayed, tested."""

import csv
import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import talib

from services.signals.lineup import Lineup
from shared.settings import environment
from tests.signals.local_market import settings
from tests.signals.market import DATA

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "boritrader-example-algorithm"
UV = Path(sys.prefix) / "uv" / "bin" / "uv"


def run(*arguments: object, path: Path | None = None, **options):
    done = subprocess.run(
        [str(each) for each in arguments],
        cwd=ROOT,
        env=environment()
        | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        | ({"PYTHONPATH": f"{path}:{ROOT}"} if path else {}),
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which the package was built and installed, without a network."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    target = folder / "site"
    run(
        *(UV, "pip", "install", "--offline", "--no-cache", "--no-deps", "--python", sys.executable),
        *("--target", target, folder / "source"),
    )
    return target


def services(*arguments: object, path: Path):
    return run(sys.executable, "-W", "error", "-m", "services.signals", *arguments, path=path)


def test_replay_finds_it_by_its_entry_point_and_it_says_what_its_rule_says(installed, tmp_path):
    out = tmp_path / "signals.csv"
    services("replay", DATA / "daily", "--algorithms", "band_breakout", "--out", out, path=installed)
    with out.open(newline="") as file:
        said = [(row["ticker"], row["time"], row["signal"]) for row in csv.DictReader(file)]
    expected = [
        (ticker, time, signal)
        for ticker in ("AAPL", "FB", "GOOG", "IBM", "MSFT")
        for time, signal in by_the_letter(ticker)
    ]
    assert sorted(said) == sorted(expected)
    assert {signal for _, _, signal in said} == {"BUY", "SELL"}


def test_it_stands_in_the_lineup_that_processes_run_and_in_a_list_without_it_it_does_not(
    installed, monkeypatch
):
    monkeypatch.syspath_prepend(installed)
    url = "postgresql+psycopg://nowhere/x"
    assert [*Lineup.of(settings(url)).algorithms][-1] == "band_breakout"
    assert [*Lineup.of(settings(url, algorithms="reversal_rsi")).algorithms] == ["reversal_rsi"]
    for name in [name for name in sys.modules if name.startswith("boritrader_example_algorithm")]:
        del sys.modules[name]


def test_it_passes_its_check(installed):
    done = services("check-algorithm", "band_breakout", "band_breakout+stop_loss_5", path=installed)
    assert re.findall(r"^(\S+): nothing found; [1-9]\d* entries and [1-9]", done.stdout, re.MULTILINE) == [
        "band_breakout",
        "band_breakout+stop_loss_5",
    ]


def test_its_own_tests_pass(installed):
    run(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--rootdir", EXAMPLE),
        *("-c", "/dev/null", "--import-mode=importlib", EXAMPLE / "tests"),
        path=installed,
    )


def test_the_documentation_shows_the_package_as_it_is():
    shown = (ROOT / "docs" / "custom-algorithms.md").read_text()
    for name, language in (
        ("src/boritrader_example_algorithm/band_breakout.py", "python"),
        ("pyproject.toml", "toml"),
    ):
        assert f"```{language}\n{(EXAMPLE / name).read_text()}```" in shown


def by_the_letter(ticker: str) -> list[tuple[str, str]]:
    """Time and signal of each candle on which the rule says something, with TA-Lib's indicators."""
    with gzip.open(DATA / "daily" / f"{ticker}.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    times = [row["time"] for row in rows]
    high, low, close, volume = (
        np.array([float(row[name]) for row in rows]) for name in ("high", "low", "close", "volume")
    )
    upper, middle, _ = talib.BBANDS(close, 20, 2, 2)
    usual, wide = talib.SMA(volume, 20), talib.ATR(high, low, close, 14)
    said: list[tuple[str, str]] = []
    entry_price = np.nan
    for n in range(1, len(close)):
        entry = close[n - 1] <= upper[n - 1] and close[n] > upper[n] and volume[n] > 1.5 * usual[n]
        leave = close[n - 1] >= middle[n - 1] and close[n] < middle[n]
        leave = leave or close[n] <= entry_price - 2 * wide[n]
        if entry:
            said.append((times[n], "BUY"))
            entry_price = close[n] if np.isnan(entry_price) else entry_price
        elif leave:
            said.append((times[n], "SELL"))
            entry_price = np.nan
    return said
