"""Mails as people get them: one deliverable message from a delivery's row and its templates."""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any

import mrml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from sqlalchemy import RowMapping

from services.notify.config import Settings
from services.notify.constants import ALL_TICKERS, VIEW_CHANGED
from services.notify.repository.deliveries import Claimed
from services.notify.unsubscribing import Subscription, UnsubscribeTokens
from shared.web.filters import price

TEMPLATES = Path(__file__).parent / "mail"
_NAME_CHARS = 80
_LARGE = 10_000
_DECIDING_SIDE = {"BUY": "entry", "SELL": "exit"}
# Long links in headers stay in one piece: mail programs read List-Unsubscribe literally.
_POLICY = SMTP.clone(max_line_length=998)


class CannotCompose(Exception):
    """The delivery can never become a mail, such as one to an address that is none."""


class Composer:
    """Renders mails; one per process is enough, and threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._from = _mailbox(settings.mail_from)
        self._reply_to = _mailbox(settings.mail_reply_to) if settings.mail_reply_to else None
        self._public_url = settings.public_url.rstrip("/")
        self._tokens = UnsubscribeTokens(settings.secret_key)
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(enabled_extensions=("html",), default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"price": price, "number": number, "moment": moment}

    def compose(self, claimed: Claimed) -> EmailMessage:
        """The mail of a claimed delivery, which must have an address. Raises CannotCompose.

        Written twice it is the same mail: Message-ID and content come from the delivery.
        """
        context: dict[str, Any] = {
            "user_name": plain(claimed.row["user_name"]),
            "public_url": self._public_url,
        }
        message = EmailMessage(policy=_POLICY)
        about: tuple[str | None, str | None] = (None, None)
        if claimed.kind == VIEW_CHANGED:
            context |= _change(claimed.row)
            about = (claimed.row["algorithm"], claimed.row["ticker"])
            message["List-Id"] = f"Boritrader alerts <alerts.{self._from.domain}>"
        context["unsubscribe_url"] = self._add_unsubscribe(message, Subscription(claimed.user_id, *about))
        message["From"] = self._from
        try:
            message["To"] = Address(addr_spec=claimed.email or "")
        except (MessageError, ValueError, IndexError) as error:  # the header parser's ways to say no
            raise CannotCompose("the address is no mail address") from error
        if self._reply_to is not None:
            message["Reply-To"] = self._reply_to
        message["Subject"] = " ".join(self._render(claimed.kind, "subject.txt", context).split())
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{claimed.id}@{self._from.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Delivery-Id"] = str(claimed.id)
        message.set_content(self._render(claimed.kind, "body.txt", context))
        message.add_alternative(
            mrml.to_html(self._render(claimed.kind, "body.html", context)).content, subtype="html"
        )
        return message

    def _add_unsubscribe(self, message: EmailMessage, subscription: Subscription) -> str:
        link = f"{self._public_url}/unsubscribe/{self._tokens.make(subscription)}"
        message["List-Unsubscribe"] = f"<{link}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        return link

    def _render(self, kind: str, part: str, context: Mapping[str, Any]) -> str:
        return self._templates.get_template(f"{kind}/{part}").render(context)


def plain(text: str) -> str:
    """Foreign text as one short line without control, bidirectional or invisible characters."""
    kept = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    return " ".join(kept.split())[:_NAME_CHARS]


def number(value: float | None) -> str:
    """An indicator's value in six significant digits or two decimals, whichever is more; ``n/a`` for None."""
    if value is None:
        return "n/a"
    rounded = f"{value:.2f}" if abs(value) >= _LARGE else f"{value:.6g}"
    return f"{Decimal(rounded):,f}"


def seconds(milliseconds: int) -> str:
    """A short time in people's words: ``0.8 s``, ``3 min``, ``2 h``."""
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes = round(milliseconds / 60_000)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"


def moment(value: datetime) -> str:
    """A moment in UTC to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _mailbox(text: str) -> Address:
    name, address = parseaddr(text)
    return Address(display_name=name, addr_spec=address)


def _change(row: RowMapping) -> dict[str, Any]:
    side = _DECIDING_SIDE.get(row["to_view"])
    return {
        "algorithm": row["algorithm"],
        "algorithm_name": plain(row["algorithm_name"]),
        "algorithm_version": plain(row["algorithm_version"]),
        "ticker": row["ticker"],
        "timeframe": row["timeframe"],
        "from_view": row["from_view"],
        "to_view": row["to_view"],
        "close": row["close"],
        "close_time": row["close_time"],
        "why": [condition for condition in row["why"] if condition["side"] == side],
        "ledger_partition": row["ledger_partition"],
        "ledger_sequence": row["ledger_sequence"],
        "released_at": row["released_at"],
        "evaluated_at": row["evaluated_at"],
        "queued_at": row["queued_at"],
        "is_replay": row["recorded"],
        "asked_for_all": row["asked"] == [ALL_TICKERS],
    }
