"""What auth does when others tell it something."""

import uuid
from collections.abc import Mapping

from sqlalchemy.orm import Session

from services.auth import repository
from shared.bus import Drop, Handler
from shared.contracts.billing import EntitlementChangedV1
from shared.contracts.envelope import Envelope, Event


def entitlement_changed(session: Session, envelope: Envelope[EntitlementChangedV1]) -> None:
    """Keep the plan for the identity; an older version than the known one changes nothing."""
    try:
        user_id = uuid.UUID(envelope.data.user_id)
    except ValueError:
        raise Drop("user_id is no UUID") from None
    repository.set_plan(session, user_id, envelope.data.plan, envelope.aggregate_version)


HANDLERS: Mapping[type[Event], Handler] = {EntitlementChangedV1: entitlement_changed}
