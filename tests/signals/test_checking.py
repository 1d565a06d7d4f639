"""`check-algorithm` refuses every kind of bad package, and lets good ones be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.signals.algorithms import ALGORITHMS
from services.signals.checking import Report, check
from services.signals.commands import check_algorithm
from shared.settings import environment
from tests.signals.packages import algorithm, install

ROOT = Path(__file__).parents[2]

ALWAYS = 'return all_of(below(frame, "rsi14", self.limit))'
REMEMBERS = "before, MEMORY[0] = MEMORY[0], frame.close.mean()\nreturn frame.close > before"
WRITES = "column = frame.close.view()\nbase = column if column.base is None else column.base\n"

BAD = {
    "raises": ({"entry": "return all_of(below(frame, 'rsi14', self.limit / 0))"}, "raises"),
    "raises_at_times": (
        {"entry": f"if (frame.close > 1e12).any(): raise RuntimeError('two\\nlines')\n{ALWAYS}"},
        "raises",
    ),
    "looks_ahead": (
        {
            "before": "HIGHEST = [0.0]",  # of all it ever saw: from its second run on, of candles to come
            "entry": "HIGHEST[0] = max(HIGHEST[0], float(frame.close.max()))\n"
            "return frame.close >= HIGHEST[0]",
        },
        "looks-ahead",
    ),
    "looks_around": (
        {
            "before": "import sys",
            "entry": "caller = sys._getframe(1)\nwhile caller is not None:\n    caller = caller.f_back\n"
            + ALWAYS,
        },
        "reaches-out",
    ),
    "searches_memory": (
        {"before": "import gc", "entry": "held = len(gc.get_referents(frame))\n" + ALWAYS},
        "reaches-out",
    ),
    "repaints": (
        {"before": "CALLS = []", "entry": "CALLS.append(1)\nreturn frame.rsi14 < (30.0 + len(CALLS) % 7)"},
        "repaints",
    ),
    "repaints_elsewhere": (
        {"before": "SEED = hash('seed') % 40", "entry": "return frame.rsi14 < 30.0 + SEED"},
        "repaints",
    ),
    "keeps_on_instance": (
        {
            "fields": "limit: float = 40.0\n    memory = None",
            "entry": "object.__setattr__(self, 'memory', float(frame.close[0]))\n" + ALWAYS,
        },
        "hidden-state",
    ),
    "keeps_in_closure": (
        {
            "before": "def remembering():\n    kept = []\n    def rule(frame):\n"
            "        kept.append(frame.close.copy())\n"
            "        return frame.close > kept[-2].max() if len(kept) > 1 else frame.close < 0\n"
            "    return rule\nRULE = remembering()",
            "entry": "return RULE(frame)",
        },
        "hidden-state",
    ),
    "keeps_in_global": ({"before": "MEMORY = [0.0]", "entry": REMEMBERS}, "hidden-state"),
    "keeps_in_default": (
        {"before": "def last(value, kept=[0.0]):\n    kept[0] = value\n", "entry": "last(1.5)\n" + ALWAYS},
        "hidden-state",
    ),
    "keeps_in_engine": (
        {
            "entry": "kind = type(frame)\ncount = getattr(kind, 'count', 0) + 1\nkind.count = count\n"
            "return frame.rsi14 < 30.0 + count % 5"
        },
        "hidden-state",
    ),
    "reads_clock": ({"before": "import time", "entry": "time.time()\n" + ALWAYS}, "clock"),
    "reads_date": (
        {"before": "from datetime import UTC, datetime", "entry": "datetime.now(UTC)\n" + ALWAYS},
        "clock",
    ),
    "reads_clock_of_numpy": (
        {
            "before": "import numpy as np",
            "entry": "return frame.close < float(np.datetime64('now', 's').astype(int))",
        },
        "clock",
    ),
    "reads_clock_rarely": (
        {
            "before": "from time import time",
            "entry": "if frame.close[0] > 1e99: return time() > 0\n" + ALWAYS,
        },
        "clock",
    ),
    "reads_file": ({"entry": "open('/etc/hostname').close()\n" + ALWAYS}, "files"),
    "reads_file_on_import": (
        {"before": "from pathlib import Path\nWORDS = Path('/etc/hostname').read_text()"},
        "files",
    ),
    "reads_network": (
        {
            "before": "import socket",
            "entry": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()\n" + ALWAYS,
        },
        "network",
    ),
    "throws_dice": (
        {"before": "import random", "entry": "return frame.rsi14 < 30.0 + random.random()"},
        "random",
    ),
    "throws_numpy_dice": (
        {"entry": "return frame.rsi14 < 30.0 + np.random.default_rng(7).random(frame.close.size)"},
        "random",
    ),
    "reads_environment": (
        {"before": "import os", "entry": "os.environ.get('DATABASE_URL')\n" + ALWAYS},
        "environment",
    ),
    "starts_process": (
        {"before": "import subprocess", "entry": "subprocess.run(['true'], check=True)\n" + ALWAYS},
        "processes",
    ),
    "gives_one_shape": ({"entry": "return np.zeros(3, dtype=bool)"}, "shape"),
    "gives_a_scalar": ({"entry": "return True"}, "shape"),
    "gives_numbers": ({"entry": "return frame.rsi14 * 0"}, "dtype"),
    "writes_into_frame": (
        {"entry": "frame.close.flags.writeable = True\nframe.close[:] = 1.0\n" + ALWAYS},
        "mutates",
    ),
    "looks_at_neighbours": ({"entry": "return frame.close > np.nanmean(frame.close)"}, "neighbours"),
    "is_slow": (
        {"entry": "return np.array([sum(range(500)) * v < 0 for v in frame.close.tolist()], dtype=bool)"},
        "slow",
    ),
}
"""What is bad about a package, by its module, and the rule that it breaks."""

UNUSABLE = {
    "lacks_indicator": (algorithm("lacks_indicator", indicators='("vwap3",)'), "vwap3"),
    "lacks_version": (algorithm("lacks_version", declared="version = None"), "version None is not a text"),
    "breaks_on_import": ("x = 1 / 0", "importing breaks_on_import:Rules raised ZeroDivisionError"),
}

GOOD = {
    "plain": {},
    "bare_booleans": {"entry": "return frame.rsi14 < self.limit", "exit_": "return frame.rsi14 > 60.0"},
    "uses_numpy": {
        "entry": "return np.where(frame.volume > 0, frame.close, np.nan) < frame.previous.close * 0.99",
        "exit_": "return np.isfinite(frame.entry_price) & (frame.close > 1.02 * frame.entry_price)",
    },
    "has_constants": {
        "before": "import math\nfrom functools import partial\nLEVELS = {'low': 20.0 + math.pi}\n"
        "def lower(a, b):\n    return a < b\nbelow_level = partial(lower, b=LEVELS['low'] + 15)",
        "entry": "return below_level(frame.rsi14)",
    },
}
OVERLAID = ("golden_crossover+stop_loss_5", "simple_trend_ride+trailing_stop_loss_7.5", "plain+stop_loss_3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    for name, (said, _) in BAD.items():
        install(folder, name, algorithm(name, **said), {name: f"{name}:Rules"})
    for name, said in GOOD.items():
        install(folder, name, algorithm(name, **said), {name: f"{name}:Rules"})
    for name, (source, _) in UNUSABLE.items():
        install(folder, name, source, {name: f"{name}:Rules"})
    return folder


@pytest.fixture(scope="module")
def reports(folder):
    """The reports of all, made at once: a process takes longer to start than an algorithm to check."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        made = check(
            [*BAD, *UNUSABLE, *GOOD, *ALGORITHMS, *OVERLAID, "plain:Rules", "no_such", "no_such:Rules"]
        )
    return {report.target: report for report in made}


@pytest.mark.parametrize(("name", "rule"), [(name, rule) for name, (_, rule) in BAD.items()])
def test_a_bad_package_is_refused_by_the_rule_that_it_breaks(
    name: str, rule: str, reports: dict[str, Report]
):
    report = reports[name]
    assert report.unusable is None
    assert rule in {finding.rule for finding in report.findings}
    assert all("\n" not in str(finding) for finding in report.findings)


@pytest.mark.parametrize(
    ("name", "where", "what"),
    [
        ("raises", "raises.py:20", "entry raised ZeroDivisionError: float division by zero"),
        ("raises_at_times", "raises_at_times.py:20", "entry raised RuntimeError: two lines"),
        ("keeps_in_global", "keeps_in_global.MEMORY[0]", "deciding has changed it"),
        ("keeps_on_instance", "instance.memory", "deciding has changed it"),
        ("reads_file", "reads_file.py:20", "open '/etc/hostname'"),
        ("reads_file_on_import", "reads_file_on_import.py:8", "open '/etc/hostname'"),
        ("reads_clock", "reads_clock.py:20", "calls time.time()"),
        ("reads_clock_rarely", "reads_clock_rarely.py:7", "uses time.time"),
        ("reads_environment", "reads_environment.py:20", "reads DATABASE_URL"),
        ("starts_process", "starts_process.py:20", "subprocess.Popen 'true'"),
    ],
)
def test_a_finding_says_where_and_what(name: str, where: str, what: str, reports: dict[str, Report]):
    found = {(finding.where, finding.what) for finding in reports[name].findings}
    assert (where, what) in found


@pytest.mark.parametrize("name", [*GOOD, *ALGORITHMS, *OVERLAID, "plain:Rules"])
def test_a_good_algorithm_passes(name: str, reports: dict[str, Report]):
    report = reports[name]
    assert report.findings == ()
    assert report.is_clean
    assert report.candles > 3000


def test_most_rules_hold_on_the_candles_that_are_tried(reports):
    seldom = {name for name in ALGORITHMS if not (reports[name].entries and reports[name].exits)}
    assert seldom <= {"buy_the_dip"}  # its exit asks for a cross while RSI14 > 65


@pytest.mark.parametrize(("name", "told"), [(name, told) for name, (_, told) in UNUSABLE.items()])
def test_what_can_not_be_run_is_told_as_unusable(name: str, told: str, reports: dict[str, Report]):
    assert told in str(reports[name].unusable)
    assert not reports[name].is_clean


def test_what_there_is_not_is_told(reports):
    assert str(reports["no_such"].unusable).startswith("there is no algorithm 'no_such'; there are golden_")
    assert reports["no_such:Rules"].unusable == "there is no module 'no_such'"


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["plain"], 0),
        (["plain", "reads_clock", "bare_booleans"], 1),
        (["no_such", "reads_clock", "plain"], 2),
    ],
)
def test_the_exit_status_is_the_worst_of_all(names, status, reports, capsys):
    assert check_algorithm.tell([reports[name] for name in names]) == status
    told = capsys.readouterr()
    assert [line.split(": ")[0] for line in told.err.splitlines()] == [n for n in names if n == "no_such"]
    assert {line.split(": ")[0] for line in told.out.splitlines()} == {*names} - {"no_such"}


def test_who_hardly_says_anything_is_told_that_little_was_seen(capsys):
    assert check_algorithm.tell([Report("quiet", None, (), candles=9, entries=0, exits=3)]) == 0
    assert capsys.readouterr().err.startswith("quiet: one of its rules never held")


def test_the_command_tells_each_finding_in_a_line(folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "services.signals", "check-algorithm", "plain", "reads_clock"],
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": str(folder)},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("plain: nothing found; ")
    assert "reads_clock: clock: reads_clock.py:20: calls time.time()\n" in done.stdout


def test_one_that_never_ends_or_ends_its_process_is_refused_and_the_next_one_is_checked(tmp_path):
    said = {
        "never_ends": {"before": "import threading", "entry": "threading.Event().wait()\n" + ALWAYS},
        "ends_all": {"before": "import os", "entry": "os._exit(3)"},
    }
    for name, parts in said.items():
        install(tmp_path, name, algorithm(name, **parts), {name: f"{name}:Rules"})
    done = subprocess.run(
        [sys.executable, "-m", "services.signals.checking.probe", "again", "3", *said],
        cwd=ROOT,
        env=environment() | {"PYTHONPATH": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=120,
        check=True,
    )
    told = [json.loads(line)["findings"] for line in done.stdout.splitlines()]
    assert told == [
        [["slow", "never_ends", "it has not come to an end after 3 seconds"]],
        [["raises", "ends_all", "its process ended with status 3"]],
    ]
