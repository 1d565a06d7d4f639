"""Settings of billing."""

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Billing needs what every service needs, and no more."""
