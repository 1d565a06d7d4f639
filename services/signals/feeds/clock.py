"""Time as a live feed sees it: read, waited for, and replaced in tests."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A clock on the wall and one that never jumps; both in seconds."""

    def now(self) -> float:
        """Seconds since 1970, as this machine believes."""
        ...

    def steady(self) -> float:
        """Seconds since some moment; no correction of the machine's clock moves it."""
        ...

    async def sleep_until(self, moment: float) -> None:
        """Wait for a moment of the steady clock."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def steady(self) -> float:
        """The monotonic clock."""
        return time.monotonic()

    async def sleep_until(self, moment: float) -> None:
        """Wait for a moment of the monotonic clock."""
        await asyncio.sleep(max(0.0, moment - time.monotonic()))


class News:
    """Something may have changed: told by many, waited for by one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake who waits, or who will wait next."""
        self._event.set()

    async def wait(self, until: float | None = None) -> None:
        """Wait for news, at the longest until a moment of the steady clock."""
        if until is None:
            await self._event.wait()
        else:
            waiting = {
                asyncio.ensure_future(self._event.wait()),
                asyncio.ensure_future(self._clock.sleep_until(until)),
            }
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waiting:
                    each.cancel()
        self._event.clear()
