"""The real NGINX with its real configuration, in front of services that say what reached them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedded.nginx import GATEWAY, NginxServer
from embedded.processes import LOOPBACK, free_port
from gateway.build_site import build
from tests.support import wire
from tests.support.upstreams import Auth, Upstream
from tests.support.wire import Answer

STATIC_NAMES = ("shared/app.css", "shared/theme.js", "shared/site.js", "shared/mark.svg")


@dataclass(frozen=True)
class Gateway:
    """`services` by name, auth and live among them; `folder` holds its logs."""

    port: int
    services: dict[str, Upstream]
    auth: Auth
    folder: Path

    def request(
        self, target: str, *headers: tuple[str, str], method: str = "GET", body: bytes = b""
    ) -> Answer:
        return wire.request(self.port, target, method=method, headers=headers, body=body)

    def seen(self) -> list[tuple[str, str]]:
        """(service, path) of all that reached a service, but for the identity questions."""
        return [
            (seen.service, seen.path)
            for service in self.services.values()
            for seen in service.seen
            if seen.path != "/internal/identity"
        ]


def settings(services: dict[str, Upstream], folder: Path, port: int) -> dict[str, str]:
    return {
        "PORT": str(port),
        "PUBLIC_URL": f"http://{LOOPBACK}:{port}",
        **{f"{name.upper()}_UPSTREAM": service.address for name, service in services.items()},
        "SITE_ROOT": str(folder / "site"),
        "STATIC_ROOT": str(folder / "static"),
        "ROUTES_DIR": str(folder / "routes"),
        "REQUESTS_PER_SECOND": "1000",
        "LOGINS_PER_MINUTE": "60",
        "CONNECTIONS_PER_ADDRESS": "1000",
    }


def write_site(folder: Path) -> None:
    """A small stand-in of the static build with the real site."""
    static = folder / "static"
    manifest = {"licenses.txt": "licenses.txt"}
    for name in STATIC_NAMES:
        stem, _, extension = name.rpartition(".")
        manifest[name] = f"{stem}-ABCDEF12.{extension}"
    for name, hashed in manifest.items():
        path = static / hashed
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"/* {name} */\n" * 200)
    (static / "manifest.json").write_text(json.dumps(manifest))
    build(static, folder / "site")


@pytest.fixture(scope="session")
def site(server_dir: Path) -> Path:
    folder = server_dir / "built site"
    write_site(folder)
    (folder / "routes").symlink_to(GATEWAY)
    return folder


@pytest.fixture(scope="session")
def started_gateway(server_dir: Path, site: Path) -> Iterator[Gateway]:
    auth = Auth()
    services = {name: Upstream(name) for name in ("billing", "signals", "notify", "live")} | {"auth": auth}
    port = free_port()
    server = NginxServer.start(server_dir / "nginx run", settings(services, site, port))
    yield Gateway(port, services, auth, server_dir / "nginx run")
    server.stop()
    for service in services.values():
        service.close()


@pytest.fixture
def gateway(started_gateway: Gateway) -> Gateway:
    """The gateway; its services have seen nothing yet."""
    for service in started_gateway.services.values():
        service.seen.clear()
    started_gateway.auth.asked.clear()
    started_gateway.auth.identities.clear()
    started_gateway.auth.broken = False
    return started_gateway
