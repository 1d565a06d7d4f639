"""HTTP byte by byte, since clients repair what attackers send."""

import socket
from dataclasses import dataclass

from embedded.processes import LOOPBACK


@dataclass(frozen=True)
class Answer:
    """An answer; `status` is 0 when the connection was closed without one."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


def exchange(port: int, request: bytes, *, seconds: float = 10) -> Answer:
    """Send bytes, read one answer: until its Content-Length is there, or the server closes."""
    received = b""
    with socket.create_connection((LOOPBACK, port), timeout=seconds) as connection:
        try:
            connection.sendall(request)
            while not _is_complete(received) and (chunk := connection.recv(65536)):
                received += chunk
        except ConnectionError:
            pass
    return parse(received)


def _is_complete(received: bytes) -> bool:
    answer = parse(received) if b"\r\n\r\n" in received else None
    length = answer and answer.header("Content-Length")
    return answer is not None and length is not None and len(answer.body) >= int(length)


def parse(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, (), b"")
    lines = head.decode("latin-1").split("\r\n")
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:]))
    return Answer(int(lines[0].split()[1]), headers, body)


def request(
    port: int,
    target: str,
    *,
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
) -> Answer:
    """One request with exactly these headers beside Host and Connection; a Host of one's own wins."""
    given = {name.lower() for name, _ in headers}
    lines = [f"{method} {target} HTTP/1.1", "Connection: close"]
    lines += [] if "host" in given else [f"Host: 127.0.0.1:{port}"]
    lines += [f"Content-Length: {len(body)}"] if body and "content-length" not in given else []
    lines += [f"{name}: {value}" for name, value in headers]
    return exchange(port, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
