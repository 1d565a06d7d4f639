"""Make the secrets of the container stack once: `python -m embedded.container_secrets .env`."""

import os
import secrets
import sys
from pathlib import Path

from services.auth.tokens import make_identity_key


def make(path: Path) -> bool:
    """Write the file, readable by its owner alone; False when it exists, which is left as it is."""
    if path.exists():
        return False
    private, public = make_identity_key()
    values = {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(32),
        "RABBITMQ_PASSWORD": secrets.token_urlsafe(32),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "IDENTITY_PRIVATE_KEY": private,
        "IDENTITY_PUBLIC_KEYS": public,
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        # in single quotes Compose takes a value as it is
        file.writelines(f"{name}='{value}'\n" for name, value in values.items())
    return True


if __name__ == "__main__":
    target = Path(sys.argv[1])
    print(
        f"made the secrets of the stack in {target}" if make(target) else f"the secrets in {target} are kept"
    )
