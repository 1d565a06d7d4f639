"""Algorithms of installed packages: found, chosen by settings, and set aside when they can't be run."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.signals.algorithms import ALGORITHMS, registry
from services.signals.errors import LineupError
from services.signals.lineup import Lineup
from shared.settings import environment
from tests.signals import local_market
from tests.signals.packages import algorithm, install

ROOT = Path(__file__).parents[2]
URL = "postgresql+psycopg://nowhere/x"


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if (module_file := getattr(sys.modules[name], "__file__", None)) and str(tmp_path) in module_file:
            del sys.modules[name]


def lineup(**chosen: object) -> Lineup:
    return Lineup.of(local_market.settings(URL, **chosen))


def test_an_installed_algorithm_runs_beside_the_published_ones(site):
    install(site, "good_one", algorithm("dip"), {"dip": "good_one:Rules"})
    found = lineup()
    assert list(found.algorithms) == [*ALGORITHMS, "dip"]
    assert (found.algorithms["dip"].version, found.algorithms["dip"].parameters) == ("3", {"limit": 40.0})
    assert found.set_aside == ()


def test_an_entry_point_may_load_to_an_instance(site):
    source = algorithm("dip") + "\nlower = Rules(limit=20.0)\n"
    install(site, "good_two", source, {"dip": "good_two:lower"})
    assert lineup().algorithms["dip"].parameters == {"limit": 20.0}


def test_a_setting_says_which_algorithms_run_and_the_code_of_others_is_not_imported(site):
    install(site, "good_three", algorithm("dip"), {"dip": "good_three:Rules"})
    install(site, "never", "raise SystemExit('imported')", {"never": "never:Rules"})
    found = lineup(algorithms="dip, golden_crossover")
    assert set(found.algorithms) == {"dip", "golden_crossover"}
    assert found.set_aside == ()
    assert "never" not in sys.modules


def test_a_timeframe_is_chosen_for_an_installed_algorithm_too(site):
    install(site, "good_four", algorithm("dip"), {"dip": "good_four:Rules"})
    assert lineup(algorithm_timeframes='{"dip": "4h"}').timeframe_of("dip") == "4h"


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("algorithms", "golden_crossover,no_such", "ALGORITHMS names no algorithm that there is: 'no_such'"),
        ("algorithm_timeframes", '{"no_such": "1h"}', "ALGORITHM_TIMEFRAMES names no algorithm"),
        ("overlays", '["no_such+stop_loss_5"]', "OVERLAYS: 'no_such+stop_loss_5' names no algorithm"),
        ("overlays", '["golden_crossover+stop_los_5"]', "OVERLAYS: 'stop_los_5' is no overlay"),
        ("overlays", '["golden_crossover"]', "OVERLAYS: 'golden_crossover' names no overlay"),
    ],
)
def test_a_setting_that_names_what_there_is_not_is_refused_in_one_line(setting, value, told):
    with pytest.raises(LineupError) as caught:
        lineup(**{setting: value})
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_overlays_are_algorithms_of_their_own_beside_their_base(site):
    install(site, "good_six", algorithm("dip"), {"dip": "good_six:Rules"})
    install(site, "bad", "x = 1 / 0", {"bad": "bad:Rules"})
    found = lineup(
        overlays='["dip+stop_loss_5", "golden_crossover+trailing_stop_loss_7.5", "bad+stop_loss_5"]',
        algorithm_timeframes='{"dip+stop_loss_5": "15m"}',
    )
    added = ["dip", "dip+stop_loss_5", "golden_crossover+trailing_stop_loss_7.5"]
    assert list(found.algorithms) == [*ALGORITHMS, *added]
    assert found.algorithms["dip+stop_loss_5"].parameters == {"limit": 40.0, "stop_loss": 0.05}
    assert [found.timeframe_of(key) for key in added] == ["1h", "15m", "1h"]
    assert [each.key for each in found.set_aside] == ["bad", "bad+stop_loss_5"]


BAD = {
    "raises on import": ("x = 1 / 0", "importing bad:Rules raised ZeroDivisionError: division by zero"),
    "leaves the process": ("raise SystemExit(3)", "importing bad:Rules raised SystemExit: 3"),
    "lacks the class": ("", "importing bad:Rules raised AttributeError"),
    "no class of ours": ("class Rules: pass", "Rules is not a subclass of Algorithm"),
    "no class at all": ("Rules = 7", "it is of type int, no class or instance of Algorithm"),
    "wants arguments": (algorithm("bad", fields="limit: float"), "Rules() raised TypeError"),
    "lacks a rule": (
        algorithm("bad").replace("def exit", "def leave"),
        "Rules() raised TypeError: Can't instantiate abstract class",
    ),
    "not frozen": (algorithm("bad", decorator="@dataclass"), "Rules is no frozen dataclass"),
    "another key": (algorithm("other"), "the entry point is named 'bad', but the algorithm's key is 'other'"),
    "malformed key": (algorithm("Bad Key+"), "key 'Bad Key+' is not 1 to 40 of a-z, 0-9 and _"),
    "no name": (algorithm("bad", declared='name = " "'), "name ' ' is not a text"),
    "long name": (algorithm("bad", declared='name = "n" * 61'), "is longer than 60 characters"),
    "control character": (algorithm("bad", declared=r'name = "a\nb"'), r"name 'a\nb' is not a text"),
    "version": (algorithm("bad", declared="version = 3"), "version 3 is not a text"),
    "timeframe": (algorithm("bad", declared='timeframe = "2h"'), "timeframe '2h' is none of 1m, 5m"),
    "indicator": (algorithm("bad", indicators='("rsi14", "vwap3")'), "vwap3"),
    "indicators": (algorithm("bad", indicators='"rsi14"'), "indicators 'rsi14' is not a tuple of names"),
    "parameter": (algorithm("bad", fields='limit: str = "40"'), "parameter 'limit' is '40', not a finite"),
    "NaN": (algorithm("bad", fields='limit: float = float("nan")'), "parameter 'limit' is nan"),
}


@pytest.mark.parametrize(("source", "told"), BAD.values(), ids=BAD)
def test_what_can_not_be_run_is_set_aside_in_one_line_and_stops_nobody(source, told, site, caplog):
    install(site, "bad", source, {"bad": "bad:Rules"}, package="bad-package")
    install(site, "good", algorithm("dip"), {"dip": "good:Rules"})
    found = lineup()
    assert list(found.algorithms) == [*ALGORITHMS, "dip"]
    [(key, reason)] = found.set_aside
    assert key == "bad"
    assert reason.startswith("package bad-package: ")
    assert told in reason
    assert "\n" not in reason
    assert "algorithm can't be loaded" in caplog.text


def test_one_that_was_named_and_can_not_be_run_is_set_aside_while_others_run(site):
    install(site, "bad", "x = 1 / 0", {"bad": "bad:Rules"})
    found = lineup(algorithms="bad,golden_crossover")
    assert (list(found.algorithms), [each.key for each in found.set_aside]) == (["golden_crossover"], ["bad"])
    with pytest.raises(LineupError, match="no algorithm is left to run: package bad: importing"):
        lineup(algorithms="bad")


def test_a_published_key_stays_ours(site):
    install(site, "thief", algorithm("reversal_rsi"), {"reversal_rsi": "thief:Rules"})
    found = lineup()
    assert found.algorithms["reversal_rsi"] is ALGORITHMS["reversal_rsi"]
    assert [each.reason for each in found.set_aside] == [
        "package thief: the key reversal_rsi is that of a published algorithm"
    ]


def test_of_two_packages_with_one_key_neither_runs(site):
    install(site, "first", algorithm("dip"), {"dip": "first:Rules"})
    install(site, "second", algorithm("dip"), {"dip": "second:Rules"})
    found = lineup()
    assert "dip" not in found.algorithms
    assert {each.reason.split(": ", 1)[1] for each in found.set_aside} == {
        "the key dip is offered by first and second, and nobody can tell which one is meant"
    }
    with pytest.raises(registry.Unusable, match="first and second"):
        registry.entry_point_of("dip")


def test_replay_runs_installed_algorithms_and_names_those_it_leaves_out(site):
    (site / "in").mkdir()
    rows = "".join(f"{3600 * n},{p},{p},{p},{p},1\n" for n, p in enumerate(range(200, 140, -1)))
    (site / "in" / "AAA.csv").write_text("time,open,high,low,close,volume\n" + rows)
    install(site, "good_five", algorithm("dip"), {"dip": "good_five:Rules"})
    install(site, "bad", "x = 1 / 0", {"bad": "bad:Rules"})

    def replay(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "services.signals", "replay", str(site / "in"), *arguments],
            cwd=ROOT,
            env=environment() | {"PYTHONPATH": str(site)},
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )

    everything = replay()
    assert (everything.returncode, everything.stderr.count("\n")) == (0, 1)
    assert everything.stderr.startswith("bad is left out: package bad: importing bad:Rules raised")
    assert ",AAA,dip,BUY,BUY," in everything.stdout
    assert ",AAA,reversal_rsi," in everything.stdout or ",AAA,dollar_cost_averaging," in everything.stdout
    paired = replay("--algorithms", "dip+stop_loss_5")
    assert (paired.returncode, paired.stderr) == (0, "")
    assert ",AAA,dip+stop_loss_5,BUY,BUY," in paired.stdout
    refused = replay("--algorithms", "dip,bad")
    assert refused.returncode == 2
    assert "bad can't be run: package bad" in refused.stderr
