"""How benchmarks write down what they measured: a table under the date, the commit and the machine."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def run() -> str:
    """What a result belongs to: date, commit, Python, cores, and how busy they were with other work."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {commit or 'no commit'}, Python {platform.python_version()},"
        f" {os.cpu_count()} cores, load {load:.1f} at the start"
    )


def append(file: str, title: str, heading: str, parts: Sequence[str]) -> None:
    """Print the parts and append them to a file of the results, which begins with `title`."""
    text = "\n\n".join([f"\n## {heading}", *parts]) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / file
    if not path.exists():
        path.write_text(f"# {title}\n")
    with path.open("a") as results:
        results.write(text)
