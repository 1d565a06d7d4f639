"""Links that take people off alert mails without a login: the signed token in them authorises."""

from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer
from pydantic import SecretStr

_SALT = "notify.unsubscribe"
_MAX_TOKEN_CHARS = 1000


@dataclass(frozen=True)
class Subscription:
    """What a link is about: a person's alert mails on one (algorithm, ticker), or for None all of them."""

    user_id: str
    algorithm: str | None
    ticker: str | None

    @property
    def is_of_mailbox(self) -> bool:
        """Whether the link stands in the welcome mail, for whoever has the mailbox."""
        return self.algorithm is None


class UnsubscribeTokens:
    """Makes and reads the tokens. They do not expire: a mail may be opened after years."""

    def __init__(self, secret_key: SecretStr) -> None:
        self._serializer = URLSafeSerializer(secret_key.get_secret_value(), salt=_SALT)

    def make(self, subscription: Subscription) -> str:
        """The token of a subscription, the same each time."""
        return str(
            self._serializer.dumps([subscription.user_id, subscription.algorithm, subscription.ticker])
        )

    def read(self, token: str) -> Subscription | None:
        """The subscription in a token; None when we did not make it."""
        if len(token) > _MAX_TOKEN_CHARS:
            return None
        try:
            user_id, algorithm, ticker = self._serializer.loads(token)
        except (BadData, ValueError, TypeError):
            return None
        return Subscription(user_id, algorithm, ticker)
