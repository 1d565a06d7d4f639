"""How far a long run is, on a terminal; nothing elsewhere."""

import time
from typing import IO

EVERY = 0.5
"""Seconds between two reports."""


class Progress:
    """One line that is written over, unless `terminal` is none."""

    def __init__(self, terminal: IO[str]) -> None:
        self._terminal = terminal if terminal.isatty() else None
        self._due = 0.0

    def say(self, line: str) -> None:
        """Show the line instead of the last one, unless that was shown just now."""
        if self._terminal is not None and time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY
            self._terminal.write(f"\r{line}")
            self._terminal.flush()

    def wipe(self) -> None:
        """Leave nothing of it."""
        if self._terminal is not None:
            self._terminal.write("\r\x1b[K")
