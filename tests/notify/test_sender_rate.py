"""How many mails are sent at once, and how many a second."""

import itertools
import json
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from embedded.processes import LOOPBACK
from services.notify import sender
from services.notify.config import Settings
from services.notify.repository import deliveries
from services.notify.sender import MailSender
from shared.db.engine import Database
from tests.notify.conftest import LEASE
from tests.notify.events import (
    eventually,
    people,
    rows,
    running,
    states,
)
from tests.notify.smtp import SmtpServer


def test_the_rate_is_kept_over_all_senders(database: Database) -> None:
    people(database, 4)
    waits = []
    for _ in range(4):
        with database.transaction() as session:
            claimed = deliveries.claim(session, lease=LEASE, provider="ses", rate=0.1)
            assert claimed is not None
            waits.append(claimed.wait)
    assert waits == pytest.approx([0, 10, 20, 30], abs=4)


def test_no_place_in_the_rate_is_taken_when_nothing_is_due(database: Database) -> None:
    with database.transaction() as session:
        assert deliveries.claim(session, lease=LEASE, provider="ses", rate=1) is None
    assert rows(database, "SELECT * FROM send_rate") == []


def test_a_sender_that_waits_for_its_turn_hands_the_mail_back_when_it_stops(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 2)
    with running(make_sender(smtp.url, rate=0.001)):
        eventually(lambda: states(database).get("sent") == 1 and states(database).get("sending") == 1)
    assert states(database) == {"sent": 1, "pending": 1}
    assert len(smtp.accepted) == 1


def test_a_sender_that_waits_for_its_turn_says_that_it_is_alive(
    database: Database, smtp: SmtpServer, make_sender: Callable[..., MailSender]
) -> None:
    people(database, 2)
    stop, beats = threading.Event(), itertools.count()
    beaten: list[int] = []
    waiting = make_sender(smtp.url, rate=0.001)
    thread = threading.Thread(target=waiting.run, args=(stop, lambda: beaten.append(next(beats))))
    thread.start()
    try:
        eventually(lambda: states(database) == {"sent": 1, "sending": 1})
        before = len(beaten)
        eventually(lambda: len(beaten) >= before + 2)
    finally:
        stop.set()
        thread.join(10)
    assert states(database) == {"sent": 1, "pending": 1}


class PatientSes:
    """An SES that accepts mails only when so many are under way at once."""

    def __init__(self, at_once: int) -> None:
        meeting = threading.Barrier(at_once)

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    meeting.wait(12)
                    status, body = 200, {"MessageId": uuid.uuid4().hex}
                except threading.BrokenBarrierError:
                    status, body = 400, {"message": "too few at once"}
                answer = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Answers)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"ses://eu-west-1?endpoint=http://{LOOPBACK}:{self._server.server_address[1]}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def test_as_many_mails_are_under_way_at_once_as_the_settings_say(
    database: Database, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    people(database, 6)
    ses = PatientSes(at_once=3)
    try:
        with running(*sender.loops(make_settings(mail_url=ses.url, mail_concurrency=3), database)):
            eventually(lambda: states(database) == {"sent": 6})
    finally:
        ses.stop()
