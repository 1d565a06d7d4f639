"""Every event has a golden file; what was published once must be read for ever, to the byte."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.registry import EVENTS, PUBLISHERS, InvalidMessage, decode, encode

GOLDEN = Path(__file__).parent / "golden"


def golden(key: str) -> bytes:
    return (GOLDEN / f"{key}.json").read_bytes().rstrip(b"\n")


def test_every_event_has_a_golden_file_and_no_file_is_left_over() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == sorted(EVENTS)


def test_every_event_has_a_publisher() -> None:
    assert {key.partition(".")[0] for key in EVENTS} == set(PUBLISHERS)


@pytest.mark.parametrize("key", sorted(EVENTS))
def test_reading_and_writing_give_the_golden_bytes(key: str) -> None:
    envelope = decode(key, golden(key))
    assert type(envelope.data) is EVENTS[key]
    assert encode(envelope) == golden(key)


@pytest.mark.parametrize("key", sorted(EVENTS))
def test_the_order_and_spacing_of_the_outbox_column_do_not_matter(key: str) -> None:
    as_jsonb = json.dumps(json.loads(golden(key)), sort_keys=True, indent=1).encode()
    assert encode(decode(key, as_jsonb)) == golden(key)


@pytest.mark.parametrize("key", sorted(EVENTS))
def test_an_unknown_field_is_refused(key: str) -> None:
    body: dict[str, Any] = json.loads(golden(key))
    body["data"]["surprise"] = 1
    with pytest.raises(InvalidMessage, match="surprise"):
        decode(key, json.dumps(body).encode())


@pytest.mark.parametrize("key", sorted(EVENTS))
def test_each_missing_field_is_refused(key: str) -> None:
    whole: dict[str, Any] = json.loads(golden(key))
    for field in whole["data"]:
        body = {**whole, "data": {name: value for name, value in whole["data"].items() if name != field}}
        with pytest.raises(InvalidMessage, match=field):
            decode(key, json.dumps(body).encode())


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"data": {}}', b'"' + b"x" * 100_000 + b'"']
)
def test_what_is_no_envelope_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode("auth.user_deleted.v1", body)


def test_an_unknown_or_foreign_key_is_refused() -> None:
    with pytest.raises(InvalidMessage, match=r"unknown event auth\.user_renamed\.v1"):
        decode("auth.user_renamed.v1", golden("auth.user_deleted.v1"))
    with pytest.raises(InvalidMessage):
        decode("auth.user_deleted.v1", golden("auth.user_registered.v1"))


def test_the_refusal_names_no_value() -> None:
    body: dict[str, Any] = json.loads(golden("auth.user_registered.v1"))
    body["data"]["email"] = {"secret": "ada@example.org"}
    with pytest.raises(InvalidMessage) as refused:
        decode("auth.user_registered.v1", json.dumps(body).encode())
    assert "ada@example.org" not in str(refused.value)
