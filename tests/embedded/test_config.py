"""The environment of `make run`."""

import pytest

from embedded.config import LaunchSettings
from shared.settings import load


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "abc"), ("PORT", "0"), ("PORT", "65536"), ("REPLAY_SPEED", "-1"), ("REPLAY_SPEED", "nan")],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load(LaunchSettings)
    assert stopped.value.code == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"boritrader: {name} is wrong")
    assert complaint.count("\n") == 1
