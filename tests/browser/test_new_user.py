"""A new user in a real browser: registers, switches on an alert, sees a view change without reloading."""

import re
import secrets

from playwright.sync_api import Page, expect

PASSWORD = secrets.token_urlsafe(18)
CLOSES_MS = 60_000


def _register_and_log_in(page: Page) -> str:
    name = f"user{secrets.token_hex(4)}"
    # each window has an address of its own at the gateway, as the limits are per address
    page.context.set_extra_http_headers({"X-Forwarded-For": f"198.51.100.{secrets.randbelow(250) + 1}"})
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
    return name


def test_a_view_changes_on_the_board_without_reloading(page: Page) -> None:
    _register_and_log_in(page)
    page.evaluate("document.body.dataset.loaded = 'once'")
    changed = page.locator("[data-latest] li").first
    expect(changed).to_be_visible(timeout=CLOSES_MS)
    expect(changed).to_contain_text(re.compile(r"(BUY|SELL|HOLD)\s*(→|to)?\s*(BUY|SELL)"))
    assert page.evaluate("document.body.dataset.loaded") == "once"
    _fits(page)


def test_an_alert_is_switched_on_and_off(page: Page) -> None:
    _register_and_log_in(page)
    page.goto("/alerts")
    page.get_by_label("Algorithm").select_option("golden_crossover")
    page.get_by_role("button", name="Tell me").click()
    own = page.locator("[data-alert]")
    expect(own).to_have_count(1)
    expect(own).to_contain_text("Moving Average Crossover")
    _fits(page)
    own.get_by_role("button", name=re.compile("Delete")).click()
    expect(own).to_have_count(0)


def test_the_ticker_page_draws_its_chart_and_says_why_a_view_changed(page: Page) -> None:
    _register_and_log_in(page)
    page.goto("/tickers/AMZN?algorithm=golden_crossover")
    expect(page.locator("canvas").first).to_be_visible()
    why = page.get_by_role("row").filter(has_text=re.compile("SMA9 crosses (above|below) SMA50")).first
    expect(why).to_be_visible()
    _fits(page)


def test_who_logs_out_is_asked_to_log_in_again(page: Page) -> None:
    _register_and_log_in(page)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.goto("/dashboard")
    expect(page).to_have_url(re.compile("/login"))


def _fits(page: Page) -> None:
    """Nothing hangs over the edge of the window."""
    overhang = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overhang <= 0
