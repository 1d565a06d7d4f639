"""What all pages are made of."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from flask import render_template, render_template_string
from flask.testing import FlaskClient
from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, HiddenField, StringField
from wtforms.validators import DataRequired

from shared.web.errors import AppError, respond
from tests.shared.web import person
from tests.shared.web.conftest import MakeApp, browser

MOMENT = datetime(2026, 11, 22, 12, 0, 3, tzinfo=UTC)
FORMS = '{% import "forms.html" as forms %}'
PARTS = '{% import "components.html" as ui %}'


class Page(HTMLParser):
    """Collects what the policy forbids, what is not closed, and ids."""

    VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.attributes.append((tag, named))
        self.inline += [name for name in named if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in named):
            self.inline.append(tag)
        if "id" in named:
            self.ids.append(str(named["id"]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def guide(make_app: MakeApp) -> str:
    """A page with every part, as a signed-in person sees it."""
    app = make_app()
    app.add_url_rule("/dashboard", view_func=lambda: render_template("demo/guide.html", moment=MOMENT))
    return browser(app).get("/dashboard", headers=person.headers(name='<i>"Anna"')).text


def _render(make_app: MakeApp, source: str, **values: Any) -> str:
    with make_app().test_request_context():
        return re.sub(r"\s+", " ", render_template_string(source, **values)).strip()


def test_a_page_has_nothing_inline_and_is_well_formed(guide: str) -> None:
    page = Page(guide)
    assert page.inline == []
    assert len(page.ids) == len(set(page.ids))


def test_a_page_is_the_same_for_keyboard_and_screen_reader(guide: str) -> None:
    page = Page(guide)
    assert '<a class="skip-link" href="#content">' in guide
    assert '<main id="content"' in guide
    labelled = {attributes.get("for") for tag, attributes in page.attributes if tag == "label"}
    for tag, attributes in page.attributes:
        if tag in ("input", "select", "textarea") and attributes.get("type") not in ("hidden", "submit"):
            assert attributes.get("id") in labelled
        for reference in str(attributes.get("aria-describedby") or "").split():
            assert reference in page.ids


def test_the_navigation_knows_where_it_is(guide: str) -> None:
    here = re.findall(r'href="([^"]+)" aria-current="page"', guide)
    assert here == ["/dashboard"]


def test_a_page_carries_its_csrf_token(guide: str) -> None:
    assert re.search(r'<meta name="csrf-token" content="[^"]{40,}">', guide)


def test_names_are_escaped(guide: str) -> None:
    assert "<i>" not in guide
    assert "Log out &lt;i&gt;&#34;Anna&#34;" in guide


def test_the_live_channel_is_for_people_who_are_logged_in(make_app: MakeApp, guide: str) -> None:
    assert 'data-live="/ws/notifications"' in guide
    app = make_app()
    app.add_url_rule("/dashboard", view_func=lambda: render_template("demo/guide.html", moment=MOMENT))
    anonymous = browser(app).get("/dashboard").text
    assert "data-live=" not in anonymous
    assert 'href="/register"' in anonymous


def test_a_chart_brings_its_attribution(guide: str) -> None:
    assert "TradingView Lightweight Charts" in guide


def test_a_message_of_the_page_before_is_shown_once_and_escaped(client: FlaskClient) -> None:
    client.get("/flash")
    page = client.get("/nowhere2", headers={"Accept": "text/html"}).text
    assert "Saved" not in page  # an error page keeps it for the page that people asked for
    page = client.get("/plain").text
    assert '<div class="message message--success" role="status">' in page
    assert "Saved &lt;b&gt;it&lt;/b&gt;." in page
    assert "Saved" not in client.get("/plain").text


@pytest.mark.parametrize("view", ["BUY", "SELL", "HOLD", "STALE"])
def test_a_view_is_said_in_words_and_marked_for_scripts(make_app: MakeApp, view: str) -> None:
    badge = _render(make_app, PARTS + "{{ ui.view_badge(view) }}", view=view)
    assert badge == f'<span class="view view--{view.lower()}" data-view="{view}">{view}</span>'


def test_a_change_is_said_to_ears_too(make_app: MakeApp) -> None:
    change = _render(make_app, PARTS + "{{ ui.view_change('HOLD', 'BUY') }}")
    assert re.sub("<[^>]+>", "", change) == "HOLD to BUY"


def test_a_time_is_utc_until_the_script_has_run(make_app: MakeApp) -> None:
    shown = _render(make_app, PARTS + "{{ ui.time(moment) }}", moment=MOMENT)
    assert 'datetime="2026-11-22T12:00:03+00:00" data-local="datetime"' in shown
    assert "22 Nov 2026, 12:00 UTC" in shown


@pytest.mark.parametrize(
    ("timeframe", "shown"),
    [(None, "22 Nov 2026, 12:00 UTC"), ("1h", "22 Nov 2026, 12:00 UTC"), ("1d", "22 Nov 2026")],
)
def test_the_time_of_a_candle_is_utc_for_everybody(
    make_app: MakeApp, timeframe: str | None, shown: str
) -> None:
    source = PARTS + "{{ ui.candle_time(moment, timeframe) }}"
    html = _render(make_app, source, moment=MOMENT, timeframe=timeframe)
    assert html == f'<time datetime="2026-11-22T12:00:03+00:00">{shown}</time>'


def test_pagination_keeps_the_filters(make_app: MakeApp) -> None:
    source = PARTS + "{{ ui.pagination('n&x', 'c', {'q': 'BTC/USD'}) }}"
    html = _render(make_app, source)
    assert 'href="?q=BTC%2FUSD"' in html
    assert 'href="?q=BTC%2FUSD&amp;cursor=n%26x"' in html
    assert _render(make_app, PARTS + "{{ ui.pagination(none) }}") == ""


def test_an_input_ties_its_hint_and_error_to_itself(make_app: MakeApp) -> None:
    html = _render(
        make_app,
        FORMS
        + "{{ forms.input('email', 'Email', value=v, hint='Ours', error='Bad', autocomplete='email') }}",
        v='"><script>',
    )
    assert 'aria-describedby="email-hint email-error" aria-invalid="true"' in html
    assert 'autocomplete="email"' in html
    assert "<script>" not in html


def test_a_password_is_never_written_back(make_app: MakeApp) -> None:
    assert "hunter2" not in _render(
        make_app, FORMS + "{{ forms.input('p', 'P', type='password', value='hunter2') }}"
    )


class Registration(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """A form of WTForms."""

    email = EmailField("Email", validators=[DataRequired("Please fill this in.")])
    nickname = StringField("Nickname")
    terms = BooleanField("I agree", validators=[DataRequired("Please agree.")])
    next = HiddenField()


def test_fields_of_wtforms_get_label_hint_error_and_attributes(make_app: MakeApp) -> None:
    app = make_app()
    source = FORMS + (
        "{% call forms.form('/register') %}{{ forms.field(form.email, hint='Ours', autocomplete='email') }}"
        "{{ forms.field(form.nickname) }}{{ forms.field(form.terms) }}{{ forms.submit('Go') }}{% endcall %}"
    )
    with app.test_request_context(method="POST"):
        form = Registration(meta={"csrf": False})
        form.validate()
        html = render_template_string(source, form=form)
    page = Page(html)
    email = next(named for tag, named in page.attributes if named.get("id") == "email")
    assert email["aria-describedby"] == "email-hint email-error"
    assert email["autocomplete"] == "email"
    assert email["aria-invalid"] == "true"
    assert html.count("Please fill this in.") == 1
    assert html.count(">optional<") == 1
    assert '<input type="hidden" name="csrf_token"' in html
    assert "data-once" in html


REFUSABLE = (
    '{% extends "layout.html" %}{% import "forms.html" as forms %}{% set refused = form.errors %}'
    "{% block title %}Register{% endblock %}{% block content %}{{ forms.summary(form) }}"
    "{% for each in form if each.name != 'next' %}{{ forms.field(each, form=form) }}{% endfor %}"
    "{% endblock %}"
)


def _registration(make_app: MakeApp, fields: dict[str, str], *fault_of_the_form: str) -> str:
    with make_app().test_request_context(method="POST", data=fields):
        form = Registration(meta={"csrf": False})
        form.validate()
        form.form_errors.extend(fault_of_the_form)
        return render_template_string(REFUSABLE, form=form)


def test_a_refused_form_says_so_in_title_alert_and_cursor(make_app: MakeApp) -> None:
    html = _registration(make_app, {"email": "ada@example.org"})
    assert "<title>Error: Register · Boritrader</title>" in html
    alert = html[html.index('role="alert"') :].partition("</div>\n</div>")[0]
    assert '<a href="#terms">I agree</a>: Please agree.' in alert
    assert "#email" not in alert
    focused = [named.get("id") for _, named in Page(html).attributes if "autofocus" in named]
    assert focused == ["terms"]


def test_a_form_at_fault_as_a_whole_has_the_cursor_in_its_first_field(make_app: MakeApp) -> None:
    html = _registration(make_app, {"email": "ada@example.org", "terms": "1"}, "The password is wrong.")
    assert "<title>Error: Register" in html
    assert "<p>The password is wrong.</p>" in html
    assert [named.get("id") for _, named in Page(html).attributes if "autofocus" in named] == ["email"]


def test_a_form_that_was_not_refused_says_nothing(make_app: MakeApp) -> None:
    html = _registration(make_app, {"email": "ada@example.org", "terms": "1"})
    assert "<title>Register" in html
    assert 'role="alert"' not in html
    assert "autofocus" not in html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 second"), (90, "90 seconds"), (91, "2 minutes"), (120, "2 minutes"), (3412, "57 minutes")],
)
def test_a_wait_is_said_in_seconds_or_minutes(make_app: MakeApp, seconds: int, text: str) -> None:
    error = AppError(429, "too_many", "Wait.", headers={"Retry-After": str(seconds)})
    with make_app().test_request_context("/login", headers={"Accept": "text/html"}):
        page = respond(error).get_data(as_text=True)
    assert f"Try again in {text}." in page


def test_what_a_page_shows_is_current_as_of_what_its_script_finds(make_app: MakeApp) -> None:
    live = _render(make_app, PARTS + "{{ ui.current_as_of(moment) }}", moment=MOMENT)
    assert "data-live-as-of" in live
    assert "12:00:03 UTC" in live
    own = _render(make_app, PARTS + "{{ ui.current_as_of(moment, 'data-own') }}", moment=MOMENT)
    assert "data-own" in own
    assert "data-live-as-of" not in own
