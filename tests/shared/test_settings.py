"""Settings come from the environment or Secrets Manager, and a wrong one stops the start by its name."""

import json
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr, ValidationError

from shared.settings import ServiceSettings, Settings, load

GOOD = {
    "DATABASE_URL": "postgresql+psycopg://u:p@db/x",
    "SECRET_KEY": "k" * 32,
    "IDENTITY_PUBLIC_KEYS": '{"keys": []}',
}


@pytest.fixture
def good(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*ServiceSettings.model_fields, "SECRETS_ARN"):
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_variables_are_the_upper_case_fields(good: pytest.MonkeyPatch) -> None:
    good.setenv("HEALTH_PORT", "9000")
    good.setenv("AMQP_URL", "")
    settings = load(ServiceSettings)
    assert settings.database_url == SecretStr("postgresql+psycopg://u:p@db/x")
    assert settings.health_port == 9000
    assert settings.amqp_url is None
    assert load(ServiceSettings, health_port=1).health_port == 1


def test_settings_cannot_be_changed_and_do_not_show_secrets(good: pytest.MonkeyPatch) -> None:
    settings = load(ServiceSettings)
    with pytest.raises(ValidationError):
        settings.health_port = 1  # type: ignore[misc]
    assert "kkkk" not in repr(settings)
    assert "u:p@" not in repr(settings)


def test_missing_and_wrong_variables_stop_the_start_by_name(
    good: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good.delenv("DATABASE_URL")
    good.setenv("SECRET_KEY", "tooshort")
    good.setenv("HEALTH_PORT", "http")
    with pytest.raises(SystemExit) as ended:
        load(ServiceSettings)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert "boritrader: DATABASE_URL is missing" in lines
    assert any(line.startswith("boritrader: SECRET_KEY is wrong: ") for line in lines)
    assert any(line.startswith("boritrader: HEALTH_PORT is wrong: ") for line in lines)
    assert "tooshort" not in "".join(lines)


@pytest.fixture
def secrets_manager(good: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    good.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    good.setenv("AWS_ACCESS_KEY_ID", "test")
    good.setenv("AWS_SECRET_ACCESS_KEY", "test")
    yield good
    server.stop()


def test_secrets_manager_fills_in_what_the_environment_leaves_out(
    secrets_manager: pytest.MonkeyPatch,
) -> None:
    made = boto3.client("secretsmanager", region_name="eu-central-1").create_secret(
        Name="boritrader/auth", SecretString=json.dumps({"DATABASE_URL": "from-aws", "SECRET_KEY": "a" * 40})
    )
    secrets_manager.setenv("SECRETS_ARN", made["ARN"])
    secrets_manager.delenv("DATABASE_URL")
    settings = load(ServiceSettings)
    assert settings.database_url == SecretStr("from-aws")
    assert settings.secret_key == SecretStr("k" * 32)


def test_an_unknown_variable_is_not_our_business() -> None:
    class Small(Settings):
        port: int = 1

    assert Small(port=2, other="x").port == 2
