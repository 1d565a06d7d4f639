"""Packages of algorithms as an installer leaves them: a module, and metadata that names entry points."""

from collections.abc import Mapping
from pathlib import Path

HEAD = """\
from dataclasses import dataclass

import numpy as np

from services.signals.algorithms.base import Algorithm, Rule, above, all_of, below
"""


def algorithm(
    key: str,
    *,
    before: str = "",
    declared: str = "",
    fields: str = "limit: float = 40.0",
    entry: str = 'return all_of(below(frame, "rsi14", self.limit))',
    exit_: str = 'return all_of(above(frame, "rsi14", 60.0))',
    indicators: str = '("rsi14",)',
    decorator: str = "@dataclass(frozen=True)",
) -> str:
    """The source of a module with one algorithm, the class `Rules`; some of it may be said otherwise."""
    return f"""{HEAD}
{before}

{decorator}
class Rules(Algorithm):
    key = {key!r}
    name = "The {key}"
    version = "3"
    timeframe = "1h"
    indicators = {indicators}
    {_indented(declared, 4)}
    {fields}

    def entry(self, frame):
        {_indented(entry, 8)}

    def exit(self, frame):
        {_indented(exit_, 8)}
"""


def install(folder: Path, module: str, source: str, offers: Mapping[str, str], package: str = "") -> None:
    """Put a module into a folder, with entry points by name."""
    package = package or module.replace("_", "-")
    (folder / f"{module}.py").write_text(source)
    metadata = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in offers.items())
    (metadata / "entry_points.txt").write_text(f"[boritrader.algorithms]\n{lines}")


def _indented(text: str, columns: int) -> str:
    return text.replace("\n", "\n" + " " * columns)
