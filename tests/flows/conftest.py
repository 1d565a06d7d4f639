"""The stack that the flows go through, started once for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.postgres import PostgresServer
from embedded.valkey import ValkeyServer
from tests.support.mailbox import Mailbox
from tests.support.rabbitmq import RabbitServer
from tests.support.stack import Stack

REPLAY = {"REPLAY_SPEED": "4", "REPLAY_WARMUP": "200"}


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as mailbox:
        yield mailbox


@pytest.fixture(scope="session")
def stack(
    postgres: PostgresServer,
    rabbitmq: RabbitServer,
    valkey: ValkeyServer,
    mailbox: Mailbox,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("stack")
    settings = {"MAIL_URL": mailbox.url, **REPLAY}
    with Stack(folder, postgres, rabbitmq.url, valkey.url, settings) as stack:
        yield stack
