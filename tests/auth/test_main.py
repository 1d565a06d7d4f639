"""The command line of auth."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.auth.__main__ import main
from services.auth.tokens import IdentitySigner
from shared.web.identity import Verifier

ROOT = Path(__file__).resolve().parents[2]


def test_a_new_identity_key_is_printed_as_two_settings_that_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-identity-key"]) == 0
    settings = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    private = settings["IDENTITY_PRIVATE_KEY"].strip("'")
    public = settings["IDENTITY_PUBLIC_KEYS"].strip("'")
    assert IdentitySigner(private).public_keys() == json.loads(public)
    Verifier(public)


@pytest.mark.parametrize("process", ["web", "worker"])
def test_a_missing_setting_stops_the_start_with_its_name(process: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services.auth", process],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "boritrader: DATABASE_URL is missing" in ended.stderr
    assert ("IDENTITY_PRIVATE_KEY" in ended.stderr) == (process == "web")


def test_a_wrong_private_key_stops_the_start_without_being_told() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services.auth", "web"],
        cwd=ROOT,
        env={"IDENTITY_PRIVATE_KEY": "my-secret-that-is-no-key"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "boritrader: IDENTITY_PRIVATE_KEY is wrong" in ended.stderr
    assert "my-secret" not in ended.stderr
