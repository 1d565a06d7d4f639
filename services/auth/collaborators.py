"""What auth's routes need beside the database, kept with the app."""

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from services.auth.passwords import Passwords
from services.auth.tokens import IdentitySigner

_EXTENSION = "boritrader_auth"


@dataclass(frozen=True)
class Collaborators:
    """The hasher of passwords and the signer of identities: one of each in a process."""

    passwords: Passwords
    signer: IdentitySigner


def keep(app: Flask, given: Collaborators) -> None:
    """Keep the collaborators with the app."""
    app.extensions[_EXTENSION] = given


def collaborators() -> Collaborators:
    """The collaborators of the app that serves this request."""
    return cast("Collaborators", current_app.extensions[_EXTENSION])
