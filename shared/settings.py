"""Settings: from the environment or AWS Secrets Manager, and the only place that reads either."""

import os
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    AWSSecretsManagerSettingsSource,
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

EXIT_WRONG_SETTINGS = 2
_ARN_REGION = 3

AnySettings = TypeVar("AnySettings", bound="Settings")


class Settings(BaseSettings):
    """Frozen settings; a field ``database_url`` is the variable ``DATABASE_URL``, unknown ones are ignored.

    What the constructor is given wins over the environment, the environment over the JSON secret that
    ``SECRETS_ARN`` names. An empty variable counts as missing.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's shape
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's shape
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Constructor, environment, and Secrets Manager when ``SECRETS_ARN`` is set."""
        arn = os.environ.get("SECRETS_ARN")
        if not arn:
            return init_settings, env_settings
        return init_settings, env_settings, _secrets_manager(settings_cls, arn)


class ServiceSettings(Settings):
    """What every process of every service is told.

    ``amqp_url`` None means the local bus, which only the embedded default has. ``secret_key`` signs the CSRF
    cookie and is the same for all services. ``identity_public_keys`` is auth's key set (JWKS as JSON).
    ``log_dir`` None means standard error only.
    """

    database_url: SecretStr
    amqp_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    public_url: str = "http://127.0.0.1:8000"
    secret_key: SecretStr = Field(min_length=32)
    identity_public_keys: str
    sentry_dsn: SecretStr | None = None
    log_dir: Path | None = None
    environment: str = "production"
    static_dir: Path | None = None
    health_port: int = Field(default=8081, ge=0, le=65535)
    embedded: bool = False


def load(cls: type[AnySettings], **values: Any) -> AnySettings:
    """The settings of a process, or its end: one line for each missing or wrong variable, and exit status 2.

    The lines name variables, never values.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            name = str(fault["loc"][0]).upper() if fault["loc"] else ""
            if fault["type"] == "missing":
                line = f"{name} is missing"
            elif fault["loc"]:
                line = f"{name} is wrong: {fault['msg']}"
            else:  # of several settings together: the text itself names them
                line = fault["msg"].removeprefix("Value error, ")
            print(f"boritrader: {line}", file=sys.stderr)
        sys.exit(EXIT_WRONG_SETTINGS)


def environment() -> dict[str, str]:
    """The environment as child processes of a launcher inherit it."""
    return dict(os.environ)


def _secrets_manager(settings_cls: type[BaseSettings], arn: str) -> PydanticBaseSettingsSource:
    parts = arn.split(":")
    region = parts[_ARN_REGION] if len(parts) > _ARN_REGION else None
    return AWSSecretsManagerSettingsSource(settings_cls, arn, region_name=region, case_sensitive=False)
