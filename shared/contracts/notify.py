"""Events that notify publishes."""

from typing import ClassVar

from pydantic import Field

from shared.contracts.envelope import Event


class LiveMessageAddedV1(Event):
    """The live channel has a new message; its content stands in notify's own log under the number ``n``."""

    type: ClassVar[str] = "notify.live_message_added"
    version: ClassVar[int] = 1

    n: int = Field(ge=1)
