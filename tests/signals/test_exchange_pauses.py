"""When an exchange that is in trouble is asked again."""

import asyncio
import time

import pytest

from services.signals.feeds.clock import SystemClock
from services.signals.feeds.exchange import LONGEST_OBEYED, Exchange, Trouble, public_client
from tests.support.exchange_server import ExchangeServer, Fault

REFUSED = '{"error":["EGeneral:Permission denied"],"result":{}}'


def after_a_probe(fault: Fault) -> tuple[Exchange, Trouble]:
    """An exchange that has answered a probe so, and what that was."""

    async def ask(server: ExchangeServer) -> tuple[Exchange, Trouble]:
        exchange = Exchange(server.point(public_client("kraken")), "1h", SystemClock())
        exchange.is_down = True
        try:
            with pytest.raises(Trouble) as caught:
                await exchange.probe()
        finally:
            await exchange.close()
        return exchange, caught.value

    server = ExchangeServer("kraken", time.time, ("BTC/USDT",))
    server.fault = lambda _asked: fault
    try:
        return asyncio.run(ask(server))
    finally:
        server.close()


def test_an_exchange_that_refuses_its_probe_is_left_alone_for_a_while() -> None:
    exchange, trouble = after_a_probe(Fault(200, REFUSED))
    assert trouble.kind == "refused"
    assert exchange.is_down
    assert exchange.resume_at > time.monotonic() + 20


@pytest.mark.parametrize("told", ["99999999", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_answer_silences_an_exchange_for_longer_than_an_hour(told: str) -> None:
    exchange, _ = after_a_probe(Fault(503, "away", (("Retry-After", told),)))
    assert exchange.resume_at <= time.monotonic() + 1.1 * LONGEST_OBEYED
