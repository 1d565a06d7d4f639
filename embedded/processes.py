"""What the launchers of PostgreSQL, Valkey and NGINX share: ports, folder locks, starting, stopping."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.02
CLEAN_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "HOME": "/"}
"""Of the servers: nothing of the caller's, such as PGOPTIONS, may change what they do."""


class StartError(Exception):
    """A server or the program can't start; the text is one line for the person at the terminal."""


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on, and that stays ours for a minute.

    A connection that ends on it lingers there (TIME_WAIT). So long the kernel gives the port to nobody who
    asks for any, a second call of this function among them; a server that names it gets it.
    """
    with socket.create_server((LOOPBACK, 0)) as probe:
        address = probe.getsockname()
        with socket.create_connection(address):
            # the side that closes first is the one that lingers
            probe.accept()[0].close()
    return int(address[1])


def port_is_free(port: int, address: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port now; a socket that only lingers (TIME_WAIT) doesn't count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def require_free(port: int, address: str = LOOPBACK) -> None:
    """Raise StartError when another program has the port."""
    if not port_is_free(port, address):
        raise StartError(f"port {port} is taken by another program; choose one with PORT=…")


class FolderLock:
    """Exclusive use of a folder by one launcher; the kernel ends it with the launcher, however that dies."""

    def __init__(self, folder: Path) -> None:
        """Make the folder (mode 0700) and lock it.

        Raises:
            StartError: the folder can't be made or written, or another launcher uses it.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file: IO[str] = (folder / "lock").open("a+")
        except OSError as error:
            raise StartError(f"the folder {folder} can't be used: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise StartError(
                f"the folder {folder} is in use by another running instance (process {holder})"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        """Let another launcher have the folder."""
        self._file.close()


def command_line(pid: int) -> str:
    """The command line of a living process with blanks between its words; empty when there is none."""
    try:
        if Path("/proc/self/cmdline").exists():
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        listed = subprocess.run(
            ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return listed.stdout


def read_pid(pid_file: Path) -> int | None:
    """The process number in the first line of the file; None when there is no such file or number."""
    try:
        return int(pid_file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def stop_leftover(pid_file: Path, *, marker: str, how: signal.Signals, seconds: float = 20) -> None:
    """End the server that a killed launcher left behind, if its process number still belongs to it.

    `marker` is a text that only our own server has on its command line, since numbers are reused.
    """
    pid = read_pid(pid_file)
    if pid is None or marker not in command_line(pid):
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
    deadline = time.monotonic() + seconds
    while marker in command_line(pid):
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # it isn't our child, so there is nothing to wait on
        time.sleep(POLL_SECONDS)


def launch(argv: list[str], *, log: Path, cwd: Path) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, so that Ctrl-C in the terminal reaches only us.

    Its output goes to the end of `log`.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=CLEAN_ENVIRONMENT,
            start_new_session=True,
        )


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], *, log: Path, seconds: float = 30
) -> None:
    """Wait for a started server.

    Raises:
        StartError: it ended or wasn't ready in time; with the last line of its log. It is ended then.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not ready():
        if process.poll() is not None:
            raise StartError(last_line(log) or f"it ended with status {process.returncode}")
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise StartError(f"not ready within {seconds:.0f} s: {last_line(log)}")
        pause.wait(POLL_SECONDS)


def stop(process: subprocess.Popen[bytes], how: signal.Signals, *, seconds: float = 10) -> None:
    """Ask our child to stop, wait for it, and kill it when it doesn't."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def accepts_connections(port: int) -> bool:
    """Whether something listens on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def last_line(log: Path) -> str:
    """The last line of a log file that isn't blank; empty when there is none."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1] if lines else ""
