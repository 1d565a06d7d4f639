"""A RabbitMQ node of a test's own: own name, ports, cookie, folder and epmd; nothing is left behind."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pika
from pika.exceptions import AMQPError

from embedded.processes import LOOPBACK, accepts_connections, free_port
from shared.settings import environment

HOMES = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/homebrew/sbin"), Path("/usr/local/sbin"))
"""Where the plain scripts are; Debian's wrapper in /usr/sbin insists on its own user and folders."""
START_SECONDS = 60
STOP_SECONDS = 20
VHOSTS_AT_ONCE = 16


class RabbitMissingError(Exception):
    """There is no RabbitMQ on this machine."""


class RabbitServer:
    """A node on loopback ports, which can be stopped, killed, frozen and started again with its data."""

    def __init__(self) -> None:
        self._scripts = _scripts()
        self._folder = Path(tempfile.mkdtemp(prefix="boritrader-rabbit-"))
        self.port = free_port()
        self._epmd_port = free_port()
        self._node = f"test-{secrets.token_hex(4)}@localhost"
        self._environment = self._describe(free_port())
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._unused_vhosts: list[str] = []
        self._vhosts = 0

    def __enter__(self) -> Self:
        try:
            self._start_epmd()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address of the default virtual host."""
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/%2F"

    def new_vhost(self) -> str:
        """The address of a virtual host that nobody has used."""
        if not self._unused_vhosts:
            numbers = range(self._vhosts + 1, self._vhosts + VHOSTS_AT_ONCE + 1)
            self._vhosts += VHOSTS_AT_ONCE
            self._unused_vhosts = [f"v{number}" for number in numbers]
            # one call for many, since each start of the command takes seconds
            names = ",".join(f'<<"{name}">>' for name in self._unused_vhosts)
            self.control(
                "eval",
                f'[begin rabbit_vhost:add(V, <<"test">>), rabbit_auth_backend_internal:set_permissions('
                f'<<"guest">>, V, <<".*">>, <<".*">>, <<".*">>, <<"test">>) end || V <- [{names}]].',
            )
        return f"amqp://guest:guest@{LOOPBACK}:{self.port}/{self._unused_vhosts.pop(0)}"

    def control(self, *arguments: str) -> str:
        """Run rabbitmqctl on the node; what it prints."""
        done = subprocess.run(
            [self._scripts / "rabbitmqctl", "--quiet", "--node", self._node, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"rabbitmqctl {arguments[0]}: {done.stderr or done.stdout}"
        return done.stdout

    def start(self) -> None:
        """Start the node, with what it had before; returns when it takes connections."""
        with (self._folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._scripts / "rabbitmq-server"],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        pause = threading.Event()
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                tail = (self._folder / "server.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"RabbitMQ does not start:\n{tail}")
            pause.wait(0.1)

    def stop(self) -> None:
        """Stop the node orderly."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """The node keeps its connections and does nothing more (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen node go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End node and epmd, remove the folder."""
        if self._server is not None:
            self._signal(signal.SIGCONT)
        self._end(signal.SIGKILL)
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
        shutil.rmtree(self._folder)

    def _describe(self, distribution_port: int) -> dict[str, str]:
        (self._folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {LOOPBACK}:{self.port}\n")
        (self._folder / "env.conf").touch()
        (self._folder / "enabled_plugins").write_text("[].\n")
        folder = str(self._folder)
        return {
            "PATH": environment().get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": folder,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_ALLOW_INPUT": "1",  # the script then becomes the node instead of waiting for it
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/env.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{folder}/config",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-noinput +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
                " -kernel inet_dist_use_interface {127,0,0,1} -proto_dist inet_tcp"
            ),
        }

    def _start_epmd(self) -> None:
        program = shutil.which("epmd")
        if program is None:
            raise RabbitMissingError("epmd is missing: install the package rabbitmq-server")
        self._epmd = subprocess.Popen(
            [program, "-port", str(self._epmd_port), "-address", LOOPBACK],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_SECONDS
        pause = threading.Event()
        while not accepts_connections(self._epmd_port):
            assert self._epmd.poll() is None, "epmd ended"
            assert time.monotonic() < deadline, "epmd does not listen"
            pause.wait(0.02)

    def _answers(self) -> bool:
        if not accepts_connections(self.port):
            return False
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except AMQPError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._server is not None and self._server.poll() is None:
            os.killpg(self._server.pid, number)

    def _end(self, how: signal.Signals) -> None:
        if self._server is None:
            return
        self._signal(how)
        try:
            self._server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._server.wait()
        self._server = None


def _scripts() -> Path:
    for home in HOMES:
        if (home / "rabbitmq-server").exists():
            return home
    raise RabbitMissingError("RabbitMQ is missing: install the package rabbitmq-server")
