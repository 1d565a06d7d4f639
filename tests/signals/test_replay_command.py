"""`python -m services.signals replay`, as a person or a script runs it."""

import csv
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.signals.market import DATA
from tests.signals.reference import signals_and_views

ROOT = Path(__file__).parents[2]
GOOD = "time,open,high,low,close,volume\n" + "".join(
    f"{3600 * n},{p},{p},{p},{p},1\n" for n, p in enumerate([100 - abs(60 - n) for n in range(120)])
)


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "services.signals", *map(str, arguments)],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "GOOD.csv").write_text(GOOD)
    return tmp_path / "in"


def test_recorded_candles_give_every_signal_of_the_reference_in_order(tmp_path):
    out = tmp_path / "signals.csv"
    done = command("replay", DATA / "daily", "--out", out)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    expected = []
    for path in sorted((DATA / "daily").glob("*.csv.gz")):
        ticker = path.name.removesuffix(".csv.gz")
        rows = list(csv.DictReader(subprocess.check_output(["gzip", "-dc", path], text=True).splitlines()))
        values = [[float(row[name]) for name in ("open", "high", "low", "close", "volume")] for row in rows]
        for key, said in signals_and_views(np.array(values)).items():
            expected += [
                [row["time"], ticker, key, signal, view, repr(float(row["close"]))]
                for row, (signal, view) in zip(rows, said, strict=True)
                if signal != "HOLD"
            ]
    header, *ours = list(csv.reader(out.read_text().splitlines()))
    assert header == ["time", "ticker", "algorithm", "signal", "view", "close"]
    assert ours == sorted(expected)


def test_signals_go_to_standard_output_by_default(folder):
    done = command("replay", folder, "--algorithms", "reversal_rsi,pump_and_dump")
    rows = list(csv.reader(done.stdout.splitlines()))[1:]
    assert done.returncode == 0
    assert {row[2] for row in rows} == {"reversal_rsi", "pump_and_dump"}
    assert rows[0] == ["1970-01-05T03:00:00Z", "GOOD", "pump_and_dump", "SELL", "SELL", "61.0"]


def test_indicators_are_written_beside_the_signals(folder, tmp_path):
    target = tmp_path / "indicators.csv"
    done = command("replay", folder, "--algorithms", "reversal_rsi", "--indicators", target)
    header, *rows = list(csv.reader(target.read_text().splitlines()))
    assert header == ["time", "ticker", "sma9", "sma50", "sma100", "ema50", "ema100", "rsi14"]
    assert len(rows) == 120
    assert rows[8] == ["1970-01-01T08:00:00Z", "GOOD", "44", "", "", "", "", ""]
    assert done.returncode == 0


def test_broken_rows_are_named_skipped_and_counted(folder):
    lines = GOOD.splitlines()
    lines[10] = lines[10].rsplit(",", 1)[0] + ",-1"
    lines[20] = lines[20].rsplit(",", 1)[0] + ",much"
    (folder / "BAD.csv").write_text("\n".join(lines))
    done = command("replay", folder)
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        f"{folder}/BAD.csv:11: a value is negative",
        f"{folder}/BAD.csv:21: volume is not a number: 'much'",
        "2 rows skipped",
    ]
    assert {row.split(",")[1] for row in done.stdout.splitlines()[1:]} == {"BAD", "GOOD"}


@pytest.mark.parametrize("content", ["", "time,open,high,low,close,volume\n", "\n\n"])
@pytest.mark.parametrize("chosen", [(), ("--timeframe", "1h")])
def test_a_file_without_a_row_is_named_and_counted(folder, content, chosen):
    alone = command("replay", folder, *chosen)
    (folder / "EMPTY.csv").write_text(content)
    done = command("replay", folder, *chosen)
    assert (done.returncode, done.stdout) == (3, alone.stdout)
    assert done.stderr.splitlines() == [f"{folder}/EMPTY.csv:1: the file holds no row", "1 rows skipped"]
    (folder / "GOOD.csv").unlink()
    nothing = command("replay", folder, *chosen)
    assert nothing.returncode == 2
    assert f"{folder}/EMPTY.csv:1: the file holds no row" in nothing.stderr


def test_timeframe_that_does_not_fit_leaves_what_is_on_its_grid(folder):
    done = command("replay", folder, "--timeframe", "4h")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == "90 rows skipped"


def test_nothing_readable_is_status_2(tmp_path):
    assert command("replay", tmp_path).returncode == 2
    (tmp_path / "A.csv").write_text("time,open,high,low,close,volume\nbroken\n")
    done = command("replay", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert f"{tmp_path}/A.csv:2: 1 fields instead of 6" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["missing", "in/GOOD.csv"])
def test_directory_that_is_none_is_a_clear_line_and_status_2(folder, name):
    done = command("replay", folder.parent / name)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{folder.parent / name}: No")
    assert done.stderr.count("\n") == 1


def test_unknown_algorithm_is_a_clear_line_and_status_2(folder):
    done = command("replay", folder, "--algorithms", "reversal_rsi,astrology")
    assert done.returncode == 2
    assert "unknown algorithm 'astrology'; known are golden_crossover" in done.stderr


def test_unknown_timeframe_is_status_2(folder):
    assert command("replay", folder, "--timeframe", "2h").returncode == 2


def test_output_that_cannot_be_written_is_a_clear_line_and_status_2(folder):
    done = command("replay", folder, "--out", folder / "none" / "out.csv")
    assert done.returncode == 2
    assert done.stderr == f"{folder}/none/out.csv: No such file or directory\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_full_disk_is_a_clear_line_and_status_2(folder):
    done = command("replay", folder, "--out", "/dev/full")
    assert (done.returncode, done.stderr) == (2, "cannot write: No space left on device\n")


def test_reader_that_stops_early_makes_no_noise(folder):
    lines = GOOD.splitlines()
    for number in range(40):
        (folder / f"T{number}.csv").write_text("\n".join(lines))
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.signals", "replay", folder],
        cwd=ROOT,
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    os.close(read)
    _, complaints = process.communicate(timeout=60)
    assert complaints == b""
    assert process.returncode == 1


def test_run_shows_progress_on_a_terminal(tmp_path):
    rows = "".join(f"{60 * n},1,1,1,1,1\n" for n in range(1200))
    (tmp_path / "A.csv").write_text(rows)
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.signals", "replay", tmp_path, "--out", os.devnull],
        cwd=ROOT,
        stderr=end,
    )
    os.close(end)
    shown = b""
    while True:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # how a terminal says that nobody is at the other end
            break
        if not chunk:
            break
        shown += chunk
    os.close(terminal)
    assert process.wait(timeout=60) == 0
    assert b"1,000 rows read" in shown
    assert b"of 1,200 candles" in shown
