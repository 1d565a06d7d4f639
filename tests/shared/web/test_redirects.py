"""``next`` leads to places of our own."""

import pytest

from shared.web.redirects import HOME, safe_next


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%5cevil.example",
        "/%5Cevil.example",
        "/%255cevil.example",
        "/%2fevil.example",
        "/%2Fevil.example",
        "/%252fevil.example",
        "/%09/evil.example",
        "/\t/evil.example",
        "/%0a/evil.example",
        "/%0d%0aSet-Cookie:x=1",
        "/\r\nSet-Cookie: x=1",
        "/%00/evil.example",
        "/%7f",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "data:text/html,x",
        "https://evil.example/",
        "http:evil.example",
        "https:/evil.example",
        "evil.example",
        "dashboard",
        "@evil.example",
        " /dashboard",
        "/dash board",
        "/é",
        "/" + "a" * 2000,
        "",
        None,
    ],
)
def test_everything_that_could_lead_away_leads_home(target: str | None) -> None:
    assert safe_next(target) == HOME


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/alerts",
        "/tickers/BTC%2FUSD?algorithm=x&from=2026-01-01",
        "/inbox?cursor=a%26b",
        "/settings?x=//y",
    ],
)
def test_places_of_our_own_are_kept(target: str) -> None:
    assert safe_next(target) == target


def test_home_can_be_another() -> None:
    assert safe_next("//evil.example", default="/") == "/"
