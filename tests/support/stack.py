"""The whole product as in production: every process of its own, on RabbitMQ, behind the real NGINX."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from joserfc.jwk import KeySet, OKPKey

from embedded.nginx import NginxServer
from embedded.postgres import PostgresServer
from embedded.processes import LOOPBACK, free_port, stop
from shared.db import migrate

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("auth", "billing", "notify", "signals")
PROCESSES = (
    *(f"{service} {process}" for service in SERVICES for process in ("web", "worker")),
    "notify sender",
    "notify live",
    "signals feed",
    "signals runner",
)
STOP_SECONDS = 30


@dataclass
class Stack:
    """Started with ``with``; ``url`` is the address of the gateway."""

    folder: Path
    postgres: PostgresServer
    amqp_url: str
    redis_url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further settings of all processes, such as MAIL_URL, FEED and REPLAY_SPEED."""
    idle: tuple[str, ...] = ()
    """Processes that are not started with the others, such as ``signals feed``."""

    def __post_init__(self) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._ports = {name: free_port() for name in PROCESSES}
        self._live_port = free_port()
        self._suffix = secrets.token_hex(4)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._gateway: NginxServer | None = None
        key = OKPKey.generate_key("Ed25519", {"kid": "test"})
        self._common = {
            "AMQP_URL": self.amqp_url,
            "REDIS_URL": self.redis_url,
            "PUBLIC_URL": self.url,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "IDENTITY_PUBLIC_KEYS": json.dumps(KeySet([key]).as_dict(private=False)),
            "IDENTITY_PRIVATE_KEY": json.dumps(key.as_dict(private=True)),
            "ENVIRONMENT": "test",
            "LIVE_PORT": str(self._live_port),
            "LIVE_HOST": LOOPBACK,
            "MAIL_FROM": "Boritrader <noreply@boritrader.example>",
            "WEB_CONCURRENCY": "1",
            "STATIC_DIR": str(ROOT / "build" / "static"),
            **self.settings,
        }

    def __enter__(self) -> Self:
        try:
            for service in SERVICES:
                self.postgres.create_database(self.database(service))
                migrate.upgrade(service, self.database_url(service))
            for name in PROCESSES:
                if name not in self.idle:
                    self.start(name)
            for name in self._running:
                self.wait_ready(name)
            self._gateway = NginxServer.start(self.folder / "gateway", self._gateway_settings())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._gateway is not None:
            self._gateway.stop()
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            stop(process, signal.SIGTERM, seconds=STOP_SECONDS)

    def database(self, service: str) -> str:
        return f"{service}_{self._suffix}"

    def database_url(self, service: str) -> str:
        return self.postgres.url(self.database(service))

    def start(self, name: str) -> None:
        """Start one process, such as ``notify sender``."""
        service, process = name.split()
        port = str(self._ports[name])
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DATABASE_URL": self.database_url(service),
            "PORT": port,
            "HEALTH_PORT": port,
            **self._common,
        }
        if service != "auth":
            del environment["IDENTITY_PRIVATE_KEY"]
        with self.log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", f"services.{service}", process],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, name: str) -> None:
        """Ask a process to stop, as an operator does, and wait for its end."""
        stop(self._running[name], signal.SIGTERM, seconds=STOP_SECONDS)

    def kill(self, name: str) -> None:
        """Kill -9 a process and all of its workers."""
        process = self._running[name]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.log"

    def wait_ready(self, name: str, *, seconds: float = 60) -> None:
        """Wait until a process says it is ready. Raises AssertionError with its log when it doesn't."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while not self._is_ready(name):
            ended = self._running[name].poll() is not None
            assert not ended, f"{name} ended:\n{self.log(name).read_text()[-4000:]}"
            late = time.monotonic() > deadline
            assert not late, f"{name} is not ready after {seconds} s:\n{self.log(name).read_text()[-4000:]}"
            pause.wait(0.05)

    def _is_ready(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._ports[name]}/readyz", timeout=3) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def _gateway_settings(self) -> dict[str, str]:
        upstreams = {
            f"{service.upper()}_UPSTREAM": f"{LOOPBACK}:{self._ports[f'{service} web']}"
            for service in SERVICES
        }
        return {
            "PORT": str(self.port),
            "ALLOWED_HOSTS": LOOPBACK,
            "PUBLIC_URL": self.url,
            # the tests stand where a load balancer would, so that each person has an address of their own
            "TRUSTED_PROXIES": LOOPBACK,
            "LIVE_UPSTREAM": f"{LOOPBACK}:{self._live_port}",
            "STATIC_ROOT": str(ROOT / "build" / "static"),
            "SITE_ROOT": str(ROOT / "build" / "site"),
            **upstreams,
        }
