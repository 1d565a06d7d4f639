"""The limits of the queues, as policies of the broker: ``python -m shared.bus.policies`` brings them to it.

They are not arguments of the queues, since those can't be changed later. Run it once per broker, and again
when a limit has changed; ``RABBITMQ_MANAGEMENT_URL`` is the address of the management API with its user.
"""

import base64
import json
import sys
import urllib.request
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from shared import logs
from shared.settings import Settings, load

SECONDS = 10

POLICIES: dict[str, dict[str, Any]] = {
    # 50 deliveries without an answer: whoever takes the message dies of it
    "events": {
        "pattern": r"\.events\.v[0-9]+$",
        "definition": {"delivery-limit": 50, "max-length": 1_000_000, "overflow": "reject-publish"},
    },
    "retries": {
        "pattern": r"\.retry\.[0-9.]+s$",
        "definition": {"max-length": 1_000_000, "overflow": "reject-publish"},
    },
}


class _ManagementSettings(Settings):
    rabbitmq_management_url: SecretStr
    rabbitmq_vhost: str = "/"


def apply(url: str, vhost: str) -> None:
    """Set all policies on a virtual host. Raises OSError when the management API refuses or is silent."""
    parts = urlsplit(url)
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    authorization = "Basic " + base64.b64encode(user.encode()).decode()
    host = parts.netloc.rpartition("@")[2]
    for name, policy in POLICIES.items():
        request = urllib.request.Request(  # noqa: S310 - an operator's setting
            f"{parts.scheme}://{host}{parts.path.rstrip('/')}/api/policies/{quote(vhost, safe='')}/{name}",
            data=json.dumps({"apply-to": "queues", "priority": 0, **policy}).encode(),
            headers={"Authorization": authorization, "Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310
            pass


def main() -> int:
    """The command; 0, or 1 when the broker would not have it."""
    settings = load(_ManagementSettings)
    try:
        apply(settings.rabbitmq_management_url.get_secret_value(), settings.rabbitmq_vhost)
    except OSError as error:
        sys.stderr.write(f"boritrader: the broker's policies are not set: {logs.scrub_text(str(error))}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
