"""The installation's secrets: made once, kept in a file that only its owner can read."""

import json
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedded.processes import StartError
from services.auth.tokens import make_identity_key


class Keys(BaseModel):
    """`secret_key` signs the CSRF cookie of all services; the other two are auth's pair, as JWK and JWKS."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    secret_key: str = Field(min_length=32)
    identity_private_key: str = Field(min_length=1)
    identity_public_keys: str = Field(min_length=1)


def load_or_make(path: Path) -> Keys:
    """The keys in the file; the first time they are made and written there.

    Raises:
        StartError: the file can't be read or holds something else.
    """
    try:
        return Keys.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StartError(f"the file {path} can't be read: {error.strerror}") from None
    except ValidationError:
        raise StartError(
            f"the file {path} is broken; restore it, or delete it (everybody has to log in again)"
        ) from None
    private, public = make_identity_key()
    keys = Keys(
        secret_key=secrets.token_urlsafe(48), identity_private_key=private, identity_public_keys=public
    )
    unfinished = path.with_suffix(".unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(keys.model_dump(), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise StartError(f"the file {path} can't be written: {error.strerror}") from None
    return keys
