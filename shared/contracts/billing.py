"""Events that billing publishes."""

from typing import ClassVar, Literal

from pydantic import Field

from shared.contracts.envelope import Event, Part

Channel = Literal["mail", "live", "webhook"]


class Entitlements(Part):
    """What a plan lets a person do. Services read these, never a plan's name.

    ``alerts_max`` None means without limit. ``channels`` are those an alert may use.
    """

    alerts_max: int | None = Field(ge=0)
    channels: tuple[Channel, ...]
    api: Literal["read", "write"]
    scorecard: bool


class EntitlementChangedV1(Event):
    """What a person may do has changed; the envelope's aggregate version orders these per user."""

    type: ClassVar[str] = "billing.entitlement_changed"
    version: ClassVar[int] = 1

    user_id: str
    plan: str
    entitlements: Entitlements
