"""The mail folder of the embedded default, read in a browser on the same machine; not there elsewhere."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

from flask import Blueprint, Response, make_response, render_template

from services.notify.errors import mail_not_found
from shared.web import errors
from shared.web.client import client_address
from shared.web.headers import content_security_policy
from shared.web.origin import current_origin

MOST_SHOWN = 200
_LINK = re.compile(r"https?://[^\s<>\"]+")
_CSP_OF_MAIL = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline';"
    " img-src data:; form-action 'none'; frame-ancestors 'self'"
)


@dataclass(frozen=True)
class Mail:
    """A mail as the pages show it."""

    name: str
    written_at: datetime
    sender: str
    to: str
    subject: str
    text: str
    html: str
    headers: tuple[tuple[str, str], ...]

    @property
    def links(self) -> list[str]:
        """The links of the text part, each once, in their order."""
        return list(dict.fromkeys(_LINK.findall(self.text)))


def blueprint(folder: Path) -> Blueprint:
    """The routes under ``/dev/mail`` that show the ``*.eml`` files of a folder to people on this machine."""
    routes = Blueprint("notify_dev_mail", __name__, url_prefix="/dev/mail")

    @routes.before_request
    def _only_from_here() -> None:
        if not ip_address(client_address()).is_loopback:
            raise errors.of_status(404)

    @routes.get("")
    def mails() -> str:
        """All mails, newest first."""
        files = sorted(folder.glob("*.eml"), key=lambda file: (_written(file), file.name), reverse=True)
        found = [mail for file in files[:MOST_SHOWN] if (mail := _read(file)) is not None]
        return render_template("notify/dev_mails.html", mails=found, total=len(files))

    @routes.get("/<name>")
    def mail(name: str) -> Response:
        """One mail: its HTML in a frame, its text, its links, its headers."""
        response = make_response(render_template("notify/dev_mail.html", mail=_find(folder, name)))
        response.headers["Content-Security-Policy"] = content_security_policy(
            current_origin(), frame_src="'self'"
        )
        return response

    @routes.get("/<name>/html")
    def html(name: str) -> Response:
        """The HTML part as a page of its own, with neither scripts nor anything from elsewhere."""
        body = _find(folder, name).html.replace("<head>", '<head><base target="_blank">', 1)
        response = make_response(body)
        response.headers["Content-Security-Policy"] = _CSP_OF_MAIL
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
        return response

    return routes


def _find(folder: Path, name: str) -> Mail:
    # The name is looked for in the folder's list and never made into a path.
    for file in folder.glob("*.eml"):
        if file.name == name and (mail := _read(file)) is not None:
            return mail
    raise mail_not_found()


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(file: Path) -> Mail | None:
    try:
        message = message_from_bytes(file.read_bytes(), policy=policy.default)
    except FileNotFoundError:
        return None
    return Mail(
        name=file.name,
        written_at=datetime.fromtimestamp(_written(file), UTC),
        sender=str(message["From"]),
        to=str(message["To"]),
        subject=str(message["Subject"]),
        text=_part(message, "plain"),
        html=_part(message, "html"),
        headers=tuple((name, str(value)) for name, value in message.items()),
    )


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return str(part.get_content()) if part is not None else ""
