"""Addresses of built files."""

import json
from pathlib import Path

import pytest
from flask import render_template_string

from shared.web.static import UnknownStaticFile, static_url
from tests.shared.web.conftest import MakeApp


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The folder of a build with one file."""
    (tmp_path / "manifest.json").write_text(json.dumps({"shared/app.css": "shared/app-ABCDEFGH.css"}))
    return tmp_path


def test_templates_get_the_hashed_name(make_app: MakeApp, built: Path) -> None:
    with make_app(static_dir=built).test_request_context():
        assert (
            render_template_string("{{ static_url('shared/app.css') }}") == "/static/shared/app-ABCDEFGH.css"
        )


def test_a_name_that_was_not_built_is_an_error_not_a_broken_page(make_app: MakeApp, built: Path) -> None:
    with (
        make_app(static_dir=built).test_request_context(),
        pytest.raises(UnknownStaticFile, match=r"signals/x\.js"),
    ):
        static_url("signals/x.js")


def test_without_a_build_names_are_plain(make_app: MakeApp) -> None:
    with make_app().test_request_context():
        assert static_url("signals/x.js") == "/static/signals/x.js"


def test_a_folder_without_a_build_says_what_to_do(make_app: MakeApp, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make setup"):
        make_app(static_dir=tmp_path / "empty")
