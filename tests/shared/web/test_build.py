"""The build of the static files, as `make setup` runs it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What the gateway caches for a year (gateway/nginx.conf.template, $static_caching).
FOR_EVER = re.compile(r"^/static/.+[.-][0-9A-Za-z]{8,}\.[0-9a-z]+(?:\.map)?$")


def _node() -> str | None:
    beside_python = Path(sys.executable).parent / "node"
    return shutil.which("node") or (str(beside_python) if beside_python.exists() else None)


def _build(folder: Path) -> None:
    node = _node()
    assert node is not None
    command = [node, "shared/web/build.mjs", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120, capture_output=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh build."""
    assert (ROOT / "node_modules").is_dir(), "node packages are not installed: run `make setup`"
    folder = tmp_path_factory.mktemp("build") / "static"
    _build(folder)
    return folder


def _manifest(built: Path) -> dict[str, str]:
    return dict(json.loads((built / "manifest.json").read_text()))


def test_every_name_leads_to_a_file(built: Path) -> None:
    manifest = _manifest(built)
    assert {"shared/app.css", "shared/site.js", "shared/theme.js", "shared/mark.svg", "licenses.txt"} <= set(
        manifest
    )
    assert [name for name, file in manifest.items() if not (built / file).is_file()] == []


def test_every_file_but_the_notices_is_cached_for_ever(built: Path) -> None:
    files = [f"/static/{path.relative_to(built)}" for path in built.rglob("*") if path.is_file()]
    assert sorted(file for file in files if not FOR_EVER.match(file)) == [
        "/static/licenses.txt",
        "/static/manifest.json",
    ]


def test_every_page_script_and_style_of_a_service_is_built(built: Path) -> None:
    sources = {
        f"{path.parent.name}/{path.name}"
        for path in ROOT.glob("services/*/static/*/*")
        if path.suffix in (".js", ".css")
    }
    assert sources <= set(_manifest(built))


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    for path in (*built.rglob("*.css"), *built.rglob("*.js")):
        assert (
            re.findall(r"url\(\s*[\"']?(?:https?:)?//|@import|import\([\"']https?:", path.read_text()) == []
        )


def test_every_bundled_package_brings_its_licence(built: Path) -> None:
    notices = (built / "licenses.txt").read_text()
    assert "@fontsource-variable/hanken-grotesk" in notices
    assert "SIL Open Font License" in notices


def test_the_same_sources_make_the_same_files(built: Path, tmp_path: Path) -> None:
    again = tmp_path / "static"
    _build(again)
    assert _manifest(again) == _manifest(built)


def test_files_of_earlier_builds_stay_for_a_week_after_they_were_replaced(
    built: Path, tmp_path: Path
) -> None:
    target = tmp_path / "static"
    shutil.copytree(built, target)
    old, packed = target / "shared/app-0LDHASH1.css", target / "signals/ticker-0LDHASH1.js.gz"
    in_use = target / f"{_manifest(built)['shared/app.css']}.gz"
    for file in (old, packed, in_use, target / "shared/unhashed.css"):
        file.write_text("earlier")
    _build(target)
    assert old.read_text() == packed.read_text() == in_use.read_text() == "earlier"
    assert not (target / "shared/unhashed.css").exists()
    listed = tmp_path / "static.earlier.json"
    since = json.loads(listed.read_text())
    assert set(since) == {"shared/app-0LDHASH1.css", "signals/ticker-0LDHASH1.js.gz"}

    day = 24 * 3600 * 1000
    since["shared/app-0LDHASH1.css"] -= 8 * day
    since["signals/ticker-0LDHASH1.js.gz"] -= 6 * day
    listed.write_text(json.dumps(since))
    _build(target)
    assert packed.exists()
    assert not old.exists()
    assert in_use.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["static", "static.earlier.json"]
