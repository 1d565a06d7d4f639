"""The three ways out: SES, SMTP, a folder."""

import itertools
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_string
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from embedded.processes import LOOPBACK, free_port
from services.notify.channels.email import (
    Deferred,
    FolderTransport,
    MailTransport,
    Refused,
    SesTransport,
    SmtpTransport,
    Unavailable,
    transport_of,
)
from services.notify.config import folder_of
from tests.notify.smtp import SmtpServer


def mail(to: str = "ada@example.org") -> EmailMessage:
    message = EmailMessage(policy=WIRE)
    message["From"] = "Boritrader <noreply@boritrader.example>"
    message["To"] = to
    message["Subject"] = "BTCUSD: HOLD → BUY"
    message["Message-ID"] = "<1@boritrader.example>"
    message.set_content("Grüße")
    message.add_alternative("<p>Grüße</p>", subtype="html")
    return message


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    server = SmtpServer(auth_require_tls=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def transport(smtp: SmtpServer) -> Iterator[MailTransport]:
    made = transport_of(f"smtp://{LOOPBACK}:{smtp.port}", timeout=5)
    yield made
    made.close()


def test_smtp_hands_the_mail_over_and_keeps_its_connection(
    smtp: SmtpServer, transport: MailTransport
) -> None:
    assert transport.send(mail(), uuid.uuid4()) == "<1@boritrader.example>"
    transport.send(mail("bob@example.org"), uuid.uuid4())
    assert [envelope.rcpt_tos for envelope in smtp.accepted] == [["ada@example.org"], ["bob@example.org"]]
    assert smtp.accepted[0].mail_from == "noreply@boritrader.example"
    assert smtp.connections == 1


@pytest.mark.parametrize("step", ["RCPT", "DATA"])
@pytest.mark.parametrize(("answer", "verdict"), [("550 no such user", Refused), ("451 greylisted", Deferred)])
def test_smtp_tells_never_from_not_now(
    step: str, answer: str, verdict: type[Exception], smtp: SmtpServer, transport: MailTransport
) -> None:
    smtp.answers[step] = answer
    with pytest.raises(verdict, match=answer):
        transport.send(mail(), uuid.uuid4())
    smtp.answers.clear()
    transport.send(mail(), uuid.uuid4())
    assert smtp.connections == 1  # one refused mail does not end the conversation


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("MAIL", "530 authentication required"),
        ("MAIL", "421 too many connections"),
        ("RCPT", "421 shutting down"),
    ],
)
def test_what_is_wrong_with_the_server_is_not_the_mails_fault(
    step: str, answer: str, smtp: SmtpServer, transport: MailTransport
) -> None:
    smtp.answers[step] = answer
    with pytest.raises(Unavailable):
        transport.send(mail(), uuid.uuid4())
    smtp.answers.clear()
    transport.send(mail(), uuid.uuid4())
    assert len(smtp.accepted) == 1


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        transport_of(f"smtp://{LOOPBACK}:{free_port()}", timeout=2).send(mail(), uuid.uuid4())


class SlowServer:
    """Says yes to everything, so slowly that each step is fine and the whole of it is not."""

    def __init__(self, pieces: int, pause: float) -> None:
        self._pieces, self._pause = pieces, pause
        self._over = threading.Event()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        self._listener.settimeout(5)
        connection, _ = self._listener.accept()
        with connection, suppress(OSError):
            connection.settimeout(5)
            for code in itertools.chain(["220"], itertools.repeat("250")):
                line = f"{code} {'.' * 300}\r\n".encode()
                size = len(line) // self._pieces + 1
                for place in range(0, len(line), size):
                    if self._over.wait(self._pause):
                        return
                    connection.sendall(line[place : place + size])
                if not connection.recv(1000):
                    return


@pytest.mark.parametrize(("pieces", "pause"), [(1, 1.0), (100, 0.2)], ids=["steps", "trickle"])
def test_a_mail_is_over_in_time_however_many_steps_it_takes(pieces: int, pause: float) -> None:
    server = SlowServer(pieces, pause)
    slow = transport_of(f"smtp://{LOOPBACK}:{server.port}", timeout=1.5)
    began = time.monotonic()
    try:
        with pytest.raises(Unavailable):
            slow.send(mail(), uuid.uuid4())
        assert time.monotonic() - began < 4  # all of its steps take six seconds and more
    finally:
        slow.close()
        server.stop()


def test_a_server_that_went_away_is_found_again(smtp: SmtpServer, transport: MailTransport) -> None:
    transport.send(mail(), uuid.uuid4())
    smtp.stop()
    with pytest.raises(Unavailable):
        transport.send(mail(), uuid.uuid4())
    smtp.start()
    transport.send(mail(), uuid.uuid4())
    assert len(smtp.accepted) == 2


def test_the_password_is_told_without_tls_only_when_the_url_says_never(smtp: SmtpServer) -> None:
    address = f"user%40x:p%40ss%2Fword@{LOOPBACK}:{smtp.port}"
    with pytest.raises(Unavailable, match="offers no TLS"):
        transport_of(f"smtp://{address}", timeout=5).send(mail(), uuid.uuid4())
    assert smtp.logins == []
    plain = transport_of(f"smtp://{address}?starttls=never", timeout=5)
    plain.send(mail(), uuid.uuid4())
    plain.close()
    assert smtp.logins == [b"user@x"]


def test_a_wrong_password_leaves_the_mail_for_later(smtp: SmtpServer) -> None:
    wrong = transport_of(f"smtp://user:wrong@{LOOPBACK}:{smtp.port}?starttls=never", timeout=1)
    with pytest.raises(Unavailable):
        wrong.send(mail(), uuid.uuid4())


def test_tls_can_be_required(smtp: SmtpServer) -> None:
    with pytest.raises(Unavailable, match="offers no TLS"):
        transport_of(f"smtp://{LOOPBACK}:{smtp.port}?starttls=required", timeout=5).send(mail(), uuid.uuid4())
    assert smtp.accepted == []


def test_a_folder_gets_one_whole_file_for_each_delivery(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    out = FolderTransport(folder)
    delivery = uuid.uuid4()
    names = {out.send(mail(), delivery) for _ in range(2)}
    assert names == {f"{delivery}.eml"}
    assert [file.name for file in folder.iterdir()] == [f"{delivery}.eml"]
    assert b"Subject: BTCUSD" in (folder / f"{delivery}.eml").read_bytes()


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file where the folder should be")
    with pytest.raises(Unavailable):
        FolderTransport(tmp_path / "mail").send(mail(), uuid.uuid4())


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The address of a stand-in for AWS."""
    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def ses(aws: str, monkeypatch: pytest.MonkeyPatch) -> SesTransport:
    requests.post(f"{aws}/moto-api/reset", timeout=5)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    made = transport_of(f"ses://eu-west-1?endpoint={aws}", timeout=5)
    assert isinstance(made, SesTransport)
    return made


def verify_sender(aws: str) -> None:
    client = boto3.client("sesv2", region_name="eu-west-1", endpoint_url=aws)
    client.create_email_identity(EmailIdentity="boritrader.example")


def test_ses_gets_the_raw_mail_with_the_delivery_as_its_tag(aws: str, ses: SesTransport) -> None:
    verify_sender(aws)
    seen: list[dict[str, Any]] = []
    ses._client.meta.events.register(
        "provide-client-params.sesv2.SendEmail", lambda params, **_: seen.append(params)
    )
    delivery = uuid.uuid4()
    message_id = ses.send(mail(), delivery)
    assert message_id
    assert seen[0]["EmailTags"] == [{"Name": "delivery", "Value": str(delivery)}]
    (kept,) = requests.get(f"{aws}/moto-api/data.json", timeout=5).json()["ses"]["RawMessage"]
    assert (kept["id"], kept["destinations"]) == (message_id, ["ada@example.org"])
    assert message_from_string(kept["raw_data"])["Message-ID"] == "<1@boritrader.example>"


def test_ses_refuses_what_it_never_sends(ses: SesTransport) -> None:
    with pytest.raises(Refused, match="MessageRejected"):
        ses.send(mail(), uuid.uuid4())


class Ses:
    """An SES that only knows one answer."""

    def __init__(self, code: str) -> None:
        self.code = code

    def send_email(self, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "SendEmail")


@pytest.mark.parametrize(
    "code",
    ["TooManyRequestsException", "ThrottlingException", "SendingPausedException", "AccessDeniedException"],
)
def test_ses_that_takes_nothing_now_is_unavailable(code: str) -> None:
    with pytest.raises(Unavailable, match=code):
        SesTransport(Ses(code)).send(mail(), uuid.uuid4())


def test_ses_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    nowhere = transport_of(f"ses://eu-west-1?endpoint=http://{LOOPBACK}:{free_port()}", timeout=1)
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        nowhere.send(mail(), uuid.uuid4())


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:var/mail", Path("var/mail")),
        ("file:/srv/mail", Path("/srv/mail")),
        ("file:///srv/mail", Path("/srv/mail")),
        ("smtp://host", None),
    ],
)
def test_the_folder_of_a_url(url: str, folder: Path | None) -> None:
    assert folder_of(url) == folder


def test_one_url_chooses_the_transport() -> None:
    assert isinstance(transport_of("smtps://user:pw@mail.example", timeout=1), SmtpTransport)
    assert isinstance(transport_of("file:var/mail", timeout=1), FolderTransport)
    for url in ("http://x", "smtp://", "file:", "ses://", "smtp://host?starttls=maybe"):
        with pytest.raises(ValueError, match=r"mail URL|starttls"):
            transport_of(url, timeout=1)
