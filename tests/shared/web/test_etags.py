"""A client that has the newest state is told so."""

from collections.abc import Callable

import pytest
from flask import Flask, Response
from werkzeug.test import TestResponse

from shared.web.etags import conditional_json, not_modified, versioned_json


def _ask(answer: Callable[[], Response | None], etag: str | None = None) -> TestResponse:
    app = Flask("x")
    app.add_url_rule("/", view_func=lambda: answer() or "asked the database")
    return app.test_client().get("/", headers={"If-None-Match": etag} if etag else {})


def test_the_same_state_is_304_without_a_body() -> None:
    first = _ask(lambda: conditional_json({"a": 1}))
    assert first.headers["ETag"].startswith('W/"')
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = _ask(lambda: conditional_json({"a": 1}), first.headers["ETag"])
    assert (again.status_code, again.text) == (304, "")


def test_another_state_is_sent() -> None:
    first = _ask(lambda: conditional_json({"a": 1}))
    second = _ask(lambda: conditional_json({"a": 2}), first.headers["ETag"])
    assert (second.status_code, second.json) == (200, {"a": 2})


def test_a_version_answers_before_the_query() -> None:
    tag = _ask(lambda: versioned_json({"a": 1}, "17")).headers["ETag"]
    known = _ask(lambda: not_modified("17"), tag)
    assert (known.status_code, known.text, known.headers["ETag"]) == (304, "", tag)
    assert _ask(lambda: not_modified("18"), tag).text == "asked the database"
    assert _ask(lambda: not_modified("17")).text == "asked the database"


@pytest.mark.parametrize("tag", ['"x"', "garbage", 'W/"', ""])
def test_tags_of_others_are_not_ours(tag: str) -> None:
    assert _ask(lambda: not_modified("17"), tag).text == "asked the database"
