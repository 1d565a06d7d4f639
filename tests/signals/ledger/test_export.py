"""The daily head: one for each UTC day, written out once, wherever it goes and whatever goes wrong."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import rfc8785
from flask.testing import FlaskClient
from moto.server import ThreadedMotoServer
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.signals.config import Settings
from services.signals.errors import ExportError
from services.signals.ledger.bucket import Bucket
from services.signals.ledger.export import Folder, head_job, keep_head, write_out
from services.signals.ledger.heads import read_file, read_files
from services.signals.ledger.records import GENESIS
from shared.db.engine import Database
from tests.signals import closing, site
from tests.signals.local_market import settings
from tests.signals.market import batches, random_walk
from tests.signals.test_runner import MakeDatabase

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def database(migrated: MakeDatabase) -> Database:
    database = migrated("signals")
    closing.close_all(database, batches(random_walk(3, 4, seed=1)))
    return database


@pytest.fixture
def s3() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="ledger")
    yield client
    client.close()
    server.stop()


def test_a_head_holds_the_ends_of_all_chains_and_names_the_one_before(database: Database) -> None:
    first = keep_head(database, NOON)
    assert first is not None
    assert keep_head(database, NOON + timedelta(hours=11)) is None
    closing.close_all(database, list(batches(random_walk(5, 4, seed=1)))[3:])
    second = keep_head(database, NOON + DAY)
    assert second is not None
    assert (first.previous, second.previous) == (GENESIS, first.hash)
    content = json.loads(second.document)
    assert rfc8785.dumps(content).decode() == second.document
    assert hashlib.sha256(second.document.encode()).hexdigest() == second.hash
    with database.read() as connection:
        ends = connection.execute(
            text(
                "SELECT DISTINCT ON (partition) partition, sequence, hash FROM ledger"
                " ORDER BY partition, sequence DESC"
            )
        ).all()
    assert {
        (each["partition"], each["sequence"], each["hash"]) for each in content["chains"] if each["sequence"]
    } == {tuple(row) for row in ends}
    assert [each["partition"] for each in content["chains"]] == list(range(16))


def test_an_empty_ledger_has_no_head(migrated: MakeDatabase) -> None:
    assert keep_head(migrated("signals"), NOON) is None


def test_heads_are_written_to_a_folder_once_and_never_over_another(
    database: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "heads"
    keep_head(database, NOON)
    keep_head(database, NOON + DAY)
    assert write_out(database, Folder(folder)) == 2
    assert write_out(database, Folder(folder)) == 0
    assert [path.name for path in sorted(folder.iterdir())] == ["2026-11-27.json", "2026-11-28.json"]
    assert [ends.day.day for _, ends in read_files(Folder(folder).files())] == [27, 28]

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "2026-11-28.json").write_bytes(b"another")
    assert write_out(database, Folder(elsewhere)) == 1
    assert (elsewhere / "2026-11-28.json").read_bytes() == b"another"
    assert REGISTRY.get_sample_value("signals_ledger_heads_waiting") == 1


def test_a_folder_that_cannot_be_written_is_tried_again(database: Database, tmp_path: Path) -> None:
    (tmp_path / "heads").write_text("in the way")
    job = head_job(database, f"file:{tmp_path / 'heads'}")
    job()
    assert REGISTRY.get_sample_value("signals_ledger_heads_waiting") == 1
    (tmp_path / "heads").unlink()
    job()
    assert REGISTRY.get_sample_value("signals_ledger_heads_waiting") == 0
    assert len(list((tmp_path / "heads").iterdir())) == 1


def test_heads_are_written_to_a_bucket_once_and_never_over_another(
    database: Database, s3: Any, tmp_path: Path
) -> None:
    ends = keep_head(database, NOON)
    assert ends is not None
    bucket = Bucket("ledger", "heads/of/us", s3)
    assert write_out(database, bucket) == 1
    there = s3.get_object(Bucket="ledger", Key="heads/of/us/2026-11-27.json")["Body"].read()
    assert read_file(there) == ends
    s3.put_object(Bucket="ledger", Key="heads/of/us/elsewhere/2026-11-26.json", Body=b"of somebody else")
    assert read_files(bucket.files()) == [("2026-11-27.json", ends)]
    bucket.write(ends)
    s3.put_object(Bucket="ledger", Key="heads/of/us/2026-11-27.json", Body=b"another")
    with pytest.raises(ExportError, match=r"another 2026-11-27\.json is there already"):
        bucket.write(ends)
    with pytest.raises(ExportError, match="NoSuchBucket"):
        Bucket("nowhere", "", s3).write(ends)
    with pytest.raises(ExportError, match="NoSuchBucket"):
        list(Bucket("nowhere", "", s3).files())
    assert list(Bucket("ledger", "empty", s3).files()) == []


@pytest.mark.parametrize("place", ["ftp://x", "s3://", "folder", "file:"])
def test_another_place_than_a_folder_or_a_bucket_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="ledger_export"):
        settings("postgresql+psycopg://nowhere/x", ledger_export=place)
    assert isinstance(settings("postgresql+psycopg://nowhere/x", ledger_export="s3://a-bucket/x"), Settings)


def get(client: FlaskClient, path: str) -> Any:
    response = client.get(f"/api/v1/ledger/{path}")
    assert response.status_code == 200, response.text
    return response.json


def test_everybody_with_a_session_can_read_the_heads(database: Database) -> None:
    kept = [keep_head(database, NOON + number * DAY) for number in range(3)]
    with site.person(database) as client:
        newest = get(client, "heads?limit=2")
        oldest = get(client, f"heads?limit=2&cursor={newest['next']}")
        items = newest["items"] + oldest["items"]
        assert [(each["date"], each["hash"]) for each in items] == [
            (ends.day.isoformat(), ends.hash) for ends in reversed(kept) if ends
        ]
        assert oldest["next"] is None
        assert hashlib.sha256(items[0]["document"].encode()).hexdigest() == items[0]["hash"]
        assert client.get("/api/v1/ledger/heads?cursor=WyJ4Il0").status_code == 400
    with site.visitor(database) as stranger:
        for path in ("heads", "repaint-checks"):
            assert stranger.get(f"/api/v1/ledger/{path}").status_code == 401
