"""Wire shapes of notify: what may be asked, and what is answered."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.billing import Channel
from shared.contracts.signals import Ticker, Timeframe, View

AlgorithmKey = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]


class AlertIn(BaseModel):
    """A wish to be told of view changes; ``ticker`` null is every ticker of the algorithm."""

    model_config = ConfigDict(extra="forbid")

    algorithm: AlgorithmKey
    ticker: Ticker | None = None
    channels: list[Channel] = Field(min_length=1, max_length=10)


class AlertOut(BaseModel):
    """An alert. ``channels`` is empty after its owner has unsubscribed from it by a mail's link."""

    id: uuid.UUID
    algorithm: str
    algorithm_name: str
    ticker: str | None
    channels: list[Channel]
    created_at: datetime


class AlertsPage(BaseModel):
    """Some alerts, oldest first."""

    items: list[AlertOut]
    next: str | None = Field(description="cursor of the next page")


class Told(BaseModel):
    """How a person was told over one channel.

    ``accepted_at`` is when the mail provider took the mail, or the browser's connection the message;
    ``latency_ms`` is counted from the release of the candle to then.
    """

    channel: Channel
    state: Literal["pending", "sending", "sent", "failed", "cancelled"]
    accepted_at: datetime | None
    latency_ms: int | None


class Receipt(BaseModel):
    """The way of a change up to us: the candle's close, its release by the feed, evaluation, queueing."""

    closed_at: datetime
    released_at: datetime
    evaluated_at: datetime
    queued_at: datetime


class InboxItem(BaseModel):
    """A view change that a person was told of, with its why and its receipt.

    A ``late`` one was decided so long after its close that nobody was told: it stands here for the person's
    alert that covers it.
    """

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    id: str
    algorithm: str
    algorithm_name: str
    ticker: Ticker
    timeframe: Timeframe
    close_time: datetime
    from_view: View = Field(alias="from")
    to_view: View = Field(alias="to")
    close: float
    late: bool
    why: list[dict[str, Any]]
    receipt: Receipt
    told: list[Told]


class InboxPage(BaseModel):
    """Some of what a person was told, newest first."""

    items: list[InboxItem]
    next: str | None = Field(description="cursor of the next page")
