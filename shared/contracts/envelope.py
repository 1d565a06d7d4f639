"""The envelope every event travels in, and the base of all events."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


UtcTime = Annotated[AwareDatetime, PlainSerializer(_iso, return_type=str, when_used="json")]
"""An aware moment; written as ISO 8601 in UTC with a Z."""


class Part(BaseModel):
    """A value inside an event: frozen, closed to unknown fields, finite numbers only."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_by_name=True, serialize_by_alias=True
    )


class Event(Part):
    """A fact in the past tense. Never changed once published: a new shape is a new version."""

    type: ClassVar[str]
    version: ClassVar[int]

    @classmethod
    def routing_key(cls) -> str:
        """The key the event is published under, such as ``billing.payment_succeeded.v1``."""
        return f"{cls.type}.v{cls.version}"


AnyEvent = TypeVar("AnyEvent", bound=Event)


class Envelope(BaseModel, Generic[AnyEvent]):
    """An event with its identity and its place in the story of one aggregate.

    ``id`` is the key of the inbox: the same id is the same event, however often it arrives.
    ``aggregate_version`` counts the states of the aggregate; a projection of state ignores an
    envelope older than the one that it knows. ``correlation_id`` follows one cause through all services.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: uuid.UUID = Field(default_factory=uuid.uuid4)
    type: str
    version: int = Field(ge=1)
    time: UtcTime = Field(default_factory=lambda: datetime.now(UTC))
    aggregate_id: str = Field(min_length=1)
    aggregate_version: int = Field(ge=0)
    correlation_id: str = Field(min_length=1)
    data: AnyEvent

    @property
    def routing_key(self) -> str:
        """The key the envelope is published under."""
        return f"{self.type}.v{self.version}"

    @classmethod
    def of(
        cls, event: AnyEvent, *, aggregate_id: str, aggregate_version: int, correlation_id: str | None = None
    ) -> "Envelope[AnyEvent]":
        """Wrap an event; without a correlation id it starts a story of its own."""
        return cls(
            type=event.type,
            version=event.version,
            aggregate_id=aggregate_id,
            aggregate_version=aggregate_version,
            correlation_id=correlation_id or str(uuid.uuid4()),
            data=event,
        )
