"""Passwords: which are good enough, and the only place that hashes them."""

import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError
from prometheus_client import Counter
from zxcvbn import zxcvbn

from services.auth.constants import (
    ARGON2_LANES,
    ARGON2_MEMORY_KIB,
    ARGON2_PASSES,
    HASH_WAIT_SECONDS,
    HASHES_AT_ONCE,
    PASSWORD_LONG,
    PASSWORD_STRONG,
    ZXCVBN_MAX,
)
from services.auth.errors import Busy

HASHES = Counter("auth_password_hashes_total", "Runs of the password hasher", ["purpose"])


def is_good_enough(password: str, about_them: list[str]) -> bool:
    """Whether the password is long, or short but hard to guess even knowing ``about_them``.

    There are no composition rules. The longest that is allowed is the form's to say.
    """
    if len(password) >= PASSWORD_LONG:
        return True
    return bool(password) and int(zxcvbn(password[:ZXCVBN_MAX], about_them)["score"]) >= PASSWORD_STRONG


def argon2id(
    *, memory_kib: int = ARGON2_MEMORY_KIB, passes: int = ARGON2_PASSES, lanes: int = ARGON2_LANES
) -> PasswordHasher:
    """Argon2id with the parameters of the OWASP cheat sheet: 19 MiB, two passes, one lane."""
    return PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=lanes, type=Type.ID)


class Passwords:
    """Hashes and verifies, at most two at once in a process, so that a flood of logins leaves room.

    Who waits longer than ``wait_seconds`` for a turn is told to come back (Busy, 503).
    """

    def __init__(
        self,
        hasher: PasswordHasher | None = None,
        *,
        at_once: int = HASHES_AT_ONCE,
        wait_seconds: float = HASH_WAIT_SECONDS,
    ) -> None:
        self._hasher = hasher or argon2id()
        self._turns = threading.BoundedSemaphore(at_once)
        self._wait_seconds = wait_seconds
        self._decoy = self._hasher.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """The password's hash with its parameters, in PHC form."""
        with self._turn("hash"):
            return self._hasher.hash(_normal(password))

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether ``stored`` is the password's hash. Without one the same work is done for nothing,
        so that the time doesn't tell whether the person exists.
        """
        with self._turn("verify"):
            try:
                self._hasher.verify(stored or self._decoy, _normal(password))
            except VerifyMismatchError:
                return False
        return stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether ``stored`` was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(stored)

    @contextmanager
    def _turn(self, purpose: str) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._wait_seconds):
            raise Busy
        try:
            HASHES.labels(purpose).inc()
            yield
        finally:
            self._turns.release()


def _normal(password: str) -> str:
    """NFKC: the same password typed on another keyboard is the same password (NIST SP 800-63B)."""
    return unicodedata.normalize("NFKC", password)
