"""An SMTP server that answers as a test tells it."""

from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from embedded.processes import LOOPBACK, free_port


class SmtpServer:
    """Answers as it is told, and keeps what it accepts."""

    def __init__(self, **options: Any) -> None:
        self.answers: dict[str, str] = {}
        self.accepted: list[Envelope] = []
        self.connections = 0
        self.logins: list[bytes] = []
        self.on_accepted: Callable[[], None] = lambda: None
        self.port = free_port()
        self._options = options

    def start(self) -> None:
        self._controller = Controller(
            self, hostname=LOOPBACK, port=self.port, authenticator=self._authenticate, **self._options
        )
        self._controller.start()

    @property
    def url(self) -> str:
        """The MAIL_URL that leads here."""
        return f"smtp://{LOOPBACK}:{self.port}?starttls=never"

    def messages(self) -> list[EmailMessage]:
        """The accepted mails, oldest first."""
        contents = [envelope.content for envelope in self.accepted]
        return [
            message_from_bytes(content, policy=policy.default)
            for content in contents
            if isinstance(content, bytes)
        ]

    def stop(self) -> None:
        self._controller.stop()

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("250"):
            self.accepted.append(envelope)
            self.on_accepted()
        return answer

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword
    ) -> AuthResult:
        self.logins.append(login.login)
        return AuthResult(success=login.password == b"p@ss/word")
