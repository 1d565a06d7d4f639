"""A page of a browser at the live channel."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.notify.channels.live import LiveServer

ORIGIN = "http://127.0.0.1:8000"
PATIENCE = 15.0
Sign = Callable[..., str]


@dataclass
class Page:
    """What a page of a browser knows; it resumes with the last number as live.js does."""

    server: LiveServer
    token: str | None
    last: int | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)

    def open(self, *, since: int | str | None = "last", **options: Any) -> Any:
        since = self.last if since == "last" else since
        query = "" if since is None else f"?since={since}"
        headers = {} if self.token is None else {"X-Identity": self.token}
        return connect(
            f"ws://127.0.0.1:{self.server.port(5)}/ws/notifications{query}",
            origin=options.pop("origin", ORIGIN),
            additional_headers=headers | options.pop("headers", {}),
            proxy=None,
            max_size=None,
            **options,
        )

    async def receive(self, connection: ClientConnection) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(connection.recv(), PATIENCE))
        if message["type"] == "heartbeat":
            self.last = max(self.last or 0, message["n"])
        else:
            assert self.last is None or message["type"] == "snapshot" or message["n"] > self.last, "doubled"
            self.last = message["n"]
            self.messages.append(message)
        return message

    async def until(self, connection: ClientConnection, n: int) -> None:
        """Receive up to the number n."""
        while self.last is None or self.last < n:
            await self.receive(connection)

    async def until_beat(self, connection: ClientConnection) -> None:
        """Receive up to a heartbeat that has not been on its way yet."""
        for _ in range(3):
            while (await self.receive(connection))["type"] != "heartbeat":
                continue

    async def until_closed(self, connection: ClientConnection) -> int:
        """Receive all there is; returns the code that the server closes with."""
        with pytest.raises(ConnectionClosed) as closed:
            await self.until(connection, 2**63)
        assert closed.value.rcvd is not None
        return int(closed.value.rcvd.code)

    def tickers(self, kind: str = "views_changed") -> list[str]:
        return [
            each["ticker"]
            for message in self.messages
            if message["type"] == kind
            for each in message["data"].get("changes", [message["data"]])
        ]
