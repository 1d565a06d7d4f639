"""The real feed process, whose exchanges listen on this machine, to be killed."""

import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import ccxt.async_support as ccxt
from prometheus_client.metrics_core import Sample
from prometheus_client.parser import text_string_to_metric_families

from embedded.processes import LOOPBACK, free_port
from tests.signals.exchanges import quick
from tests.support.exchange_server import ExchangeServer, pointed
from tests.support.stack import ROOT


class FeedProcess:
    """`python -m services.signals feed` of some exchanges, with settings beside the usual ones."""

    def __init__(
        self, database_url: str, servers: Mapping[str, ExchangeServer], log: Path, **settings: str
    ) -> None:
        self._servers = servers
        self._log = log
        self._port = free_port()
        self._settings = {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "k" * 32,
            "IDENTITY_PUBLIC_KEYS": "{}",
            "FEED": f"ccxt:{','.join(servers)}",
            "HEALTH_PORT": str(self._port),
            "ENVIRONMENT": "test",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.signals.feed_process",
                    *(f"{name}={server.url}" for name, server in self._servers.items()),
                ],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, f"it ended by itself:\n{self._log.read_text()[-4000:]}"
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def count(self, event: str) -> int:
        """How often it has logged something, over all its lives."""
        return self._log.read_text().count(event)

    def has_taken(self, exchange: str, close: float) -> bool:
        """Whether it has got a candle of an exchange with this close, which is the newest."""
        with urlopen(f"http://{LOOPBACK}:{self._port}/metrics", timeout=10) as answer:
            told: str = answer.read().decode()
        newest = Sample("signals_feed_last_close_seconds", {"exchange": exchange}, close)
        return any(
            newest == each for family in text_string_to_metric_families(told) for each in family.samples
        )


def _at(exchange: type[Any], url: str) -> type[Any]:
    class Local(exchange):  # type: ignore[misc]
        def __init__(self, config: Mapping[str, Any]) -> None:
            super().__init__(config)
            quick(pointed(self, url))

    return Local


def main() -> None:
    """Be the feed process; arguments are `EXCHANGE=URL` for each."""
    for argument in sys.argv[1:]:
        name, _, url = argument.partition("=")
        setattr(ccxt, name, _at(getattr(ccxt, name), url))
    sys.argv[1:] = ["feed"]
    runpy.run_module("services.signals", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
