"""A new user in a real browser: registers, switches on an alert, sees a view change without reloading."""

import re
import secrets
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.alone

PASSWORD = secrets.token_urlsafe(18)
CLOSES_MS = 60_000
LEAVE_AND_COME_BACK = """
    dispatchEvent(new Event("pagehide"));
    dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
"""


def _come_from_an_address_of_ones_own(page: Page) -> None:
    """Each window has one at the gateway, as the limits are per address."""
    page.context.set_extra_http_headers({"X-Forwarded-For": f"198.51.100.{secrets.randbelow(250) + 1}"})


def _register_and_log_in(page: Page) -> None:
    name = f"user{secrets.token_hex(4)}"
    _come_from_an_address_of_ones_own(page)
    page.goto("/")
    page.get_by_label("Your e-mail address").fill(f"{name}@example.org")
    page.get_by_role("button", name="Create an account").first.click()
    expect(page).to_have_url(re.compile("/register"))
    expect(page.get_by_label("Email")).to_have_value(f"{name}@example.org")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_text("Your account is ready")).to_be_visible()
    page.get_by_label("User name or email").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


def test_a_view_changes_on_the_board_without_reloading(page: Page) -> None:
    _register_and_log_in(page)
    page.evaluate("document.body.dataset.loaded = 'once'")
    changed = page.locator(".board__cell.just-changed").first
    expect(changed).to_be_visible(timeout=CLOSES_MS)
    page.get_by_role("button", name="Pause updates").click()
    cell = changed.evaluate_handle("cell => cell")
    told = changed.locator(".view-change")
    before, after = told.locator(".view").all_inner_texts()
    assert after in {"BUY", "SELL"}
    assert before in {"BUY", "SELL", "HOLD"} - {after}
    assert cell.evaluate("cell => cell.dataset.view") == after
    assert re.fullmatch(rf"{before}\s+to\s+{after}", told.text_content() or "")
    expect(page.locator("[data-latest] li").first).to_contain_text(re.compile("to (BUY|SELL)"))
    assert page.evaluate("document.body.dataset.loaded") == "once"
    _fits(page)


@pytest.mark.usefixtures("logged_in")
def test_the_board_stands_still_while_it_is_paused(page: Page) -> None:
    top = page.locator("[data-board]").bounding_box()
    expect(page.locator("[data-latest] li").first).to_be_visible(timeout=CLOSES_MS)
    assert page.locator("[data-board]").bounding_box() == top, "the list has pushed the board down"
    page.get_by_role("button", name="Pause updates").click()
    shown = page.locator("main").inner_html()
    with page.expect_websocket() as opened:
        page.evaluate(LEAVE_AND_COME_BACK)
    opened.value.wait_for_event(
        "framereceived", lambda frame: '"views_changed"' in str(frame), timeout=CLOSES_MS
    )
    assert page.locator("main").inner_html() == shown
    page.get_by_role("button", name="Resume updates").click()
    expect(page.locator("[data-board-status]")).to_contain_text("meanwhile")


@pytest.mark.usefixtures("logged_in")
def test_who_has_an_alert_finds_the_change_in_the_inbox(page: Page) -> None:
    page.goto("/alerts")
    page.get_by_label("Algorithm").select_option("pump_and_dump")
    page.get_by_role("button", name="Tell me").click()
    expect(page.locator("[data-alert]")).to_have_count(1)
    told = page.locator(".inbox__item").first

    def shown() -> None:
        page.goto("/inbox")
        expect(told).to_be_visible(timeout=1_000)

    _until(shown)
    expect(told).to_contain_text("Pump and Dump")
    before, after = told.locator(".view-change .view").all_inner_texts()
    assert (before, after) in {("HOLD", "BUY"), ("HOLD", "SELL"), ("BUY", "SELL"), ("SELL", "BUY")}
    told.get_by_text("Why, and the receipt").click()
    expect(told.get_by_text("Candle closed")).to_be_visible()
    _fits(page)


def test_everything_to_log_in_is_done_by_keyboard(page: Page) -> None:
    _come_from_an_address_of_ones_own(page)
    page.goto("/register")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    name = f"user{secrets.token_hex(4)}"
    for text in (name, f"{name}@example.org", "short"):
        page.keyboard.press("Tab")
        page.keyboard.type(text)
    with page.expect_console_message(lambda message: "422" in message.text):
        page.keyboard.press("Enter")
    expect(page).to_have_title("Error: Register · Boritrader")
    expect(page.get_by_role("alert")).to_contain_text("Password: Too easy to guess.")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your account is ready")).to_be_visible()
    page.get_by_label("User name or email").focus()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


@pytest.mark.usefixtures("logged_in")
def test_an_alert_is_switched_on_and_off(page: Page) -> None:
    page.goto("/alerts")
    page.get_by_label("Algorithm").select_option("golden_crossover")
    page.get_by_role("button", name="Tell me").click()
    own = page.locator("[data-alert]")
    expect(own).to_have_count(1)
    expect(own).to_contain_text("Moving Average Crossover")
    _fits(page)
    own.get_by_role("button", name=re.compile("Delete")).click()
    expect(own).to_have_count(0)


@pytest.mark.usefixtures("logged_in")
def test_the_ticker_page_draws_its_chart_and_says_why_a_view_changed(page: Page) -> None:
    page.goto("/tickers/AMZN?algorithm=golden_crossover")
    expect(page.locator("canvas").first).to_be_visible()
    why = page.locator(".change-card", has_text=re.compile("SMA9 crosses (above|below) SMA50")).first
    expect(why.locator(".why")).to_be_visible()
    _fits(page)
    # a candle that turns no view is shown all the same
    opened = page.locator("[data-last-time]")
    expect(opened).not_to_have_text(opened.inner_text(), timeout=CLOSES_MS)


@pytest.mark.usefixtures("logged_in")
def test_who_logs_out_is_asked_to_log_in_again(page: Page) -> None:
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.goto("/dashboard")
    expect(page).to_have_url(re.compile("/login"))


def _fits(page: Page) -> None:
    """Nothing hangs over the edge of the window."""
    overhang = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overhang <= 0


def _until(holds: Callable[[], None]) -> None:
    """Try again until it holds; raises what it last complained of."""
    deadline = time.monotonic() + CLOSES_MS / 1000
    while True:
        try:
            return holds()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
