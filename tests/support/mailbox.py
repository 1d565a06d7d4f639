"""An SMTP server that keeps what it accepts, and when."""

import email
import email.policy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from embedded.processes import LOOPBACK, free_port


@dataclass(frozen=True)
class Received:
    """A mail at the moment of its acceptance."""

    at: datetime
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    def text(self, subtype: str = "plain") -> str:
        part = self.message.get_body((subtype,))
        assert part is not None, f"no text/{subtype} part"
        return str(part.get_content())


class Mailbox:
    """Started with ``with``; ``url`` is the MAIL_URL that leads here."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._received: list[Received] = []
        self._controller = Controller(self, hostname=LOOPBACK, port=free_port())
        self.url = f"smtp://{LOOPBACK}:{self._controller.port}?starttls=never"

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        at = datetime.now(UTC)
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self._arrived:
            self._received.append(Received(at, tuple(envelope.rcpt_tos), message))
            self._arrived.notify_all()
        return "250 OK"

    def received(self, to: str | None = None) -> list[Received]:
        with self._arrived:
            return [mail for mail in self._received if to is None or to in mail.recipients]

    def wait_for(self, wanted: Callable[[Received], bool], *, seconds: float = 30) -> Received:
        """The first mail that is wanted, waiting for it. Raises AssertionError when none comes."""
        deadline = time.monotonic() + seconds
        with self._arrived:
            while True:
                for mail in self._received:
                    if wanted(mail):
                        return mail
                rest = deadline - time.monotonic()
                assert rest > 0, f"no such mail among {[m.subject for m in self._received]}"
                self._arrived.wait(rest)
