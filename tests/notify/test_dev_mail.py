"""The mail folder of the embedded default."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from apiflask import APIFlask

from services.notify.app import create_app
from services.notify.channels.email import FolderTransport
from services.notify.composing import Composer
from services.notify.config import Settings
from shared.db.engine import Database
from tests.notify.conftest import Browser
from tests.notify.events import alert, change, changed, entitled, handle, registered
from tests.notify.test_composing import claimed


@pytest.fixture
def embedded(make_settings: Callable[..., Settings], database: Database) -> APIFlask:
    return create_app(make_settings(embedded=True), database)


@pytest.fixture
def here(browser: Callable[..., Browser], embedded: APIFlask) -> Browser:
    """A browser on the same machine."""
    return browser(of=embedded, address="127.0.0.1")


@pytest.fixture
def name(database: Database, make_settings: Callable[..., Settings], tmp_path: Path) -> str:
    """The file of an alert mail to somebody with a hostile name."""
    handle(database, registered("eve", user_name="<script>alert(1)</script>"))
    handle(database, entitled("eve"))
    alert(database, "eve", "BTCUSD")
    handle(database, changed(change("BTCUSD")))
    mail = claimed(database, "view_changed")
    return FolderTransport(tmp_path / "mail").send(Composer(make_settings()).compose(mail), mail.id)


def test_an_empty_folder_says_what_will_be_there(here: Browser) -> None:
    assert "No mail yet" in here.get("/dev/mail").text


def test_the_list_has_the_newest_mail_first(here: Browser, name: str, tmp_path: Path) -> None:
    older = tmp_path / "mail" / f"{uuid.uuid4()}.eml"
    older.write_bytes(b"Subject: an older one\r\nTo: bob@example.org\r\n\r\nHello\r\n")
    os.utime(older, (1, 1))
    page = here.get("/dev/mail").text
    assert page.index("BTCUSD: HOLD → BUY") < page.index("an older one")
    assert f'href="/dev/mail/{name}"' in page


def test_a_mail_shows_its_text_links_and_html_in_a_frame(here: Browser, name: str) -> None:
    page = here.get(f"/dev/mail/{name}")
    assert 'href="http://127.0.0.1:8000/tickers/BTCUSD"' in page.text
    assert 'href="http://127.0.0.1:8000/unsubscribe/' in page.text
    assert f'src="/dev/mail/{name}/html"' in page.text
    assert "<script>alert" not in page.text
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]


def test_the_html_of_a_mail_may_run_and_load_nothing(here: Browser, name: str) -> None:
    html = here.get(f"/dev/mail/{name}/html")
    policy = html.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
    assert "<script>alert" not in html.text
    assert '<base target="_blank">' in html.text


@pytest.mark.parametrize("path", ["", "/{name}", "/{name}/html"])
def test_other_machines_find_nothing_there(
    path: str, browser: Callable[..., Browser], embedded: APIFlask, name: str
) -> None:
    assert browser(of=embedded).get("/dev/mail" + path.format(name=name)).status_code == 404


@pytest.mark.parametrize(
    "path", ["/dev/mail/none.eml", "/dev/mail/..%2fsecret", "/dev/mail/..%2F..%2Fetc%2Fpasswd"]
)
def test_what_is_not_in_the_folder_is_not_found(path: str, here: Browser, name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    assert here.get(path).status_code == 404


def test_outside_the_embedded_default_the_routes_do_not_exist(
    app: APIFlask, make_settings: Callable[..., Settings], database: Database
) -> None:
    by_smtp = create_app(make_settings(embedded=True, mail_url="smtp://mail.example"), database)
    for each in (app, by_smtp):
        assert [rule for rule in each.url_map.iter_rules() if rule.rule.startswith("/dev")] == []
