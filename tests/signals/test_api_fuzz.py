"""The API of signals under requests that its own OpenAPI document makes up, and under worse ones.

At full size (``--full-size``) they are more than 10,000.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import schemathesis
from apiflask import APIFlask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.signals.algorithms import ALGORITHMS
from shared.db.engine import Database
from shared.web.paging import encode_cursor
from tests.shared.web.person import headers
from tests.signals import site
from tests.signals.conftest import Copied

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
]  # fmt: skip
SMALL, FULL = 6, 450
"""Requests for each endpoint and way of making them up."""

log = logging.getLogger(__name__)
ODD = ["", "\x00", "T0\x00", "null", "-1", "0", "1e309", "NaN", "9" * 400, "%00", "';--", "[]", "{}"]
JUNK = st.one_of(st.text(max_size=60), st.sampled_from(ODD))
NAMES = st.sampled_from(["T0", "T1", "T4", "NOBODY", "kraken:BTC/USDT", "A" * 40])
EDGES = [
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "2020-01-04", "2020-01-04T12:00:00Z", "2020-02-30",
    "9999-12-31T23:59:59.999999-14:00", "10000-01-01T00:00:00Z", "-infinity", "now", "epoch",
]  # fmt: skip
TIMES = st.one_of(
    st.datetimes().map(datetime.isoformat),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.sampled_from(EDGES),
)
KEYS = st.sampled_from([*ALGORITHMS, "1h", "9d"])
BIG = st.integers(-(2**63), 2**64 - 1)
PARTS = st.one_of(TIMES, NAMES, KEYS, st.text(max_size=20), BIG, st.none())
CURSORS = st.lists(PARTS, max_size=5).map(lambda parts: encode_cursor(tuple(parts)))
LIKELY: dict[str, st.SearchStrategy[str]] = {
    "days": st.sampled_from(["30", "90", "365", "7"]),
    "ticker": st.one_of(NAMES, st.lists(NAMES, max_size=120).map(",".join)),
    "algorithm": st.sampled_from([*ALGORITHMS, "no_such"]),
    "timeframe": st.sampled_from(["1h", "4h", "1d", "2h"]),
    "view": st.sampled_from(["BUY", "SELL", "HOLD", "STALE"]),
    "signal": st.sampled_from(["BUY", "SELL", "HOLD"]),
    "since": TIMES,
    "until": TIMES,
    "limit": st.integers(-5, 600).map(str),
    "stale": st.sampled_from(["true", "false", "1"]),
    "late": st.sampled_from(["true", "false", "yes"]),
    "cursor": CURSORS,
}


def queries(operation: Any) -> st.SearchStrategy[dict[str, str]]:
    """Parameters of an endpoint with values that mostly mean something, and now and then an unknown one."""
    known = {name: LIKELY.get(name, JUNK) for name in sorted(each.name for each in operation.query)}
    values = {name: st.one_of(likely, likely, likely, JUNK) for name, likely in known.items()}
    strange = st.one_of(st.none(), st.none(), st.none(), JUNK)
    return st.tuples(st.fixed_dictionaries({}, optional=values), strange).map(
        lambda made: made[0] | ({} if made[1] is None else {"surprise": made[1]})
    )


@pytest.fixture(scope="module")
def database(kept_copied: Copied) -> Database:
    """A market with changes that were late and a ticker that fell silent."""
    return kept_copied(site.fill_with_silence)


@pytest.fixture(scope="module")
def app(database: Database) -> APIFlask:
    return site.app(database)


@pytest.fixture(scope="module")
def operations(app: APIFlask) -> list[Any]:
    """What the document lists."""
    schema = schemathesis.openapi.from_wsgi("/api/docs/signals.json", app)
    return [result.ok() for result in schema.get_all_operations()]


def test_the_document_is_sound_openapi(app: APIFlask) -> None:
    document = app.test_client().get("/api/docs/signals.json").json
    OpenAPIV31SpecValidator(document).validate()  # type: ignore[arg-type]


def test_the_document_lists_every_public_endpoint(app: APIFlask, operations: list[Any]) -> None:
    served = {rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/v1/")}
    assert {operation.path for operation in operations} == served


@pytest.mark.parametrize("kind", ["as documented", "against the document", "at random"])
def test_every_request_is_answered_as_documented_and_never_by_a_fault_of_ours(
    kind: str, operations: list[Any], full_size: bool
) -> None:
    answers: Counter[int] = Counter()
    for operation in operations:
        if kind == "against the document" and not operation.query:
            continue  # there is nothing that a request to it could get wrong
        for case in _answered(operation, kind, FULL if full_size else SMALL):
            answers[case] += 1
    log.warning("%s: %d requests, by status %s", kind, answers.total(), dict(sorted(answers.items())))
    assert answers[200] > 0
    assert set(answers) <= {200, 400, 404}


def _answered(operation: Any, kind: str, count: int) -> Iterator[int]:
    """Make requests to an endpoint, check each answer; gives the statuses."""
    statuses: list[int] = []
    cases = {
        "as documented": lambda: operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        "against the document": lambda: operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        "at random": lambda: queries(operation).map(lambda query: operation.Case(query=query)),
    }[kind]()

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def ask(case: Any) -> None:
        response = case.call(headers=headers())
        case.validate_response(response, checks=CHECKS)
        statuses.append(response.status_code)

    ask()
    yield from statuses
