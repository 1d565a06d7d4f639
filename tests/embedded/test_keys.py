"""The secrets of an installation."""

import stat
from pathlib import Path

import pytest

from embedded.keys import load_or_make
from embedded.processes import StartError


def test_secrets_are_made_once_and_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    keys = load_or_make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make(path) == keys
    assert [file.name for file in tmp_path.iterdir()] == ["secrets.json"]
    assert load_or_make(tmp_path / "other.json").secret_key != keys.secret_key


@pytest.mark.parametrize("content", ["{", "{}", '{"secret_key": "short"}'])
def test_a_broken_file_is_kept_and_told_without_what_is_in_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(content)
    with pytest.raises(StartError, match="is broken; restore it, or delete it") as caught:
        load_or_make(path)
    assert "short" not in str(caught.value)
    assert path.read_text() == content
