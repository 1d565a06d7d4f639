"""A sender that is killed: no mail is lost, and one doubled at most."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from embedded.processes import LOOPBACK
from services.notify.channels.email import FolderTransport
from services.notify.composing import Composer
from services.notify.config import Settings
from services.notify.repository import deliveries
from shared.db.engine import Database
from tests.notify.events import (
    eventually,
    people,
    rows,
    states,
)
from tests.notify.smtp import SmtpServer

ROOT = Path(__file__).parents[2]


class SenderProcess:
    """A real sender process, to be killed."""

    def __init__(self, database_url: str, mail_url: str) -> None:
        settings = {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "s" * 32,
            "IDENTITY_PUBLIC_KEYS": "{}",
            "MAIL_URL": mail_url,
            "MAIL_FROM": "noreply@boritrader.example",
            "MAIL_TIMEOUT": "0.5",
            "MAIL_LEASE": "4",
            "HEALTH_PORT": "0",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.notify", "sender"],
            cwd=ROOT,
            env=os.environ | settings,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(25)


def test_a_kill_between_sending_and_writing_it_down_doubles_one_mail_at_most(
    database: Database, smtp: SmtpServer
) -> None:
    people(database, 40)
    url = database.engine.url.render_as_string(hide_password=False)
    kills = 3
    victims = iter(random.Random(3).sample(range(1, 40), kills))
    at = sorted(victims)
    process = SenderProcess(url, smtp.url)
    killed = threading.Event()

    def kill_now_and_then() -> None:
        # The server has the mail, the sender has not heard so: the worst moment there is.
        if at and len(smtp.accepted) == at[0] + 1:
            at.pop(0)
            process.kill()
            killed.set()

    smtp.on_accepted = kill_now_and_then
    for _ in range(kills):
        assert killed.wait(30)
        killed.clear()
        process = SenderProcess(url, smtp.url)
    eventually(lambda: states(database) == {"sent": 40}, seconds=40)
    assert process.stop() == 0
    copies = Counter(str(message["Message-ID"]) for message in smtp.messages())
    assert len(copies) == 40  # none lost
    assert len(smtp.accepted) - 40 <= kills  # each kill doubled one at most, and with the same Message-ID
    resent = rows(database, "SELECT count(*) FROM delivery WHERE receipt ? 'resent'")
    assert resent[0]["count"] == kills


def test_a_kill_before_sending_loses_nothing(database: Database) -> None:
    people(database, 1)
    url = database.engine.url.render_as_string(hide_password=False)
    blackhole = socket.create_server((LOOPBACK, 0))  # accepts, and never says a word
    process = SenderProcess(url, f"smtp://{LOOPBACK}:{blackhole.getsockname()[1]}")
    eventually(lambda: states(database) == {"sending": 1})
    process.kill()
    blackhole.close()
    smtp = SmtpServer()
    smtp.start()
    process = SenderProcess(url, smtp.url)
    eventually(lambda: states(database) == {"sent": 1}, seconds=30)
    assert process.stop() == 0
    smtp.stop()
    assert len(smtp.accepted) == 1


def test_a_folder_holds_each_mail_once_whatever_was_killed(
    database: Database, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    people(database, 1)
    folder = FolderTransport(tmp_path)
    composer = Composer(make_settings())
    for _ in range(2):  # sent, not written down, sent again
        with database.transaction() as session:
            deliveries.reclaim(session)
            claimed = deliveries.claim(session, lease=timedelta(), provider="file", rate=None)
        assert claimed is not None
        folder.send(composer.compose(claimed), claimed.id)
    assert len(list(tmp_path.glob("*.eml"))) == 1
