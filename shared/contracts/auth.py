"""Events that auth publishes."""

from typing import ClassVar

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
