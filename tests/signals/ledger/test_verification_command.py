"""`ledger verify` as a command, with files of heads, and on a ledger that grows."""

import re
import sys
from pathlib import Path

import pytest

from services.signals.__main__ import main
from services.signals.errors import BadHead
from services.signals.feeds.replay import read_recording
from services.signals.ledger.export import Folder
from services.signals.ledger.heads import read_files
from services.signals.ledger.verification import verify
from shared.db.engine import Database
from tests.signals import local_market
from tests.signals.audited import CHAIN
from tests.signals.ledger.tampering import Market, execute, tampered
from tests.signals.local_market import running
from tests.signals.test_feed import write
from tests.signals.test_runner import MakeUrl


def test_a_file_that_was_edited_or_left_out_is_named(
    database: Database, market: Market, tmp_path: Path
) -> None:
    files = sorted(market.heads.iterdir())
    for path in files:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / files[0].name).write_bytes(files[0].read_bytes().replace(b'"sequence":', b'"sequence": '))
    with pytest.raises(BadHead, match=r"2026-11-27.json"):
        read_files(Folder(tmp_path).files())
    (tmp_path / files[0].name).unlink()
    verify(database, read_files(Folder(tmp_path).files()))
    tampered(database, execute("DELETE FROM ledger_head WHERE day = '2026-11-27'"))
    with pytest.raises(BadHead, match="is not the first one"):
        verify(database)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["signals", "ledger", *arguments])
    return main()


def test_the_command_says_good_or_names_the_first_bad_record_or_that_it_could_not_look(
    database: Database,
    market: Market,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    assert command(monkeypatch, "verify", "--database", url, "--heads", str(market.heads)) == 0
    said = capsys.readouterr().out
    assert re.match(r"good: .* and [1-9]\d* exported heads", said)
    monkeypatch.setenv("LEDGER_EXPORT", f"file:{market.heads}")
    assert command(monkeypatch, "verify", "--database", url) == 0
    assert capsys.readouterr().out == said
    monkeypatch.setenv("LEDGER_EXPORT", "")
    tampered(database, execute("DELETE FROM ledger WHERE partition = :p AND sequence = 23"))
    monkeypatch.setenv("DATABASE_URL", url)
    assert command(monkeypatch, "verify") == 1
    assert capsys.readouterr().out == f"chain {CHAIN}, record 23: it is missing: record 24 comes next\n"
    for nothing in (
        ("--heads", str(tmp_path)),
        ("--heads", str(tmp_path / "none")),
        ("--database", url.replace(str(database.engine.url.database), "none")),
    ):
        assert command(monkeypatch, "verify", *nothing) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 3


def test_a_market_of_feed_relay_and_three_runners_is_good_while_it_runs_and_after(
    database_url: MakeUrl, tmp_path: Path
) -> None:
    for number, name in enumerate(("AAA", "BBB", "CCC", "DDD", "EEE")):
        write(tmp_path, name, 60 + number)
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    batches = sum(1 for _ in read_recording(tmp_path, "test").batches())
    seen: list[int] = []
    with running(local_market.market_loops(database, url, tmp_path, shards=3)):

        def is_through() -> bool:
            seen.append(verify(database).records)
            return local_market.released(database) == batches

        local_market.wait_until(is_through, "the end")
    assert verify(database).records > 60
    assert len(set(seen)) > 1
    database.dispose()
