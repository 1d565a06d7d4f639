"""All events there are, and their way into bytes and back."""

from typing import Any

from pydantic import ValidationError

from shared.contracts import auth, billing, notify, signals
from shared.contracts.envelope import Envelope, Event

EVENTS: dict[str, type[Event]] = {
    event.routing_key(): event
    for event in (
        auth.UserRegisteredV1,
        auth.UserDeletedV1,
        auth.SessionEndedV1,
        billing.EntitlementChangedV1,
        notify.LiveMessageAddedV1,
        signals.CandlesClosedV1,
        signals.ViewsChangedV1,
        signals.TickerStaleV1,
        signals.TickerRecoveredV1,
        signals.TickersListedV1,
        signals.AlgorithmsListedV1,
    )
}
_ENVELOPES = {key: Envelope[event] for key, event in EVENTS.items()}  # type: ignore[valid-type]

PUBLISHERS: dict[str, str] = {
    "auth": "auth",
    "billing": "billing",
    "notify": "notify",
    "signals": "signals",
    "market": "signals",
}
"""First word of a routing key -> the service that alone may publish it."""


class InvalidMessage(Exception):
    """Bytes that are no event of the registry; the text says what is wrong, without the values."""


def encode(envelope: Envelope[Any]) -> bytes:
    """The envelope as JSON bytes. Raises InvalidMessage when its event is not in the registry."""
    if type(envelope.data) is not EVENTS.get(envelope.routing_key):
        raise InvalidMessage(
            f"{envelope.routing_key} is not in the registry with {type(envelope.data).__name__}"
        )
    return envelope.model_dump_json(by_alias=True).encode()


def decode(routing_key: str, body: bytes) -> Envelope[Any]:
    """The envelope in the bytes. Raises InvalidMessage for an unknown key or a broken contract."""
    envelope_type = _ENVELOPES.get(routing_key)
    if envelope_type is None:
        raise InvalidMessage(f"unknown event {routing_key[:100]}")
    try:
        envelope = envelope_type.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)[:5]
        text = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
        raise InvalidMessage(f"{routing_key}: {text}") from None
    if envelope.routing_key != routing_key:
        raise InvalidMessage(f"{routing_key}: the envelope says {envelope.routing_key[:100]}")
    return envelope
