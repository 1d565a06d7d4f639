"""What billing does when others tell it something."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from services.billing import service
from services.billing.plans import current_plans
from shared.bus import Handler
from shared.contracts.auth import UserDeletedV1, UserRegisteredV1
from shared.contracts.envelope import Envelope, Event


def user_registered(session: Session, envelope: Envelope[UserRegisteredV1]) -> None:
    """Open an account on the default plan, unless the person is known already."""
    service.open_account(session, current_plans(), envelope.data.user_id)


def user_deleted(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
    """Close the account; what billing keeps of it goes after the time of retention."""
    service.close_account(session, envelope.data.user_id)


HANDLERS: Mapping[type[Event], Handler] = {
    UserRegisteredV1: user_registered,
    UserDeletedV1: user_deleted,
}
