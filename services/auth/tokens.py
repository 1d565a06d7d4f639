"""Session tokens, and the signed identity that the gateway hands to every service."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from services.auth.constants import TOKEN_BYTES
from shared.web.identity import ALGORITHM, AUDIENCE, ISSUER, LIFETIME_SECONDS


def new_token() -> str:
    """An unguessable session token: 256 random bits, URL-safe."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> bytes:
    """The SHA-256 of a token, 32 bytes: what the database knows of it."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True)
class Holder:
    """Who a good session belongs to, as the identity says it."""

    user_id: str
    session_id: str
    user_name: str
    role: str
    plan: str


class InvalidKey(ValueError):
    """The setting is no private Ed25519 key in JWK form."""


class IdentitySigner:
    """Signs identities with auth's private key and publishes the public half.

    Raises InvalidKey when ``private_jwk`` isn't the JSON of a private Ed25519 JWK with a key id.
    """

    def __init__(self, private_jwk: str) -> None:
        try:
            key = OKPKey.import_key(json.loads(private_jwk))
        except (ValueError, TypeError, JoseError):
            raise InvalidKey("it is not the JSON of a private Ed25519 JWK") from None
        if key.curve_name != "Ed25519" or not key.is_private or not key.kid:
            raise InvalidKey("it is not a private Ed25519 JWK with a kid")
        self._key = key

    def sign(self, holder: Holder, now: datetime) -> str:
        """The identity as a JWT that is good for a minute from ``now``."""
        issued = int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": holder.user_id,
            "sid": holder.session_id,
            "name": holder.user_name,
            "role": holder.role,
            "plan": holder.plan,
            "iat": issued,
            "exp": issued + LIFETIME_SECONDS,
        }
        header = {"alg": ALGORITHM, "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])

    def public_keys(self) -> dict[str, list[dict[str, object]]]:
        """The key set (JWKS) that identities are verified with."""
        return {"keys": [dict(self._key.as_dict(private=False))]}


def make_identity_key() -> tuple[str, str]:
    """A new pair: (private JWK, public JWKS), both as JSON for the settings of the same name."""
    key = OKPKey.generate_key("Ed25519", parameters={"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    private = json.dumps(key.as_dict(private=True), separators=(",", ":"))
    public = json.dumps({"keys": [key.as_dict(private=False)]}, separators=(",", ":"))
    return private, public
