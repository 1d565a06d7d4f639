"""The plans that can be had: read from plans.toml, checked at start."""

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.contracts.billing import Channel, Entitlements

PLANS_FILE = Path(__file__).with_name("plans.toml")


class InvalidPlans(Exception):
    """The file of plans is unreadable or wrong; the text names the file and the keys at fault."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


MINOR_DIGITS = {"CHF": 2, "EUR": 2, "GBP": 2, "JPY": 0, "USD": 2}
"""Currencies that a price may be in, and how many digits their minor unit takes (ISO 4217)."""


class Price(_Entry):
    """What a plan costs. ``amount`` counts the currency's minor unit: 2000 USD is 20.00 dollars."""

    every: Literal["month", "year"]
    amount: int = Field(gt=0)
    currency: Literal["CHF", "EUR", "GBP", "JPY", "USD"]

    @property
    def text(self) -> str:
        """The amount as people read it: ``20.00 USD``."""
        digits = MINOR_DIGITS[self.currency]
        major = Decimal(self.amount).scaleb(-digits)
        return f"{major:,.{digits}f} {self.currency}"


class Trial(_Entry):
    """A plan that ends by itself after so many days, and that a person can have once."""

    days: int = Field(gt=0)


class _EntitlementsEntry(_Entry):
    alerts_max: int | None = Field(default=None, ge=0)
    channels: list[Channel]
    api: Literal["read", "write"]
    scorecard: bool


class _PlanEntry(_Entry):
    name: str = Field(min_length=1)
    summary: str = Field(min_length=1)
    entitlements: _EntitlementsEntry
    trial: Trial | None = None
    prices: list[Price] = []


class _PlansFile(_Entry):
    default: str
    plans: dict[str, _PlanEntry] = Field(min_length=1)


@dataclass(frozen=True)
class Plan:
    """A set of entitlements under a name, with its prices. No price: it costs nothing."""

    key: str
    name: str
    summary: str
    entitlements: Entitlements
    trial: Trial | None
    prices: tuple[Price, ...]


@dataclass(frozen=True)
class Plans:
    """All plans in the order of the file, and the one that a new account is on."""

    by_key: Mapping[str, Plan]
    default: Plan

    def __getitem__(self, key: str) -> Plan:
        return self.by_key[key]

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.by_key.values())


def load_plans(path: Path = PLANS_FILE) -> Plans:
    """The plans of the file. Raises InvalidPlans naming the file and the keys at fault."""
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidPlans(f"{path}: {error}") from None
    try:
        entries = _PlansFile.model_validate(raw)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InvalidPlans(f"{path}: {'; '.join(faults)}") from None
    plans = {key: _plan(key, entry) for key, entry in entries.plans.items()}
    if entries.default not in plans:
        raise InvalidPlans(f"{path}: default: there is no plan {entries.default!r}")
    if plans[entries.default].prices or plans[entries.default].trial:
        raise InvalidPlans(
            f"{path}: default: {entries.default!r} has a price or an end, nobody can begin on it"
        )
    return Plans(plans, plans[entries.default])


@functools.cache
def current_plans() -> Plans:
    """The plans of this deployment, read once. Raises InvalidPlans, which stops the start of a process."""
    return load_plans()


def _plan(key: str, entry: _PlanEntry) -> Plan:
    entitlements = Entitlements(
        alerts_max=entry.entitlements.alerts_max,
        channels=tuple(entry.entitlements.channels),
        api=entry.entitlements.api,
        scorecard=entry.entitlements.scorecard,
    )
    return Plan(key, entry.name, entry.summary, entitlements, entry.trial, tuple(entry.prices))
