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


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh build."""
    node = _node()
    if node is None or not (ROOT / "node_modules").is_dir():
        pytest.skip("node packages are not installed: run `make setup`")
    folder = tmp_path_factory.mktemp("build") / "static"
    subprocess.run(
        [node, "shared/web/build.mjs", str(folder)], cwd=ROOT, check=True, timeout=120, capture_output=True
    )
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
    node = _node()
    assert node is not None
    again = tmp_path / "static"
    subprocess.run(
        [node, "shared/web/build.mjs", str(again)], cwd=ROOT, check=True, timeout=120, capture_output=True
    )
    assert _manifest(again) == _manifest(built)
