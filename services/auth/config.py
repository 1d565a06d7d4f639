"""Settings of auth."""

from pydantic import SecretStr, field_validator

from services.auth.tokens import IdentitySigner
from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """What the web process is told: beside the settings of every service, the key that signs identities.

    ``identity_private_key`` is the JSON of a private Ed25519 JWK, as ``make-identity-key`` prints it. The
    worker signs nothing: it is told ``ServiceSettings`` and no key.
    """

    identity_private_key: SecretStr

    @field_validator("identity_private_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr) -> SecretStr:
        IdentitySigner(value.get_secret_value())
        return value
