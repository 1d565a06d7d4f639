"""Debian's Chromium, driven as a person would use it, on a phone and on a desk."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Playwright,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.support.person import Person
from tests.support.stack import Stack

CHROMIUM = "/usr/bin/chromium"
# its own look-ups at start would be refused by a closed network, many at a time
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
REFUSED_FORM = "status of 422"
PATIENCE_MS = 15_000
SIZES = {"phone": ViewportSize(width=390, height=844), "desktop": ViewportSize(width=1280, height=900)}


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET])
    yield browser
    browser.close()


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, browser: Browser, stack: Stack) -> Iterator[Page]:
    """A fresh browser window; whatever its console complains of fails the test, but for refused forms."""
    context = browser.new_context(base_url=stack.url, viewport=SIZES[request.param])
    page = context.new_page()
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and REFUSED_FORM not in message.text:
            complaints.append(message.text)

    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def logged_in(page: Page, stack: Stack) -> None:
    """Let the window be that of somebody who has registered and logged in elsewhere, at the dashboard."""
    person = Person(stack.url)
    person.register()
    person.log_in()
    page.context.set_extra_http_headers({"X-Forwarded-For": person.address})
    page.context.add_cookies(
        [
            {"name": cookie.name, "value": cookie.value or "", "url": stack.url}
            for cookie in person.session.cookies
        ]
    )
    page.goto("/dashboard")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
