"""What `make` finds there when it is called again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "uv.lock", "package.json", "package-lock.json")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
STAMPS = (".venv/.stamp", "node_modules/.stamp", "build/.stamp")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout after `make setup`, in a folder with a blank in its name."""
    folder = tmp_path / "My Projects"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    shutil.copy(ROOT / "Makefile", folder)
    for name in SOURCES:
        (folder / name).write_text("")
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    for age, name in enumerate(reversed(STAMPS)):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{folder}\n" if name == STAMPS[0] else "")
        os.utime(path, (path.stat().st_mtime + 100 - age,) * 2)
    return folder


def would_run(folder: Path) -> str:
    done = subprocess.run(
        ["make", "-n", "setup"], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_nothing_is_done_again(checkout: Path) -> None:
    assert "Nothing to be done" in would_run(checkout)


def test_a_new_lock_file_is_followed(checkout: Path) -> None:
    os.utime(checkout / "uv.lock", (checkout.stat().st_mtime + 200,) * 2)
    assert "setup_python" in would_run(checkout)


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert "setup_python" in would_run(checkout)


def test_an_environment_of_too_old_a_python_is_made_anew(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    assert "setup_python" in would_run(checkout)


def test_a_checkout_that_was_moved_is_set_up_at_its_new_place(checkout: Path) -> None:
    assert "setup_python" in would_run(checkout.rename(checkout.with_name("moved")))
