"""The file of plans."""

from pathlib import Path

import pytest

from services.billing.plans import InvalidPlans, Price, current_plans, load_plans
from shared.contracts.billing import Entitlements

GOOD = """
default = "free"
[plans.free]
name = "Free"
summary = "Some."
entitlements = {alerts_max = 3, channels = ["mail"], api = "read", scorecard = false}
[plans.pro]
name = "Pro"
summary = "All."
entitlements = {channels = ["mail", "live"], api = "write", scorecard = true}
[[plans.pro.prices]]
every = "month"
amount = 1999
currency = "EUR"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "plans.toml"
    path.write_text(text)
    return path


def test_our_plans_are_those_that_the_product_promises() -> None:
    plans = current_plans()
    assert [plan.key for plan in plans] == ["free", "trial", "pro"]
    assert plans.default is plans["free"]
    assert plans["free"].entitlements == Entitlements(
        alerts_max=3, channels=("mail",), api="read", scorecard=False
    )
    everything = Entitlements(
        alerts_max=None, channels=("mail", "live", "webhook"), api="write", scorecard=True
    )
    assert plans["trial"].entitlements == plans["pro"].entitlements == everything
    assert plans["trial"].trial is not None
    assert plans["trial"].trial.days == 14
    assert plans["pro"].prices


def test_plans_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    plans = load_plans(written(tmp_path, GOOD))
    assert [plan.name for plan in plans] == ["Free", "Pro"]
    assert plans["pro"].entitlements.alerts_max is None
    assert plans["pro"].prices == (Price(every="month", amount=1999, currency="EUR"),)


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("amount = 1999", "amount = 19.99", "plans.pro.prices.0.amount"),
        ("amount = 1999", 'amount = "1999"', "plans.pro.prices.0.amount"),
        ("amount = 1999", "amount = 0", "plans.pro.prices.0.amount"),
        ('currency = "EUR"', 'currency = "EURO"', "plans.pro.prices.0.currency"),
        ('every = "month"', 'every = "week"', "plans.pro.prices.0.every"),
        ('channels = ["mail"]', 'channels = ["pigeon"]', "plans.free.entitlements.channels.0"),
        ("alerts_max = 3", "alerts_max = -1", "plans.free.entitlements.alerts_max"),
        ("alerts_max = 3", "alert_max = 3", "plans.free.entitlements.alert_max"),
        ('summary = "Some."', "", "plans.free.summary"),
        ('default = "free"', 'default = "gold"', "default: there is no plan 'gold'"),
        ('default = "free"', 'default = "pro"', "default: 'pro' has a price or an end"),
        ('default = "free"', "", "default: Field required"),
        ("[plans.free]", "[plans.free", "line"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_key(
    tmp_path: Path, good: str, bad: str, fault: str
) -> None:
    path = written(tmp_path, GOOD.replace(good, bad, 1))
    with pytest.raises(InvalidPlans) as refusal:
        load_plans(path)
    assert str(path) in str(refusal.value)
    assert fault in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidPlans, match=r"plans\.toml"):
        load_plans(tmp_path / "plans.toml")


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (Price(every="month", amount=2000, currency="USD"), "20.00 USD"),
        (Price(every="month", amount=5, currency="EUR"), "0.05 EUR"),
        (Price(every="year", amount=123456789, currency="CHF"), "1,234,567.89 CHF"),
        (Price(every="year", amount=30000, currency="JPY"), "30,000 JPY"),
    ],
)
def test_a_price_is_written_with_the_digits_of_its_currency(price: Price, text: str) -> None:
    assert price.text == text
