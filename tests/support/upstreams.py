"""Small services that stand behind the real gateway and say what reached them."""

import json
import threading
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from embedded.processes import LOOPBACK


@dataclass(frozen=True)
class Seen:
    """A request as it came over the wire to a service."""

    service: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Upstream:
    """One service on a port of its own; it answers with JSON, WebSocket handshakes with 101 and an echo."""

    def __init__(self, name: str, address: tuple[str, int] = (LOOPBACK, 0)) -> None:
        self.name = name
        self.seen: list[Seen] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen = Seen(upstream.name, self.command, self.path, tuple(self.headers.items()), body)
                upstream.seen.append(seen)
                upstream.respond(self, seen)

            do_GET = do_HEAD = do_POST = _answer  # noqa: N815 - the library finds them by name
            do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.address = f"{address[0]}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def respond(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        if seen.values("Upgrade") == ["websocket"]:
            handler.send_response(101)
            handler.send_header("Upgrade", "websocket")
            handler.send_header("Connection", "Upgrade")
            handler.end_headers()
            handler.wfile.write(handler.rfile.readline())
            handler.close_connection = True
            return
        answer(handler, 200, {"service": self.name, "path": seen.path})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Auth(Upstream):
    """Auth: knows who a cookie belongs to, and counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__("auth")
        self.identities: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.broken = False

    def respond(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        if seen.path != "/internal/identity":
            return super().respond(handler, seen)
        credential = " ".join(seen.values("Cookie") + seen.values("Authorization"))
        self.asked[credential] += 1
        identity = self.identities.get(credential)
        headers = {"X-Identity": identity} if identity else {}
        answer(handler, 500 if self.broken else 200, {}, {**headers, "Cache-Control": "no-store"})
        return None


def answer(
    handler: BaseHTTPRequestHandler, status: int, content: Any, headers: dict[str, str] | None = None
) -> None:
    body = json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
