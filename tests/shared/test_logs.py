"""Logs are JSON lines with the cause's id and without secrets, and never in the way."""

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from shared import logs

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, *arguments: str) -> list[dict[str, Any]]:
    """Run a program in a process of its own, since logging is configured once per process; its lines."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def _timeless(line: dict[str, Any]) -> dict[str, Any]:
    """The line without its time, which each destination stamps for itself."""
    return {name: value for name, value in line.items() if name != "timestamp"}


def test_lines_are_json_with_process_time_and_cause() -> None:
    [first, second] = run(
        "import logging\n"
        "from shared import logs\n"
        "logs.configure('auth-worker')\n"
        "with logs.correlated('cause-1'):\n"
        "    logs.logger('a.b').warning('it happened', count=3)\n"
        "logging.getLogger('library').error('said %s', 'this')\n"
    )
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "it happened",
        "count": 3,
        "level": "warning",
        "logger": "a.b",
        "process": "auth-worker",
        "correlation_id": "cause-1",
    }
    assert (second["event"], second["level"], second["logger"]) == ("said this", "error", "library")
    assert "correlation_id" not in second


def test_secrets_do_not_get_into_a_line() -> None:
    lines = run(
        "from shared import logs\n"
        "logs.configure('p')\n"
        "log = logs.logger('x')\n"
        "log.info('to postgresql://u:hunter2@db/x', password='hunter2', nested={'api_key': 'hunter2'},"
        "         header='Bearer hunter2', items=['https://a:hunter2@b/'])\n"
        "try:\n"
        "    raise ValueError('amqp://u:hunter2@host')\n"
        "except ValueError:\n"
        "    log.exception('failed')\n"
    )
    assert len(lines) == 2
    assert "hunter2" not in json.dumps(lines)
    assert "ValueError" in lines[1]["exception"]


def test_a_line_break_in_a_value_stays_in_its_line() -> None:
    [line] = run(
        "from shared import logs\nlogs.configure('p')\nlogs.logger('x').info('a\\nb', name='\\x1b\\r\\n')\n"
    )
    assert line["event"] == "a\nb"


def test_the_file_of_the_process_has_the_same_lines(tmp_path: Path) -> None:
    lines = run(
        "import sys, pathlib\n"
        "from shared import logs\n"
        "logs.configure('auth-web-1', pathlib.Path(sys.argv[1]))\n"
        "for n in range(100): logs.logger('x').info('line', n=n)\n",
        str(tmp_path / "logs"),
    )
    written = (tmp_path / "logs" / "auth-web-1.log").read_text().splitlines()
    assert [_timeless(json.loads(line)) for line in written] == [_timeless(line) for line in lines]
    assert [line["n"] for line in lines] == list(range(100))


def test_a_full_disk_costs_the_file_only(tmp_path: Path) -> None:
    lines = run(
        "import resource, signal, sys, pathlib\n"
        "from shared import logs\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "logs.configure('p', pathlib.Path(sys.argv[1]))\n"
        "for n in range(200): logs.logger('x').info('line', n=n)\n",
        str(tmp_path),
    )
    assert [line["n"] for line in lines] == list(range(200))
    assert (tmp_path / "p.log").stat().st_size <= 2000


def test_a_folder_that_cannot_be_made_is_told_and_survived(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    lines = run(
        "import sys, pathlib\n"
        "from shared import logs\n"
        "logs.configure('p', pathlib.Path(sys.argv[1]))\n"
        "logs.logger('x').info('still here')\n",
        str(tmp_path / "taken" / "logs"),
    )
    assert [line["level"] for line in lines] == ["critical", "info"]


def test_a_cause_belongs_to_its_thread() -> None:
    seen: list[str] = []
    with logs.correlated("mine"):
        thread = threading.Thread(target=lambda: seen.append(logs.correlation_id()))
        thread.start()
        thread.join()
        assert logs.correlation_id() == "mine"
    assert seen != ["mine"]
    assert logs.correlation_id() != logs.correlation_id()


@pytest.mark.parametrize(
    "name", ["password", "new_passphrase", "SECRET_KEY", "Authorization", "set-cookie", "otp"]
)
def test_values_under_telling_names_are_scrubbed(name: str) -> None:
    assert logs.scrub(logging.getLogger(), "info", {name: "x", "event": "y"}) == {
        name: logs.SCRUBBED,
        "event": "y",
    }
