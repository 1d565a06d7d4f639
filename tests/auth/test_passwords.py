"""Which passwords are good enough, and how they are hashed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import argon2
import pytest

from services.auth.errors import Busy
from services.auth.passwords import Passwords, argon2id, is_good_enough


@pytest.mark.parametrize(
    "password", ["aaaaaaaaaaaa", "correct horse", "x" * 1024, "xK9#mQ2$z", "Tr0ub4dor&3"]
)
def test_long_or_hard_to_guess_is_good_enough(password: str) -> None:
    assert is_good_enough(password, [])


@pytest.mark.parametrize("password", ["", "password", "password123", "qwertyuiop1", "xK9#m"])
def test_short_and_easy_to_guess_is_not(password: str) -> None:
    assert not is_good_enough(password, [])


def test_a_short_password_made_of_what_is_known_about_them_is_not_good_enough() -> None:
    assert is_good_enough("zyxbergholt", [])
    assert not is_good_enough("zyxbergholt", ["zyxbergholt", "z@example.org"])


def test_hashes_are_argon2id_with_19_mib_two_passes_and_one_lane() -> None:
    assert Passwords().hash("plum harbour kettle").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_hash_is_verified_and_a_wrong_or_missing_one_is_not() -> None:
    passwords = Passwords(argon2id(memory_kib=64, passes=1))
    stored = passwords.hash("plum harbour kettle")
    assert passwords.verify(stored, "plum harbour kettle")
    assert not passwords.verify(stored, "plum harbour kettl")
    assert not passwords.verify(None, "plum harbour kettle")


def test_the_same_characters_composed_otherwise_are_the_same_password() -> None:
    passwords = Passwords(argon2id(memory_kib=64, passes=1))
    assert passwords.verify(passwords.hash("Zoe\u0308 zoe\u0308 zoe\u0308"), "Zoë zoë zoë")


def test_a_hash_made_with_other_parameters_is_outdated() -> None:
    old = Passwords(argon2id(memory_kib=64, passes=1)).hash("plum harbour kettle")
    assert Passwords(argon2id(memory_kib=128, passes=1)).is_outdated(old)
    assert not Passwords(argon2id(memory_kib=64, passes=1)).is_outdated(old)


class _MeetingHasher(argon2.PasswordHasher):
    """Stays in each run until as many as may run at once are inside, and notes the most there were."""

    def __init__(self, at_once: int) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self._lock = threading.Lock()
        self._together = threading.Barrier(at_once)
        self._inside = 0
        self.most = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # noqa: A002
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        self._together.wait(10)
        with self._lock:
            self._inside -= 1
        return super().verify(hash, password)


def test_two_hashes_run_at_once_and_never_a_third() -> None:
    hasher = _MeetingHasher(2)
    passwords = Passwords(hasher)
    stored = passwords.hash("plum harbour kettle")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: passwords.verify(stored, "plum harbour kettle"), range(20)))
    assert all(answers)
    assert hasher.most == 2


class _SlowHasher(argon2.PasswordHasher):
    """A run lasts until it is let go."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.began = threading.Event()
        self.let_go = threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # noqa: A002
        self.began.set()
        self.let_go.wait(10)
        return super().verify(hash, password)


def test_who_waits_too_long_for_a_turn_is_told_to_come_back() -> None:
    hasher = _SlowHasher()
    passwords = Passwords(hasher, at_once=1, wait_seconds=0.01)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(passwords.verify, None, "plum harbour kettle")
        assert hasher.began.wait(10)
        with pytest.raises(Busy) as refusal:
            passwords.verify(None, "plum harbour kettle")
        hasher.let_go.set()
        running.result()
    assert refusal.value.status == 503
    assert "Retry-After" in refusal.value.headers
