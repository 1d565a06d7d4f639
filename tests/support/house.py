"""The embedded default as `make run` starts it: one process of a person's own, asked to stop as by Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from embedded.processes import LOOPBACK, free_port, stop
from tests.support.stack import ROOT

START_SECONDS = 60
STOP_SECONDS = 30


class EmbeddedHouse:
    """Started with ``with``; ``url`` is its address, ``said`` is what the terminal shows."""

    def __init__(
        self, data_dir: Path, settings: Mapping[str, str] | None = None, *, port: int | None = None
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._settings = settings or {}
        self._output = data_dir.with_suffix(".out")

    @property
    def said(self) -> str:
        return self._output.read_text()

    def __enter__(self) -> Self:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.data_dir.parent),
            "PORT": str(self.port),
            "DATA_DIR": str(self.data_dir),
            **self._settings,
        }
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "embedded"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        pause = threading.Event()
        while f"runs at {self.url}" not in self.said:
            failed = self.process.poll() is not None or time.monotonic() > deadline
            if failed:
                self.__exit__()
            assert not failed, self.said
            pause.wait(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        stop(self.process, signal.SIGINT, seconds=STOP_SECONDS)
