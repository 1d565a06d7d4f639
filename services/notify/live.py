"""The live process of notify: the WebSocket server, and what wakes it."""

from collections.abc import Callable
from typing import Any

from services.notify.channels.live import LiveServer
from services.notify.channels.live_admission import Admission
from services.notify.config import Settings
from shared.bus import Broadcast, Bus
from shared.contracts.auth import SessionEndedV1
from shared.contracts.envelope import Envelope, Event
from shared.contracts.notify import LiveMessageAddedV1
from shared.db.engine import Database
from shared.process import Loop
from shared.web import origin
from shared.web.identity import Verifier

BROADCAST = "notify-live"


def loops(settings: Settings, database: Database, bus: Bus) -> list[Loop]:
    """The loops of the live process."""
    admission = Admission(
        Verifier(settings.identity_public_keys),
        origin=origin.parse(settings.public_url).text,
        max_per_user=settings.live_max_per_user,
        max_per_address=settings.live_max_per_address,
    )
    server = LiveServer(
        database,
        admission,
        host=settings.live_host,
        port=settings.live_port,
        max_age_seconds=settings.live_max_age,
    )

    def added(_envelope: Envelope[LiveMessageAddedV1]) -> None:
        server.wake()

    def ended(envelope: Envelope[SessionEndedV1]) -> None:
        server.end_sessions(frozenset(envelope.data.session_ids))

    handlers: dict[type[Event], Callable[[Envelope[Any]], None]] = {
        LiveMessageAddedV1: added,
        SessionEndedV1: ended,
    }
    return [server, bus.broadcast(Broadcast(BROADCAST, handlers))]
