"""Several services behind one port."""

import pytest
from flask import Flask

from embedded.mount import Mount, RouteConflict


def app(*rules: str) -> Flask:
    made = Flask(__name__, static_folder=None)
    for rule in ("/healthz", "/readyz", "/metrics", *rules):
        made.add_url_rule(rule, endpoint=rule, view_func=lambda **_: made.name)
    return made


def test_a_path_goes_to_the_service_that_has_it() -> None:
    mount = Mount(
        {
            "a": app("/x", "/things/<int:number>", "/api/v1/things"),
            "b": app("/y", "/api/v1/others/<path:rest>"),
        }
    )
    paths = {
        "/x": "a", "/things/7": "a", "/things/none": "a", "/api/v1/things": "a",
        "/y": "b", "/api/v1/others/a/b": "b", "/api/v1/others": None, "/xy": None,
        "/healthz": None, "/metrics": None, "": None,
    }  # fmt: skip
    assert {path: mount.owner(path) for path in paths} == paths


@pytest.mark.parametrize(
    ("one", "other"),
    [("/same", "/same"), ("/api/<path:all>", "/api/v1/alerts"), ("/t/<a>", "/t/<b>"), ("/<anything>", "/x")],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_two_services_with_one_path_are_an_error_that_names_it(one: str, other: str, swapped: bool) -> None:
    rules = (other, one) if swapped else (one, other)
    with pytest.raises(RouteConflict, match=r"first.*second|second.*first"):
        Mount({"first": app(rules[0]), "second": app(rules[1])})


def test_what_nobody_has_is_not_found() -> None:
    from werkzeug.test import Client

    assert Client(Mount({"a": app("/x")})).get("/none").status_code == 404
    assert Client(Mount({"a": app("/x")})).get("/x").status_code == 200
