"""Who may open the live channel: by origin, identity, and how many connections there are already."""

import http
import time
from collections import Counter as Tally
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

from prometheus_client import Counter
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from shared.logs import logger
from shared.web.identity import HEADER, LIFETIME_SECONDS, Identity, InvalidIdentity, Verifier

PATH = "/ws/notifications"
ENDED_SECONDS = LIFETIME_SECONDS + 30.0
"""How long an ended session is remembered: its identity may still be shown for as long as that is good."""
_HIGHEST = 2**63 - 1

DROPPED = Counter("notify_live_clients_dropped", "Browsers refused or closed by us.", ["reason"])
log = logger(__name__)


@dataclass(frozen=True)
class Visitor:
    """Who opened a connection, from where, and the last number they have; ``identity`` None is nobody."""

    identity: Identity | None
    address: str
    since: int | None


class Admission:
    """Looks at opening handshakes. ``origin`` is the only one whose pages may connect."""

    def __init__(self, verifier: Verifier, *, origin: str, max_per_user: int, max_per_address: int) -> None:
        self._verifier = verifier
        self._origin = origin
        self._most_of_user, self._most_of_address = max_per_user, max_per_address
        self._users: Tally[str] = Tally()
        self._addresses: Tally[str] = Tally()
        self._ended: dict[str, float] = {}
        self._visitors: WeakKeyDictionary[ServerConnection, Visitor] = WeakKeyDictionary()

    def admit(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse what must not even become a WebSocket, and remember who the others are."""
        if urlsplit(request.path).path != PATH:
            return socket.respond(http.HTTPStatus.NOT_FOUND, "There is nothing here.\n")
        if request.headers.get_all("Origin") != [self._origin]:
            DROPPED.labels("origin").inc()
            return socket.respond(http.HTTPStatus.FORBIDDEN, "Pages of other sites may not connect.\n")
        try:
            since = _since(request)
        except ValueError:
            return socket.respond(http.HTTPStatus.BAD_REQUEST, "since is a number of the channel.\n")
        visitor = Visitor(self._identity_of(request), _address_of(socket, request), since)
        if self.is_crowded(visitor):
            DROPPED.labels("crowded").inc()
            return socket.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "Too many connections.\n")
        self._visitors[socket] = visitor
        return None

    def visitor(self, socket: ServerConnection) -> Visitor:
        """Who it was that opened the connection."""
        return self._visitors[socket]

    def is_crowded(self, visitor: Visitor) -> bool:
        """Whether the person or the address has as many connections as it may have."""
        of_user = self._users[visitor.identity.user_id] if visitor.identity is not None else 0
        return of_user >= self._most_of_user or self._addresses[visitor.address] >= self._most_of_address

    @contextmanager
    def counted(self, visitor: Visitor) -> Iterator[None]:
        """The block is a connection of the person and the address."""
        user_id = visitor.identity.user_id if visitor.identity is not None else ""
        places = ((self._users, user_id), (self._addresses, visitor.address))
        for tally, key in places:
            tally[key] += 1
        try:
            yield
        finally:
            for tally, key in places:
                tally[key] -= 1
                if not tally[key]:
                    del tally[key]

    def end(self, session_ids: Collection[str]) -> None:
        """Let nobody in on these sessions, whose identities the gateway may still have at hand."""
        now = time.monotonic()
        self._ended = {id_: until for id_, until in self._ended.items() if until > now}
        self._ended |= dict.fromkeys(session_ids, now + ENDED_SECONDS)

    def has_ended(self, identity: Identity) -> bool:
        """Whether we have heard of the end of the identity's session."""
        return identity.session_id in self._ended

    def _identity_of(self, request: Request) -> Identity | None:
        tokens = request.headers.get_all(HEADER)
        if len(tokens) != 1:
            return None
        try:
            return self._verifier.verify(tokens[0])
        except InvalidIdentity as error:
            log.warning("live identity refused", reason=str(error))
            return None


def _since(request: Request) -> int | None:
    """The number in ``?since=``, None without one. Raises ValueError when it is no number of the channel."""
    values = parse_qs(urlsplit(request.path).query, keep_blank_values=True).get("since")
    if values is None:
        return None
    (text,) = values
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_HIGHEST)) or int(text) > _HIGHEST:
        raise ValueError("no number of the channel")
    return int(text)


def _address_of(socket: ServerConnection, request: Request) -> str:
    """The browser's address as the gateway says it in X-Real-IP, which it overwrites; else the peer's."""
    named = request.headers.get_all("X-Real-IP")
    if len(named) == 1:
        return named[0]
    peer = socket.remote_address
    return str(peer[0]) if peer else ""
