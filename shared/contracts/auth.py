"""Events that auth publishes."""

from typing import ClassVar

from pydantic import Field

from shared.contracts.envelope import Event


class UserRegisteredV1(Event):
    """Somebody opened an account. ``user_name`` is shown; ``email`` is normalised."""

    type: ClassVar[str] = "auth.user_registered"
    version: ClassVar[int] = 1

    user_id: str
    user_name: str
    email: str


class UserDeletedV1(Event):
    """Somebody closed the account; what belongs to it goes, but for what the law keeps."""

    type: ClassVar[str] = "auth.user_deleted"
    version: ClassVar[int] = 1

    user_id: str


class SessionEndedV1(Event):
    """A person's sessions are over: logged out, replaced by a new login, or gone with the account.

    Told to whoever is connected just now, so that what a session has open ends with it.
    """

    type: ClassVar[str] = "auth.session_ended"
    version: ClassVar[int] = 1

    user_id: str
    session_ids: tuple[str, ...] = Field(min_length=1, max_length=1000)
