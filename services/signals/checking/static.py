"""What the source of an algorithm names that no algorithm needs: found without running it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from services.signals.checking import Finding

MODULES = {
    **dict.fromkeys(("time", "sched"), "clock"),
    **dict.fromkeys(("random", "secrets", "uuid"), "random"),
    **dict.fromkeys(
        (
            *("fileinput", "glob", "io", "linecache", "mmap", "os", "pathlib", "pickle", "shelve", "shutil"),
            *("sqlite3", "tempfile", "csv", "gzip", "zipfile", "marshal", "fcntl"),
        ),
        "files",
    ),
    **dict.fromkeys(
        (
            *("aiohttp", "asyncio", "ftplib", "http", "httpx", "imaplib", "requests", "select", "selectors"),
            *("smtplib", "socket", "socketserver", "ssl", "urllib", "urllib3", "websockets", "xmlrpc"),
            *("boto3", "ccxt", "pika", "psycopg", "redis", "sqlalchemy"),
        ),
        "network",
    ),
    **dict.fromkeys(
        ("concurrent", "multiprocessing", "pty", "signal", "subprocess", "threading", "_thread"), "processes"
    ),
    **dict.fromkeys(("ctypes", "gc", "inspect", "sys", "traceback", "weakref"), "reaches-out"),
    **dict.fromkeys(("builtins", "importlib", "runpy", "atexit"), "reaches-out"),
}
"""The rule that an import of each module breaks."""

BUILTINS = {
    "open": "files",
    "input": "files",
    "eval": "reaches-out",
    "exec": "reaches-out",
    "compile": "reaches-out",
    "__import__": "reaches-out",
    "globals": "hidden-state",
}
NUMPY = {
    "random": "random",
    **dict.fromkeys(
        ("fromfile", "genfromtxt", "load", "loadtxt", "memmap", "save", "savetxt", "savez"), "files"
    ),
    "lib": "files",
    "ctypeslib": "reaches-out",
}
NOW = ("now", "today", "utcnow")
"""Methods, and what NumPy takes for a time: `numpy.datetime64("now")`."""
INNARDS = (
    "f_back",
    "f_globals",
    "f_locals",
    "__builtins__",
    "__globals__",
    "__closure__",
    "__subclasses__",
    "gi_frame",
)


def findings(path: Path) -> Iterator[Finding]:
    """What the source file names; nothing for a file that is no Python source."""
    if path.suffix != ".py":
        return
    tree = ast.parse(path.read_bytes(), str(path))
    numpy_names = {
        alias.asname or "numpy"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "numpy"
    }
    for node in ast.walk(tree):
        for rule, what in _broken_by(node, numpy_names):
            yield Finding(rule, f"{path.name}:{getattr(node, 'lineno', 1)}", what)


def _broken_by(node: ast.AST, numpy_names: set[str]) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield from _of_module(alias.name)
        case ast.ImportFrom(module=str(module), level=0, names=names):
            for alias in names:
                yield from _of_module(f"{module}.{alias.name}")
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            yield "hidden-state", f"assigns to {', '.join(names)} outside of the function"
        case ast.Name(id=name, ctx=ast.Load()) if name in BUILTINS:
            yield BUILTINS[name], f"uses {name}()"
        case ast.Call(func=ast.Attribute(attr=word)) | ast.Constant(value=str(word)) if word in NOW:
            yield "clock", f"asks for {word!r}"
        case ast.Attribute(attr=attribute) if attribute in INNARDS:
            yield "reaches-out", f"uses {attribute}"
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in numpy_names:
            yield from _of_module(f"numpy.{attribute}")


def _of_module(name: str) -> Iterator[tuple[str, str]]:
    top, _, rest = name.partition(".")
    if top in MODULES:
        yield MODULES[top], f"uses {name}"
    elif top == "numpy" and (part := rest.partition(".")[0]) in NUMPY:
        yield NUMPY[part], f"uses {name}"
