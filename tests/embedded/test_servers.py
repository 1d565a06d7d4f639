"""The launchers of PostgreSQL, Valkey and NGINX."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import make_url

from embedded import unprivileged
from embedded.nginx import NginxServer, derive, render
from embedded.postgres import PostgresServer
from embedded.processes import FolderLock, StartError, command_line, free_port, port_is_free
from embedded.valkey import ValkeyServer
from tests.gateway.conftest import write_site

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def private(server_dir: Path) -> Iterator[Path]:
    """A folder, with a blank in its name, below one that only we may enter, as in somebody's home folder."""
    outer = Path(tempfile.mkdtemp(prefix="private ", dir=server_dir))
    (outer / "in ner").mkdir(parents=True)
    outer.chmod(0o700)
    yield outer / "in ner"
    assert stat.S_IMODE(outer.stat().st_mode) == 0o700
    assert outer.stat().st_uid == os.geteuid()


def connect(server: PostgresServer, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
    url = make_url(server.url(database)).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)


def test_postgres_keeps_its_data_over_a_restart(private: Path) -> None:
    first = PostgresServer.start(private / "pg", durable=False)
    first.create_database("auth")
    first.create_database("auth")
    with connect(first, "auth") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 17 AS n")
    first.stop()
    second = PostgresServer.start(private / "pg", durable=False)
    try:
        with connect(second, "auth") as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(17,)]
    finally:
        second.stop()


def test_postgres_is_safe_against_a_power_cut_unless_a_test_gives_that_up(private: Path) -> None:
    for durable, expected in ((True, "on"), (False, "off")):
        server = PostgresServer.start(private / f"pg-{durable}", durable=durable)
        try:
            with connect(server) as connection:
                assert connection.execute("SHOW fsync").fetchone() == (expected,)
        finally:
            server.stop()


def test_services_are_no_superusers_and_need_the_password(postgres: PostgresServer) -> None:
    with connect(postgres) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    assert row == (False,)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(
            host="127.0.0.1", port=postgres.port, user="postgres", password="x", dbname="postgres"
        )


def test_a_second_instance_on_the_same_folder_is_refused(private: Path) -> None:
    server = ValkeyServer.start(private / "valkey")
    try:
        with pytest.raises(StartError, match=f"in use by another running instance .process {os.getpid()}"):
            ValkeyServer.start(private / "valkey")
        assert redis.Redis.from_url(server.url).ping()
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")
def test_servers_of_root_run_as_somebody_else(postgres: PostgresServer, valkey: ValkeyServer) -> None:
    for pid in (postgres.pid, valkey.pid):
        status = Path(f"/proc/{pid}/status").read_text()
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        assert "0" not in uids


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")
def test_a_server_that_can_reach_its_files_keeps_no_capability(valkey: ValkeyServer) -> None:
    status = Path(f"/proc/{valkey.pid}/status").read_text().splitlines()
    effective = next(line for line in status if line.startswith("CapEff:")).split()[1]
    assert int(effective, 16) in (0, 1 << 2)  # CAP_DAC_READ_SEARCH where the checkout is private


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")
def test_programs_in_a_private_folder_are_found_and_nothing_else_may_be_done(private: Path) -> None:
    program = private / "program"
    program.write_text('#!/bin/sh\n[ -x "$0" ] && id -u && grep CapEff /proc/self/status && touch beside')
    program.chmod(0o755)
    argv = unprivileged.command([str(program)], reach=[program, private], like=private)
    assert argv[-1] == str(program)
    ran = subprocess.run(argv, cwd=private, capture_output=True, text=True, check=False)
    uid, capabilities = ran.stdout.split("\n")[:2]
    assert uid != "0"
    assert capabilities.split() == ["CapEff:", f"{1 << 2:016x}"]
    assert "Permission denied" in ran.stderr, "it may read, not write"


def test_the_servers_of_a_killed_launcher_are_ended_by_the_next(private: Path) -> None:
    launcher = (
        "import os, sys, time; from pathlib import Path\n"
        "from embedded.postgres import PostgresServer; from embedded.valkey import ValkeyServer\n"
        "folder = Path(sys.argv[1])\n"
        "postgres = PostgresServer.start(folder / 'pg', durable=False)\n"
        "servers = postgres, ValkeyServer.start(folder / 'valkey')\n"
        "print(*[server.pid for server in servers], flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", launcher, str(private)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
    assert all(str(private) in command_line(pid) for pid in pids)
    postgres = PostgresServer.start(private / "pg", durable=False)
    valkey = ValkeyServer.start(private / "valkey")
    try:
        assert [pid for pid in pids if str(private) in command_line(pid)] == []
        with connect(postgres) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        valkey.stop()
        postgres.stop()


def test_postgres_comes_back_after_an_immediate_stop_on_the_same_port(private: Path) -> None:
    server = PostgresServer.start(private / "pg", durable=False)
    server.stop(immediate=True)
    again = PostgresServer.start(private / "pg", port=server.port, durable=False)
    try:
        assert again.url("x") == server.url("x")
    finally:
        again.stop()


def test_a_broken_cluster_is_one_line(private: Path) -> None:
    server = PostgresServer.start(private / "pg", durable=False)
    server.stop()
    (private / "pg" / "cluster" / "global" / "pg_control").write_bytes(b"broken")
    with pytest.raises(StartError, match=r"PostgreSQL can't start in .*pg: ") as caught:
        PostgresServer.start(private / "pg", durable=False)
    assert "\n" not in str(caught.value)


def test_a_folder_with_other_files_is_not_taken_for_a_cluster(private: Path) -> None:
    (private / "pg" / "cluster").mkdir(parents=True)
    (private / "pg" / "cluster" / "letters.txt").write_text("mine")
    with pytest.raises(StartError, match="holds files but no database"):
        PostgresServer.start(private / "pg")
    assert (private / "pg" / "cluster" / "letters.txt").read_text() == "mine"


def test_a_folder_that_can_not_be_made_is_one_line(private: Path) -> None:
    (private / "file").write_text("")
    with pytest.raises(StartError, match="can't be used: "):
        FolderLock(private / "file" / "below")


def test_a_free_port_is_given_to_nobody_else_and_taken_by_who_names_it() -> None:
    ports = {free_port() for _ in range(500)}
    assert len(ports) == 500
    for port in ports:
        assert port_is_free(port)
        socket.create_server(("127.0.0.1", port)).close()


def test_nginx_says_which_port_is_taken(private: Path) -> None:
    write_site(private / "built")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} is taken"):
            NginxServer.start(private / "nginx", {"PORT": str(port)})


def test_nginx_serves_from_a_private_checkout_and_lets_go_of_its_port(private: Path) -> None:
    write_site(private / "built")
    port = free_port()
    upstreams = {
        f"{name}_UPSTREAM": "127.0.0.1:9" for name in ("AUTH", "BILLING", "NOTIFY", "SIGNALS", "LIVE")
    }
    server = NginxServer.start(
        private / "nginx",
        {
            "PORT": str(port),
            "SITE_ROOT": str(private / "built" / "site"),
            "STATIC_ROOT": str(private / "built" / "static"),
            **upstreams,
        },
    )
    from tests.support import wire

    try:
        assert wire.request(port, "/robots.txt").status == 200
        assert wire.request(port, "/").status == 200
    finally:
        server.stop()
    assert port_is_free(port)
    assert command_line(server.pid) == ""


def test_a_refused_configuration_is_one_line_and_leaves_nothing(private: Path) -> None:
    with pytest.raises(StartError, match=r"NGINX can't start: .*invalid rate") as caught:
        NginxServer.start(
            private / "nginx",
            {
                "PORT": str(free_port()),
                "SITE_ROOT": str(private),
                "STATIC_ROOT": str(private),
                "REQUESTS_PER_SECOND": "0",
            },
        )
    assert "\n" not in str(caught.value)


def test_a_template_with_an_unknown_variable_is_refused() -> None:
    derived = derive({"TEMP_DIR": "/tmp"})
    assert render("listen ${GW_LISTEN} $uri", derived).endswith("$uri")
    with pytest.raises(KeyError, match="GW_NONE"):
        render("${GW_NONE}", derived)


def test_a_number_that_another_process_has_now_is_left_alone(private: Path) -> None:
    (private / "valkey").mkdir()
    (private / "valkey" / "valkey.pid").write_text(str(os.getpid()))
    former = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("we were told to stop"))
    try:
        ValkeyServer.start(private / "valkey").stop()
    finally:
        signal.signal(signal.SIGTERM, former)
