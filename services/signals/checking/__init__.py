"""`check-algorithm`: whether an algorithm is what the engine takes it for, a function of its frame alone.

Each algorithm is run in processes of its own, which see none of our settings. What is found there is told
as lines of (rule, where, what); `docs/custom-algorithms.md` says what can be found, and what can't.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared.settings import environment

PATIENCE = 60
"""Seconds that one algorithm may take; it needs about one."""

_PASSED_ON = ("PATH", "SYSTEMROOT", "TMPDIR")
_SEEDS = {"whole": "1", "again": "2"}
"""The parts of a check, and the hash seed with which each one's process starts."""


class Finding(NamedTuple):
    """A rule that an algorithm breaks, where, and what it does."""

    rule: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.where}: {self.what}"


@dataclass(frozen=True)
class Report:
    """What a check found. `unusable` says in one line why there was nothing to check.

    `candles`, `entries` and `exits` count the candles that were tried and where a rule held.
    """

    target: str
    unusable: str | None
    findings: tuple[Finding, ...]
    candles: int = 0
    entries: int = 0
    exits: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether there was something to check, and nothing was found."""
        return self.unusable is None and not self.findings


def check(targets: Sequence[str]) -> list[Report]:
    """Check algorithms, each by its key or as `module:Class`; the reports in the same order."""
    running = {part: _start(part, targets) for part in _SEEDS}
    told = {part: _results(process, len(targets)) for part, process in running.items()}
    return [
        _report(target, whole, again)
        for target, whole, again in zip(targets, told["whole"], told["again"], strict=True)
    ]


def _start(part: str, targets: Sequence[str]) -> "subprocess.Popen[str]":
    given = environment()
    return subprocess.Popen(  # noqa: S603 - our own module, with the names that we were asked about
        [sys.executable, "-m", "services.signals.checking.probe", part, str(PATIENCE), *targets],
        env={name: given[name] for name in _PASSED_ON if name in given}
        | {
            "PYTHONHASHSEED": _SEEDS[part],
            "PYTHONPATH": ":".join(sys.path),
            "PYTHONDONTWRITEBYTECODE": "1",
            # a process with the threads of a linear algebra library can't be forked without a warning
            "OPENBLAS_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _results(process: "subprocess.Popen[str]", count: int) -> list[dict[str, Any]]:
    out, _ = process.communicate()
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    if process.returncode or len(lines) != count:
        raise RuntimeError(f"the checking process ended with status {process.returncode}")
    return lines


def _report(target: str, whole: dict[str, Any], again: dict[str, Any]) -> Report:
    unusable = whole["unusable"] or again["unusable"]
    if unusable:
        return Report(target, unusable, ())
    findings = [Finding(*each) for each in whole["findings"]]
    findings += [each for each in (Finding(*row) for row in again["findings"]) if each not in findings]
    pairs = zip(whole["answers"], again["answers"], strict=False)
    differing = next((number for number, (a, b) in enumerate(pairs) if a != b), None)
    if differing is not None:
        what = "another process gives another answer for the same candles"
        findings.append(Finding("repaints", f"candle {differing + 1}", what))
    counts = {name: whole[name] for name in ("candles", "entries", "exits")}
    return Report(target, None, tuple(dict.fromkeys(findings)), **counts)
