"""What an algorithm could remember by: its attributes, its module's names, closures, defaults.

Taken before and after it has decided; where the two differ it has kept something.
"""

import hashlib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

DEEPEST = 8
MOST = 20_000
"""Values that are looked at; an algorithm has some dozens."""

_NOT_TOLD = frozenset(
    f"__{name}__"
    for name in (
        *("abstractmethods", "annotations", "builtins", "cached", "dict", "doc", "file", "loader", "name"),
        *("package", "path", "spec", "warningregistry", "weakref"),
    )
) | {"_abc_impl"}


def remembered(algorithm: object, modules: Iterable[types.ModuleType]) -> dict[str, str]:
    """Every place where something could be kept, by a path that people can read, with what is there now.

    `modules` are the algorithm's own; classes and functions of others are not looked into.
    """
    own = {module.__name__: module for module in modules}
    walk = _Walk(frozenset(own))
    walk.visit("instance", algorithm, 0)
    for name, module in own.items():
        for key, value in list(vars(module).items()):
            if key not in _NOT_TOLD:
                walk.visit(f"{name}.{key}", value, 0)
    return walk.found


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The places whose content differs, the shortest paths first."""
    places = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    outermost = [
        path for path in places if not any(path != other and path.startswith(other) for other in places)
    ]
    return sorted(outermost, key=lambda path: (len(path), path))


class _Walk:
    def __init__(self, own: frozenset[str]) -> None:
        self.found: dict[str, str] = {}
        self._own = own
        self._seen: set[int] = set()

    def visit(self, path: str, value: Any, depth: int) -> None:
        if len(self.found) >= MOST or depth > DEEPEST:
            return
        if isinstance(value, np.ndarray):
            self.found[path] = f"{value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
            return
        if isinstance(value, bool | int | float | complex | str | bytes | type(None)):
            self.found[path] = repr(value)
            return
        self.found[path] = f"{type(value).__qualname__} {id(value):x}"
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        for name, part in self._parts(value):
            self.visit(f"{path}{name}", part, depth + 1)

    def _parts(self, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, types.ModuleType):
            return
        if isinstance(value, types.FunctionType):
            yield from self._parts_of_function(value)
        elif isinstance(value, type):
            if value.__module__ in self._own:
                yield from (
                    (f".{name}", part) for name, part in list(vars(value).items()) if name not in _NOT_TOLD
                )
        elif isinstance(value, property | classmethod | staticmethod):
            inner = value.fget if isinstance(value, property) else value.__func__
            yield "", inner
        elif isinstance(value, Mapping):
            yield from ((f"[{key!r}]", part) for key, part in list(value.items()))
        elif isinstance(value, list | tuple):
            yield from ((f"[{number}]", part) for number, part in enumerate(value))
        elif isinstance(value, types.GeneratorType):
            yield " (generator)", dict(value.gi_frame.f_locals) if value.gi_frame else None
        else:
            yield from self._parts_of_object(value)

    def _parts_of_function(self, value: types.FunctionType) -> Iterator[tuple[str, Any]]:
        if value.__module__ not in self._own:
            return
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=True):
            try:
                yield f" (closure).{name}", cell.cell_contents
            except ValueError:  # nothing is in it yet
                continue
        yield " (defaults)", value.__defaults__
        yield " (keyword defaults)", value.__kwdefaults__
        yield from ((f".{name}", part) for name, part in list(vars(value).items()))

    def _parts_of_object(self, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, set | frozenset):
            yield " (members)", repr(sorted(map(repr, value)))
        elif type(value).__module__ in ("itertools", "collections", "builtins", "random", "_random"):
            yield " (as text)", repr(value)
        yield from ((f".{name}", part) for name, part in list(getattr(value, "__dict__", {}).items()))
        for cls in type(value).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, name):
                    yield f".{name}", getattr(value, name)
        if type(value).__module__ in self._own:
            yield " (class)", type(value)
