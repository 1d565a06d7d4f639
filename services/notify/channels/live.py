"""The WebSocket server of the live channel: every message to everybody it concerns, none twice, none missing.

The table is the truth. The server remembers the last number it has sent out; whenever it is woken, and every
second anyway, it reads what came after and hands it on. A browser first catches up from the table by itself
and is joined to the others under the lock that the hand-out holds, so nothing falls between the two.
"""

import asyncio
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from prometheus_client import Counter, Gauge
from sqlalchemy.exc import SQLAlchemyError
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from services.notify.channels.live_admission import DROPPED, Admission
from services.notify.channels.live_frames import alert_frame, frame, snapshot_frame
from services.notify.repository import deliveries, live_log
from services.notify.repository.live_log import Message, Snapshot
from shared.db.engine import Database
from shared.logs import logger
from shared.process import Beat
from shared.web.identity import Identity

HEARTBEAT_SECONDS = 20.0
POLL_SECONDS = 1.0
PING_SECONDS = 20
CLOSE_SECONDS = 3
MAX_INCOMING_BYTES = 1024
BATCH = 500
FARTHEST_BEHIND = 10_000
"""How many numbers a browser may have missed and still get one by one; beyond, the board is shorter."""
UNREAD_BYTES = 64 * 1024
"""What may wait for one browser for long; a burst may be more for a moment."""
UNREAD_SECONDS = 10.0
MAX_UNREAD_BYTES = 1024 * 1024
"""What may wait for one browser at all. Who is too slow is closed, and resumes when it can."""
CATCH_UP_SECONDS = 30
MAX_AGE_SECONDS = 600.0
"""How long a connection lives at most: then its page connects anew, and the gateway asks who it is."""
_READERS = 4

CLIENTS = Gauge("notify_live_clients", "Browsers that are joined to the live channel.")
MESSAGES = Counter("notify_live_messages", "Messages handed out, each counted once.", ["type"])
log = logger(__name__)

T = TypeVar("T")


class Client:
    """A browser's connection, which lives until ``ends_at`` at most, in monotonic time.

    ``n`` is the number up to which it had everything when it was joined.
    """

    __slots__ = ("_behind_since", "ends_at", "n", "session_id", "socket", "user_id")

    def __init__(self, socket: ServerConnection, identity: Identity, ends_at: float) -> None:
        self.socket = socket
        self.user_id = identity.user_id
        self.session_id = identity.session_id
        self.ends_at = ends_at
        self.n = 0
        self._behind_since: float | None = None

    def is_slow(self, now: float) -> bool:
        """Whether too much waits for this browser, or much for too long; asked before each message."""
        transport: asyncio.Transport = self.socket.transport
        unread = transport.get_write_buffer_size()
        if unread <= UNREAD_BYTES:
            self._behind_since = None
            return False
        if self._behind_since is None:
            self._behind_since = now
        return unread > MAX_UNREAD_BYTES or now - self._behind_since > UNREAD_SECONDS


class LiveServer:
    """The loop that serves the live channel.

    Refuses by HTTP a foreign or missing Origin (403), another path (404), a number that is none (400) and too
    many connections of a person or an address (429); closes with 1008 who has no valid identity, whose
    session has ended, and at the latest after ``max_age_seconds``; with 1013 who reads too slowly, with 1003
    who talks, with 1001 when it stops.
    """

    name = "live-server"

    def __init__(
        self,
        database: Database,
        admission: Admission,
        *,
        host: str,
        port: int,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        max_age_seconds: float = MAX_AGE_SECONDS,
    ) -> None:
        self._database = database
        self._admission = admission
        self._host, self._wanted_port = host, port
        self._heartbeat, self._poll, self._max_age = heartbeat_seconds, poll_seconds, max_age_seconds
        self._listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._port = 0

    def port(self, timeout: float) -> int:
        """The port that is listened on, once it is. Raises TimeoutError."""
        if not self._listening.wait(timeout):
            raise TimeoutError("the live server does not listen")
        return self._port

    def wake(self) -> None:
        """There is something new in the log; may be called from any thread, at any time."""
        self._call_soon(lambda: self._news.set())  # noqa: PLW0108 - each start has another one

    def end_sessions(self, session_ids: Collection[str]) -> None:
        """Close what these sessions have open, and let them in no more; from any thread, at any time."""
        self._call_soon(partial(self._end_sessions, session_ids))

    def _call_soon(self, work: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            # A server that has just stopped has no browsers, and the next one reads the table anyway.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(work)

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Serve until ``stop`` is set."""
        asyncio.run(self._serve(stop, beat))

    async def _serve(self, stop: threading.Event, beat: Beat) -> None:
        self._news = asyncio.Event()
        self._lock = asyncio.Lock()
        self._snapshot_lock = asyncio.Lock()
        self._snapshot: Snapshot | None = None
        self._attended: set[Client] = set()
        self._clients: set[Client] = set()
        self._clients_of: dict[str, set[Client]] = {}
        self._pushed: set[uuid.UUID] = set()
        self._farewells: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(_READERS, thread_name_prefix="live-database") as self._readers:
            self._last = await self._ask(live_log.last_number)
            server = serve(
                self._connected,
                self._host,
                self._wanted_port,
                process_request=self._admission.admit,
                # A frame is made once for all; compressed it would be made for each, with a window for each.
                compression=None,
                max_size=MAX_INCOMING_BYTES,
                max_queue=1,
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                close_timeout=CLOSE_SECONDS,
                server_header=None,
                logger=_quiet_logger(),
                backlog=1024,
            )
            try:
                async with server as listening:
                    self._port = listening.sockets[0].getsockname()[1]
                    self._listening.set()
                    await self._hand_out(stop, beat)
            finally:
                self._loop = None
                self._listening.clear()
                CLIENTS.set(0)

    async def _hand_out(self, stop: threading.Event, beat: Beat) -> None:
        heartbeat_at = time.monotonic() + self._heartbeat
        while not stop.is_set():
            beat()
            rest = max(0.0, heartbeat_at - time.monotonic())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(self._poll, rest))
            self._news.clear()
            try:
                while await self._hand_out_batch():
                    beat()
                await self._record_pushed()
            except SQLAlchemyError as error:
                log.warning("the live log can't be read now", error=type(error).__name__)
            self._send_off_old()
            if time.monotonic() >= heartbeat_at:
                heartbeat_at = time.monotonic() + self._heartbeat
                self._send(self._clients, frame(self._last, "heartbeat", datetime.now(UTC), {}))

    async def _hand_out_batch(self) -> bool:
        """Hand out what came after the last number; returns whether there may be more."""
        async with self._lock:
            users = list(self._clients_of)
            read = partial(live_log.after, number=self._last, users=users, limit=BATCH)
            messages = await self._ask(read)
            if messages is None:
                await self._begin_anew()
                return False
            for message in messages:
                self._hand_out_message(message)
                self._last = message.n
                await asyncio.sleep(0)  # sockets are emptied between two messages, and pings answered
            return len(messages) == BATCH

    def _hand_out_message(self, message: Message) -> None:
        MESSAGES.labels(message.type).inc()
        if message.type != "alert":
            waiting = [client for client in self._clients if client.n < message.n]
            self._send(waiting, frame(message.n, message.type, message.time, message.data))
            return
        frames: dict[tuple[str, ...], str] = {}
        for telling in message.told:
            text = frames.get(telling.asked)
            if text is None:
                text = frames[telling.asked] = alert_frame(message, telling.asked)
            clients = self._clients_of.get(telling.user_id, ())
            if self._send([client for client in clients if client.n < message.n], text):
                self._pushed.add(telling.delivery_id)

    def _send(self, clients: Iterable[Client], text: str) -> int:
        """Write a frame to all these browsers but the slow ones, which are closed; returns to how many."""
        ready: list[ServerConnection] = []
        now = time.monotonic()
        for client in list(clients):
            if client.is_slow(now):
                self._send_off(client, "slow")
            else:
                ready.append(client.socket)
        broadcast(ready, text)
        return len(ready)

    def _end_sessions(self, session_ids: Collection[str]) -> None:
        self._admission.end(session_ids)
        for client in [each for each in self._attended if each.session_id in session_ids]:
            self._send_off(client, "ended", CloseCode.POLICY_VIOLATION)

    def _send_off_old(self) -> None:
        now = time.monotonic()
        for client in [each for each in self._attended if each.ends_at <= now]:
            self._send_off(client, "age", CloseCode.POLICY_VIOLATION)

    def _send_off(self, client: Client, reason: str, code: CloseCode = CloseCode.TRY_AGAIN_LATER) -> None:
        """Have a browser connect anew; that it takes its time to close keeps nobody waiting."""
        self._leave(client)
        farewell = asyncio.create_task(_dismiss(client.socket, code, reason))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    async def _begin_anew(self) -> None:
        """The log does not reach back to where we are (a restored database): everybody needs a snapshot."""
        log.error("the live log does not reach back; all browsers begin anew", last=self._last)
        self._last = await self._ask(live_log.last_number)
        self._snapshot = None
        for client in list(self._clients):
            self._send_off(client, "restored")

    async def _record_pushed(self) -> None:
        if self._pushed:
            ids = list(self._pushed)
            await self._in_thread(partial(self._write_pushed, ids, datetime.now(UTC)))
            self._pushed.difference_update(ids)

    def _write_pushed(self, ids: list[uuid.UUID], moment: datetime) -> None:
        with self._database.transaction() as session:
            deliveries.pushed(session, ids, moment)

    async def _connected(self, socket: ServerConnection) -> None:
        visitor = self._admission.visitor(socket)
        identity = visitor.identity
        if identity is None or self._admission.has_ended(identity):
            # Accepted first: a browser's script sees the close code of a socket, not the status of a refusal.
            await _dismiss(socket, CloseCode.POLICY_VIOLATION, "identity")
        elif self._admission.is_crowded(visitor):
            await _dismiss(socket, CloseCode.TRY_AGAIN_LATER, "crowded")
        else:
            # Spread, so that all who came at once don't come at once again.
            ends_at = time.monotonic() + self._max_age * random.uniform(0.8, 1.0)  # noqa: S311 - no secret
            with self._admission.counted(visitor):
                await self._attend(Client(socket, identity, ends_at), visitor.since)

    async def _attend(self, client: Client, since: int | None) -> None:
        """Bring a browser up to date, keep it so, and see it off."""
        self._attended.add(client)
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                await self._catch_up(client, since)
            await client.socket.recv()
            # The channel speaks, it does not listen.
            await _dismiss(client.socket, CloseCode.UNSUPPORTED_DATA, "talking")
        except ConnectionClosed:
            pass  # browsers come and go
        except TimeoutError:
            await _dismiss(client.socket, CloseCode.TRY_AGAIN_LATER, "slow")
        except SQLAlchemyError as error:
            log.warning("a browser could not catch up", error=type(error).__name__)
            await _dismiss(client.socket, CloseCode.TRY_AGAIN_LATER, "database")
        finally:
            self._leave(client)

    async def _catch_up(self, client: Client, since: int | None) -> None:
        """Send what the browser has missed, or the whole board, and join it where the hand-out stands."""
        if since is not None and self._last - since > FARTHEST_BEHIND:
            since = None
        n = since if since is not None else await self._send_snapshot(client)
        # A number beyond ours may be one that the channel never gave: the table has to know it first.
        certain = n <= self._last or since is None
        while not (certain and await self._join(client, n)):
            read = partial(live_log.after, number=n, users=[client.user_id], limit=BATCH)
            messages = await self._ask(read)
            certain = True
            if messages is None:
                n = await self._send_snapshot(client)
                continue
            for message in messages:
                n = message.n
                await self._send_missed(client, message)

    async def _send_missed(self, client: Client, message: Message) -> None:
        if message.type != "alert":
            await client.socket.send(frame(message.n, message.type, message.time, message.data))
        for telling in message.told:
            await client.socket.send(alert_frame(message, telling.asked))
            self._pushed.add(telling.delivery_id)

    async def _send_snapshot(self, client: Client) -> int:
        async with self._snapshot_lock:  # a thousand browsers that come at once need one
            taken = self._snapshot
            if taken is None or taken.n < self._last:
                taken = self._snapshot = await self._ask(live_log.snapshot)
        await client.socket.send(snapshot_frame(taken, datetime.now(UTC)))
        return taken.n

    async def _join(self, client: Client, n: int) -> bool:
        """Make the browser one of those that the hand-out serves, unless that is ahead of ``n``."""
        async with self._lock:
            if n < self._last:
                return False
            client.n = n
            self._clients.add(client)
            self._clients_of.setdefault(client.user_id, set()).add(client)
            CLIENTS.set(len(self._clients))
            # At once, not after the first silence: the page wants to know that it is live.
            broadcast([client.socket], frame(n, "heartbeat", datetime.now(UTC), {}))
            return True

    def _leave(self, client: Client) -> None:
        self._attended.discard(client)
        self._clients.discard(client)
        own = self._clients_of.get(client.user_id)
        if own is not None:
            own.discard(client)
            if not own:
                del self._clients_of[client.user_id]
        CLIENTS.set(len(self._clients))

    async def _ask(self, question: Callable[[Any], T]) -> T:
        def answer() -> T:
            with self._database.read() as connection:
                return question(connection)

        return await self._in_thread(answer)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)


async def _dismiss(socket: ServerConnection, code: CloseCode, reason: str) -> None:
    DROPPED.labels(reason).inc()
    await socket.close(code, reason)


def _quiet_logger() -> logging.Logger:
    """The library's logger for what is our server's fault; that strangers fail to shake hands is not."""
    quiet = logging.getLogger("websockets.server.live")
    quiet.setLevel(logging.CRITICAL)
    return quiet
