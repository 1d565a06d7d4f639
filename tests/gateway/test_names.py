"""Services that are found by name, as in containers."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.nginx import NginxServer
from embedded.processes import LOOPBACK, free_port
from tests.gateway.conftest import settings
from tests.support import wire
from tests.support.name_server import NameServer
from tests.support.upstreams import Auth, Upstream

OTHER_ADDRESS = "127.0.0.2"


@dataclass(frozen=True)
class Named:
    """A gateway that looks up the name of signals."""

    port: int
    names: NameServer
    signals: Upstream

    def answered_by(self) -> bytes:
        """What the dashboard's service says, or the gateway in its place."""
        return wire.request(self.port, "/dashboard", method="GET", headers=(), body=b"").body


@pytest.fixture
def named(server_dir: Path, site: Path) -> Iterator[Named]:
    auth = Auth()
    services = {name: Upstream(name) for name in ("billing", "signals", "notify", "live")} | {"auth": auth}
    port = free_port()
    with NameServer(LOOPBACK) as names:
        chosen = settings(services, site, port) | {
            "SIGNALS_UPSTREAM": f"signals.test:{services['signals'].port}",
            "RESOLVER": f"{LOOPBACK}:{names.port} valid=1s",
        }
        server = NginxServer.start(Path(tempfile.mkdtemp(prefix="named ", dir=server_dir)), chosen)
        yield Named(port, names, services["signals"])
        server.stop()
    for service in services.values():
        service.close()


def test_a_service_that_comes_back_with_another_address_is_found(named: Named) -> None:
    _until(lambda: b'"signals"' in named.answered_by())
    moved = Upstream("signals elsewhere", (OTHER_ADDRESS, named.signals.port))
    named.names.address = OTHER_ADDRESS
    _until(lambda: b"signals elsewhere" in named.answered_by())
    moved.close()


def test_a_name_server_that_is_away_is_not_noticed(named: Named) -> None:
    _until(lambda: b'"signals"' in named.answered_by())
    asked = named.names.asked
    _until(lambda: named.names.asked > asked)
    named.names.stop()
    # several times as long as an answer of the name server holds, and as NGINX waits for one
    away_until = time.monotonic() + 7
    pause = threading.Event()
    while time.monotonic() < away_until:
        assert b'"signals"' in named.answered_by()
        pause.wait(0.1)


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    pause = threading.Event()
    while not reached():
        assert time.monotonic() < deadline, "it did not come true in time"
        pause.wait(0.05)
