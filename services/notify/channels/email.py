"""Mail leaves the house here: by SES, by SMTP, or into a folder, as one URL says."""

import io
import os
import smtplib
import socket
import ssl
import time
import uuid
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from services.notify.config import folder_of

SMTP_PORT = 587
SMTPS_PORT = 465
IDLE_SECONDS = 5.0
DELIVERY_TAG = "delivery"
"""The tag under which SES tells its events about a mail."""

_PERMANENT = range(500, 600)
_SERVICE_SHUTS_DOWN = 421
_SES_REFUSALS = frozenset({"MessageRejected", "BadRequestException", "InvalidParameterValue"})


class Unavailable(Exception):
    """The provider takes no mail at all now; the mail is not to blame. The text is the reason."""


class Deferred(Exception):
    """The provider doesn't take this mail now, and may later. The text is the reason."""


class Refused(Exception):
    """The provider will never take this mail. The text is the reason."""


class MailTransport(Protocol):
    """A way to send mails, for one thread. ``name`` is the provider's in logs, metrics and its rate."""

    name: str

    def send(self, message: EmailMessage, delivery_id: uuid.UUID) -> str:
        """Hand a mail over; returns the provider's id of it. Raises Unavailable, Deferred or Refused."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class FolderTransport:
    """Writes each mail to ``<delivery id>.eml``, whole or not at all; sent again it is the same file."""

    name = "file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, message: EmailMessage, delivery_id: uuid.UUID) -> str:
        """Write the mail; returns the name of its file."""
        name = f"{delivery_id}.eml"
        draft = self._folder / f".{delivery_id}.{os.getpid()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(message.as_bytes())
            draft.replace(self._folder / name)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise Unavailable(f"the mail folder: {error.strerror}") from error
        return name

    def close(self) -> None:
        """Nothing is held."""


class _Replies(io.RawIOBase):
    """What a server says, read with a look at the clock before each piece: a trickle is no answer."""

    def __init__(self, conversation: "_Smtp", sock: socket.socket) -> None:
        self._conversation, self._sock = conversation, sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._conversation.hurry()
        return self._sock.recv_into(buffer)


class _Smtp(smtplib.SMTP):
    """A conversation of which each mail's part is over at ``ends_at``, however many steps it takes."""

    def __init__(self, *arguments: Any, ends_at: float, **options: Any) -> None:
        self.ends_at = ends_at
        super().__init__(*arguments, **options)

    def hurry(self) -> None:
        """Let the next step take what is left. Raises TimeoutError when nothing is."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self.sock is not None:
            self.sock.settimeout(left)

    def getreply(self) -> tuple[int, bytes]:
        """The server's answer to one command."""
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Replies(self, self.sock))
        return super().getreply()

    def send(self, s: Any) -> None:
        """Write a command or the mail."""
        self.hurry()
        super().send(s)


class _SecureSmtp(_Smtp, smtplib.SMTP_SSL):
    """The same over TLS from the beginning."""


class SmtpTransport:
    """Talks to one SMTP server over a connection that it keeps for the next mail.

    ``starttls`` is ``required``, ``never`` or ``offered``: then it is used where the server has it.
    Credentials are only ever given over TLS, unless it is ``never``. ``timeout`` is in seconds for a mail.
    """

    name = "smtp"

    def __init__(
        self,
        host: str,
        port: int,
        *,
        user: str | None = None,
        password: str | None = None,
        implicit_tls: bool = False,
        starttls: str = "offered",
        timeout: float = 10,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._user, self._password = user, password
        self._implicit_tls, self._starttls = implicit_tls, starttls
        self._timeout = timeout
        self._tls = tls or ssl.create_default_context()
        self._connection: _Smtp | None = None
        self._used = 0.0

    def send(self, message: EmailMessage, delivery_id: uuid.UUID) -> str:  # noqa: ARG002 - it is in the Message-ID
        """Send the mail; SMTP has no id of its own, so its Message-ID is returned."""
        try:
            connection = self._connected(time.monotonic() + self._timeout)
            connection.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            self._reset()
            code, text = next(iter(error.recipients.values()))
            raise _verdict(code, text) from error
        except (smtplib.SMTPNotSupportedError, ValueError) as error:
            self.close()
            raise Refused("the address needs what the mail server cannot do") from error
        except smtplib.SMTPDataError as error:
            self._reset()
            raise _verdict(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPResponseException as error:  # greeting, login, sender: nothing of this very mail
            self.close()
            raise Unavailable(_reason(error.smtp_code, error.smtp_error)) from error
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise Unavailable(f"{self._host}: {type(error).__name__}") from error
        self._used = time.monotonic()
        return str(message["Message-ID"])

    def close(self) -> None:
        """Say goodbye to the server, if it still listens."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self, ends_at: float) -> _Smtp:
        if self._connection is not None:
            self._connection.ends_at = ends_at
        if self._connection is not None and time.monotonic() - self._used > IDLE_SECONDS:
            # Asked before the mail: that a server hung up meanwhile must not look like a mail's fate.
            try:
                self._connection.noop()
            except (OSError, smtplib.SMTPException):
                self.close()
        if self._connection is None:
            self._connection = self._connect(ends_at)
        return self._connection

    def _connect(self, ends_at: float) -> _Smtp:
        if self._implicit_tls:
            connection: _Smtp = _SecureSmtp(
                self._host, self._port, timeout=self._timeout, context=self._tls, ends_at=ends_at
            )
        else:
            connection = _Smtp(self._host, self._port, timeout=self._timeout, ends_at=ends_at)
        try:
            connection.ehlo_or_helo_if_needed()
            secure = self._implicit_tls or self._start_tls(connection)
            if self._user is not None:
                self._log_in(connection, self._user, secure=secure)
        except BaseException:
            connection.close()
            raise
        return connection

    def _start_tls(self, connection: smtplib.SMTP) -> bool:
        """Encrypt the connection as the settings want it; returns whether it is."""
        offered = connection.has_extn("starttls")
        if self._starttls == "required" and not offered:
            raise Unavailable(f"{self._host} offers no TLS")
        if self._starttls == "never" or not offered:
            return False
        connection.starttls(context=self._tls)
        connection.ehlo()
        return True

    def _log_in(self, connection: smtplib.SMTP, user: str, *, secure: bool) -> None:
        if not secure and self._starttls != "never":
            raise Unavailable(f"{self._host} offers no TLS, and the password is not told without")
        connection.login(user, self._password or "")

    def _reset(self) -> None:
        # After a refusal the conversation goes on with the next mail, if the server is still there.
        if self._connection is not None:
            try:
                self._connection.rset()
            except (OSError, smtplib.SMTPException):
                self.close()


class SesTransport:
    """Talks to SES (API version 2) through an injected client, which may serve several threads."""

    name = "ses"

    def __init__(self, client: Any, *, configuration_set: str | None = None) -> None:
        self._client = client
        self._more = {"ConfigurationSetName": configuration_set} if configuration_set else {}

    def send(self, message: EmailMessage, delivery_id: uuid.UUID) -> str:
        """Send the mail with the delivery's id as its tag; returns SES's message id."""
        try:
            answer = self._client.send_email(
                Content={"Raw": {"Data": message.as_bytes()}},
                EmailTags=[{"Name": DELIVERY_TAG, "Value": str(delivery_id)}],
                **self._more,
            )
        except ClientError as error:
            fault = error.response.get("Error", {})
            code = str(fault.get("Code", "unknown"))
            if code in _SES_REFUSALS:
                raise Refused(f"SES: {code}: {str(fault.get('Message', ''))[:200]}") from error
            raise Unavailable(f"SES: {code}") from error
        except BotoCoreError as error:
            raise Unavailable(f"SES: {type(error).__name__}") from error
        return str(answer["MessageId"])

    def close(self) -> None:
        """The client's connections belong to who made it."""


def transport_of(url: str, *, timeout: float) -> MailTransport:
    """The transport that a MAIL_URL names; opens no connection. ``timeout`` is in seconds for a mail.

    ``ses://REGION[?endpoint=URL&configuration_set=NAME]``, ``smtp://[user:password@]host[:port][?starttls=…]``
    with starttls ``offered``, ``required`` or ``never``, ``smtps://…``, ``file:DIR``. Raises ValueError.
    """
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    folder = folder_of(url)
    if folder is not None:
        return FolderTransport(folder)
    if parts.scheme in ("smtp", "smtps") and parts.hostname:
        starttls = options.get("starttls", "offered")
        if starttls not in ("offered", "required", "never"):
            raise ValueError("starttls is offered, required or never")
        secure = parts.scheme == "smtps"
        return SmtpTransport(
            parts.hostname,
            parts.port or (SMTPS_PORT if secure else SMTP_PORT),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            implicit_tls=secure,
            starttls=starttls,
            timeout=timeout,
        )
    if parts.scheme == "ses" and parts.netloc:
        client = boto3.client(
            "sesv2",
            region_name=parts.netloc,
            endpoint_url=options.get("endpoint"),
            # One attempt: a retry inside the library could send twice what we then count as one.
            config=Config(
                connect_timeout=timeout / 2, read_timeout=timeout / 2, retries={"total_max_attempts": 1}
            ),
        )
        return SesTransport(client, configuration_set=options.get("configuration_set"))
    raise ValueError("a mail URL begins with ses://REGION, smtp://HOST, smtps://HOST or file:DIR")


def _verdict(code: int, text: bytes | str) -> Exception:
    if code == _SERVICE_SHUTS_DOWN:
        return Unavailable(_reason(code, text))
    return (Refused if code in _PERMANENT else Deferred)(_reason(code, text))


def _reason(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"[:300]
