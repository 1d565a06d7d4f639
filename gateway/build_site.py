"""Build the marketing site and the gateway's error pages: `python -m gateway.build_site STATIC_DIR SITE_DIR`.

Runs after the build of the static files, whose manifest gives the names with a hash in them. The site's own
style sheet is put among the static files. Needs Python alone.
"""

import gzip
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "site"
HASH_CHARACTERS = 8
PLACEHOLDER = re.compile(r"\{\{ (\w+)(?: '([^']+)')? \}\}")
PRECOMPRESSED = frozenset({".css", ".html", ".js", ".json", ".mjs", ".svg", ".txt"})
GZIP_FROM_BYTES = 1024

ERRORS: Mapping[int, tuple[str, str]] = {
    400: (
        "That request could not be understood",
        "The address or the request is not one that a browser would send.",
    ),
    404: ("There is no such page", "It may have moved, or the address has a typing error in it."),
    405: ("That can't be done here", "This address doesn't take that kind of request."),
    413: ("That is too large", "The request holds more than this address takes."),
    414: ("That address is too long", "Please go back and try a shorter one."),
    415: ("That format isn't taken", "The request is packed in a way that this address doesn't take."),
    429: ("Too many requests", "Please wait a moment, then go back and try again."),
    503: (
        "We can't answer right now",
        "A part of Boritrader doesn't answer. Nothing you did is lost; please try again.",
    ),
}


def fill(template: str, values: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Replace `{{ name }}` by a value and `{{ static 'shared/app.css' }}` by the address of that built file.

    Raises:
        KeyError: no such value or file.
    """

    def replacement(found: re.Match[str]) -> str:
        name, argument = found.groups()
        return f"/static/{files[argument]}" if name == "static" else values[name]

    return PLACEHOLDER.sub(replacement, template)


def add_own_files(static_dir: Path) -> dict[str, str]:
    """Put the site's style sheets among the built files; returns plain name -> name with hash."""
    names = {}
    # What earlier builds left there stays as long as the build of the static files keeps it.
    (static_dir / "site").mkdir(parents=True, exist_ok=True)
    for source in sorted(SOURCE.glob("*.css")):
        content = source.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]
        hashed = f"site/{source.stem}-{digest}{source.suffix}"
        (static_dir / hashed).write_bytes(content)
        names[f"site/{source.name}"] = hashed
    return names


def build(static_dir: Path, site_dir: Path) -> None:
    """Write index.html, robots.txt and the error pages into `site_dir`."""
    files = json.loads((static_dir / "manifest.json").read_text()) | add_own_files(static_dir)
    frame = (SOURCE / "frame.html").read_text()
    account = (SOURCE / "account.html").read_text().rstrip()
    if site_dir.exists():
        shutil.rmtree(site_dir)
    errors = site_dir / "_error"
    errors.mkdir(parents=True)

    def page(title: str, description: str, content: str, account: str = "") -> str:
        values = {"title": title, "description": description, "content": content, "account": account}
        return fill(frame, values, files)

    index = fill((SOURCE / "index.html").read_text(), {}, files)
    title = "Boritrader: trading signals, computed once and told at once"
    description = "Rules watch the market on closed candles; you learn the moment a view changes."
    (site_dir / "index.html").write_text(page(title, description, index, account))
    shutil.copyfile(SOURCE / "robots.txt", site_dir / "robots.txt")
    template = (SOURCE / "error.html").read_text()
    for status, (heading, text) in ERRORS.items():
        # The reader may be logged in: these pages invite nobody to register.
        content = fill(template, {"status": str(status), "heading": heading, "text": text}, files)
        (errors / f"{status}.html").write_text(page(f"{heading} · Boritrader", text, content))
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": text,
        }
        (errors / f"{status}.json").write_text(json.dumps(problem) + "\n")


def precompress(folder: Path) -> None:
    """Put a `.gz` beside every file that is worth it, for NGINX's gzip_static."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in PRECOMPRESSED and path.stat().st_size >= GZIP_FROM_BYTES:
            # without a time in it, so the same content makes the same bytes
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))


def main(arguments: list[str]) -> int:
    """The command."""
    static_dir, site_dir = (Path(argument) for argument in arguments)
    build(static_dir, site_dir)
    precompress(static_dir)
    precompress(site_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
