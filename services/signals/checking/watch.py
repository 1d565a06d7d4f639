"""Records what an algorithm does beside deciding: clocks, files, network, chance, other processes.

For a process that ends when its algorithm has been tried: audit hooks can't be taken out, and the patched
clocks stay patched.
"""

import datetime as dt
import functools
import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np

from services.signals.checking import Finding

EVENTS = {
    "open": "files",
    "builtins.input": "files",
    "fcntl.": "files",
    "glob.": "files",
    "mmap.": "files",
    "os.": "files",
    "shutil.": "files",
    "sqlite3.": "files",
    "tempfile.": "files",
    "os.putenv": "environment",
    "os.unsetenv": "environment",
    "ftplib.": "network",
    "http.": "network",
    "imaplib.": "network",
    "poplib.": "network",
    "smtplib.": "network",
    "socket.": "network",
    "urllib.": "network",
    "os.exec": "processes",
    "os.fork": "processes",
    "os.forkpty": "processes",
    "os.kill": "processes",
    "os.killpg": "processes",
    "os.posix_spawn": "processes",
    "os.spawn": "processes",
    "os.system": "processes",
    "pty.": "processes",
    "signal.": "processes",
    "subprocess.": "processes",
    "_thread.": "processes",
    "ctypes.": "reaches-out",
    "gc.": "reaches-out",
    "sys._current_exceptions": "reaches-out",
    "sys._current_frames": "reaches-out",
    "sys._getframe": "reaches-out",
    "sys.setprofile": "reaches-out",
    "sys.settrace": "reaches-out",
}
"""The rule that each audit event breaks; names that end in a point stand for all that begin so."""

FUNCTIONS: tuple[tuple[ModuleType, str, tuple[str, ...]], ...] = (
    (
        time,
        "clock",
        (
            *("asctime", "clock_gettime", "clock_gettime_ns", "ctime", "gmtime", "localtime", "monotonic"),
            *("monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "sleep"),
            *("strftime", "thread_time", "thread_time_ns", "time", "time_ns"),
        ),
    ),
    (os, "random", ("urandom", "getrandom")),
    (os, "environment", ("cpu_count", "getcwd", "getcwdb", "getloadavg", "getpid", "getppid", "uname")),
    (os, "files", ("access", "lstat", "readlink", "stat")),
    (random, "random", tuple(name for name in random.__all__ if name[0].islower())),
    (secrets, "random", tuple(name for name in secrets.__all__ if name[0].islower())),
    (uuid, "random", ("uuid1", "uuid4")),
    (np.random, "random", tuple(name for name in np.random.__all__ if name[0].islower())),
)
CLASSES: tuple[tuple[ModuleType, str, str], ...] = (
    (random, "random", "Random"),
    (random, "random", "SystemRandom"),
    (np.random, "random", "RandomState"),
)
LONGEST = 120


class Watch:
    """What the algorithm whose source lies in `places` does while it loads and decides."""

    def __init__(self, places: tuple[Path, ...]) -> None:
        self.findings: dict[Finding, None] = {}
        both = {*places, *(place.resolve() for place in places)}
        self._places = tuple(f"{place}{os.sep}" if place.is_dir() else str(place) for place in both)
        self._phase = ""
        self._looking = False
        self._patch()
        sys.addaudithook(self._heard)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """The algorithm's modules are imported: what the import system and libraries do there is theirs."""
        yield from self._during("loading")

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """The algorithm decides."""
        yield from self._during("deciding")

    def is_own(self, filename: str) -> bool:
        """Whether a source file is the algorithm's."""
        return filename.startswith(self._places)

    def note(self, rule: str, what: str) -> None:
        """Record that the algorithm does something now, unless it is a library that is being imported."""
        if not self._phase or self._looking:
            return
        self._looking = True
        try:
            where = self._where(sys._getframe(1))  # noqa: SLF001 - there is no other way to one's callers
            if where is not None:
                self.findings[Finding(rule, where, what[:LONGEST])] = None
        finally:
            self._looking = False

    def _during(self, phase: str) -> Iterator[None]:
        before, self._phase = self._phase, phase
        try:
            yield
        finally:
            self._phase = before

    def _where(self, frame: FrameType | None) -> str | None:
        """The nearest line of the algorithm among the callers; None where a library was just imported."""
        while frame is not None:
            filename = frame.f_code.co_filename
            if filename.startswith("<frozen importlib"):
                return None
            if self.is_own(filename):
                return f"{Path(filename).name}:{frame.f_lineno}"
            frame = frame.f_back
        return self._phase if self._phase == "deciding" else None

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._phase or self._looking:
            return
        rule = EVENTS.get(event) or EVENTS.get(f"{event.partition('.')[0]}.")
        if rule is None:
            return
        if event == "sys._getframe" and self._phase == "loading":
            return  # dataclasses and named tuples look for their module
        subject = f" {arguments[0]!r}" if arguments and isinstance(arguments[0], str | bytes | int) else ""
        self.note(rule, f"{event}{subject}")

    def _patch(self) -> None:
        for module, rule, names in FUNCTIONS:
            for name in names:
                if callable(getattr(module, name, None)):
                    setattr(
                        module, name, self._noting(getattr(module, name), rule, f"{module.__name__}.{name}")
                    )
        for module, rule, name in CLASSES:
            setattr(
                module, name, self._noting_class(getattr(module, name), rule, f"{module.__name__}.{name}")
            )
        dt.datetime = self._noting_now(dt.datetime, ("now", "utcnow", "today"))  # type: ignore[misc]
        dt.date = self._noting_now(dt.date, ("today",))  # type: ignore[misc]
        vars(os)["environ"] = _Environment(os.environ, self)

    def _noting(self, function: Callable[..., Any], rule: str, what: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def noting(*arguments: Any, **named: Any) -> Any:
            self.note(rule, f"calls {what}()")
            return function(*arguments, **named)

        return noting

    def _noting_class(self, cls: Any, rule: str, what: str) -> type:
        note = self.note

        def __init__(instance: Any, *arguments: Any, **named: Any) -> None:  # noqa: N807 - of the class below
            note(rule, f"makes a {what}")
            cls.__init__(instance, *arguments, **named)

        return type(cls.__name__, (cls,), {"__init__": __init__, "__module__": cls.__module__})

    def _noting_now(self, cls: Any, names: tuple[str, ...]) -> Any:
        """A subclass of a date class that notes who reads the clock; what the class made is of it too."""
        note = self.note

        class Meta(type):
            def __instancecheck__(cls, instance: object) -> bool:
                return isinstance(instance, cls.__mro__[1])

        def reading(name: str) -> Any:
            def read(_cls: type, *arguments: Any, **named: Any) -> Any:
                note("clock", f"calls {cls.__name__}.{name}()")
                return getattr(cls, name)(*arguments, **named)

            return classmethod(read)

        return Meta(cls.__name__, (cls,), {name: reading(name) for name in names})


class _Environment(MutableMapping[str, str]):
    """The environment, with a note of who reads or writes it."""

    def __init__(self, environment: MutableMapping[str, str], watch: Watch) -> None:
        self._environment = environment
        self._watch = watch

    def __getitem__(self, name: str) -> str:
        self._watch.note("environment", f"reads {name}")
        return self._environment[name]

    def __setitem__(self, name: str, value: str) -> None:
        self._watch.note("environment", f"sets {name}")
        self._environment[name] = value

    def __delitem__(self, name: str) -> None:
        self._watch.note("environment", f"deletes {name}")
        del self._environment[name]

    def __iter__(self) -> Iterator[str]:
        self._watch.note("environment", "lists it")
        return iter(self._environment)

    def __len__(self) -> int:
        return len(self._environment)
