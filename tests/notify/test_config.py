"""Settings that cannot work are refused at the start."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from services.notify.config import Settings


@pytest.mark.parametrize(
    "values",
    [
        {"mail_url": "http://mail.example"},
        {"mail_url": "smtp://"},
        {"mail_from": "no address"},
        {"mail_from": "Boritrader <noreply@example.org>\r\nBcc: x@example.org"},
        {"mail_reply_to": "nobody"},
        {"mail_concurrency": 2},
        {"mail_rate": 0},
        {"mail_timeout": 25, "mail_lease": 120},
        {"mail_lease": 20},
    ],
)
def test_a_setting_that_cannot_work_is_refused(
    values: dict[str, object], make_settings: Callable[..., Settings]
) -> None:
    with pytest.raises(ValidationError):
        make_settings(**values)


def test_secrets_are_not_shown(make_settings: Callable[..., Settings]) -> None:
    assert "hunter2" not in repr(make_settings(mail_url="smtp://user:hunter2@mail.example"))
