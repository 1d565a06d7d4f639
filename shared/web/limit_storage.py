"""Counters of the rate limits in Redis; while Redis is gone they go on in this process's memory."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from limits.storage import MemoryStorage, MovingWindowSupport, RedisStorage, Storage
from prometheus_client import Counter
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from shared.logs import logger

TIMEOUT_SECONDS = 0.2
ASK_AGAIN_SECONDS = 5.0
_SCHEME = "steadfast+"
_FALLBACKS = Counter("http_limit_fallbacks", "Rate limits counted in memory because Redis was gone.")
# Once more, at once, when a restarted Redis has closed a pooled connection; never after a time-out.
_RETRY = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
log = logger(__name__)

Answer = TypeVar("Answer")


def uri_of(redis_url: str | None) -> str:
    """What Flask-Limiter is to be given for this Redis; None counts in memory alone."""
    return f"{_SCHEME}{redis_url}" if redis_url else "memory://"


class SteadfastStorage(Storage, MovingWindowSupport):
    """Redis with a 0.2 s time-out, backed by memory: an answer always comes, and limits always hold.

    Flask-Limiter has a fallback of its own, but a request that fails beside the one which finds Redis
    gone gets the exception (5xx). Here each operation falls back by itself. After a failure Redis is left
    alone for a few seconds, so a blackholed one costs a request in five seconds, not each.
    """

    STORAGE_SCHEME = [  # noqa: RUF012 - the shape limits wants
        f"{_SCHEME}{scheme}" for scheme in ("redis", "rediss", "redis+unix")
    ]

    def __init__(self, uri: str, *, ask_again_seconds: float = ASK_AGAIN_SECONDS, **options: Any) -> None:
        super().__init__(uri)
        self._ask_again_seconds = ask_again_seconds
        self._redis = RedisStorage(
            uri.removeprefix(_SCHEME),
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=_RETRY,  # type: ignore[arg-type]  # handed on to redis-py as it is
            **options,
        )
        self._memory = MemoryStorage()
        self._lock = threading.Lock()
        self._away_until = 0.0

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a storage failure looks like."""
        return RedisError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count up; the new count."""
        return self._ask(lambda s: s.incr(key, expiry, amount))

    def get(self, key: str) -> int:
        """The count."""
        return self._ask(lambda s: s.get(key))

    def get_expiry(self, key: str) -> float:
        """When the count ends, in seconds of the epoch."""
        return self._ask(lambda s: s.get_expiry(key))

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Take ``amount`` of ``limit`` places in the last ``expiry`` seconds, atomically; False if full."""
        return self._ask(lambda s: s.acquire_entry(key, limit, expiry, amount))

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest entry of the window was made, and how many there are."""
        return self._ask(lambda s: s.get_moving_window(key, limit, expiry))

    def clear(self, key: str) -> None:
        """Forget a key."""
        self._memory.clear(key)
        self._ask(lambda s: s.clear(key))

    def reset(self) -> int | None:
        """Forget all keys."""
        self._memory.reset()
        return self._ask(lambda s: s.reset())

    def check(self) -> bool:
        """An answer always comes."""
        return True

    def _ask(self, question: Callable[[RedisStorage | MemoryStorage], Answer]) -> Answer:
        if time.monotonic() >= self._away_until:
            try:
                answer = question(self._redis)
            except (RedisError, OSError) as error:
                self._note_away(error)
            else:
                self._note_back()
                return answer
        _FALLBACKS.inc()
        return question(self._memory)

    def _note_away(self, error: Exception) -> None:
        with self._lock:
            first = self._away_until == 0.0
            self._away_until = time.monotonic() + self._ask_again_seconds
        if first:
            log.critical("limit_storage_away", error=type(error).__name__)

    def _note_back(self) -> None:
        if self._away_until == 0.0:
            return
        with self._lock:
            self._away_until = 0.0
        log.warning("limit_storage_back")
