"""Settings of the notify service: one class for its web, worker, sender and live processes."""

from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from shared.settings import ServiceSettings


def folder_of(url: str) -> Path | None:
    """The folder that a MAIL_URL names, relative to where the process runs; None when mails go elsewhere."""
    scheme, _, folder = url.partition(":")
    if scheme != "file" or not folder.strip("/"):
        return None
    return Path("/" + folder.lstrip("/") if folder.startswith("//") else folder)


class Settings(ServiceSettings):
    """What a deployment of notify may choose.

    ``mail_url`` is ``ses://REGION``, ``smtp://[user:password@]host[:port][?starttls=required|never]``,
    ``smtps://…`` or ``file:DIR``. ``mail_from`` is the sender, ``Name <address>`` or an address.
    ``mail_rate`` is in mails a second over all sender processes together; None is without limit, but
    for SES, where it is its usual 14. ``mail_concurrency`` is the number of mails under way at once in
    one process; more than 1 only with SES, since it bounds the mails a crash can double elsewhere.
    ``mail_timeout`` is in seconds for a mail, less than a process is given to stop; ``mail_lease`` is how
    long a mail may be under way, with the wait for its turn, before another process takes it.
    ``live_max_age`` is in seconds: when a browser has to connect anew and show who it is.
    ``live_retention`` is in seconds: how long a browser may stay away and still resume without a snapshot.
    """

    mail_url: SecretStr
    mail_from: str
    mail_reply_to: str | None = None
    mail_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    mail_concurrency: int = Field(default=1, ge=1, le=64)
    mail_timeout: float = Field(default=15, gt=0, le=20)
    mail_lease: float = Field(default=120, gt=0)

    live_host: str = "0.0.0.0"  # noqa: S104 - inside a container the gateway comes from another address
    live_port: int = Field(default=8765, ge=0, le=65535)
    live_max_per_user: int = Field(default=20, ge=1)
    live_max_per_address: int = Field(default=200, ge=1)
    live_max_age: float = Field(default=600, gt=0)
    live_retention: float = Field(default=86_400, gt=0)

    @field_validator("mail_from", "mail_reply_to")
    @classmethod
    def _is_a_mailbox(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Address(addr_spec=parseaddr(value)[1])
            except (MessageError, ValueError, IndexError):
                raise ValueError("is no mail address") from None
            if "@" not in value or any(ord(character) < 32 for character in value):
                raise ValueError("is no mail address")
        return value

    @model_validator(mode="after")
    def _choices_fit_together(self) -> Self:
        url = self.mail_url.get_secret_value()
        parts = urlsplit(url)
        named = parts.scheme in ("ses", "smtp", "smtps") and parts.hostname
        if not named and folder_of(url) is None:
            raise ValueError("MAIL_URL is ses://REGION, smtp://HOST, smtps://HOST or file:DIR")
        if self.mail_concurrency > 1 and parts.scheme != "ses":
            raise ValueError("MAIL_CONCURRENCY above 1 is for ses:// only")
        if self.mail_lease < 2 * self.mail_timeout:
            raise ValueError("MAIL_LEASE is at least twice MAIL_TIMEOUT")
        return self

    @property
    def mail_folder(self) -> Path | None:
        """The folder that mails go to; None when they leave the machine."""
        return folder_of(self.mail_url.get_secret_value())
