"""Who is asking: the identity that auth signed, verified by every service itself."""

import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import flask_login
import orjson
from flask import Flask, Response, current_app, g, redirect, request
from flask_login import LoginManager, UserMixin, current_user
from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import JWKRegistry, OKPKey
from joserfc.jws import JWSAlgModel, JWSRegistry  # type: ignore[attr-defined]  # it is, but not in __all__
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.wrappers import Response as AnyResponse

from shared.logs import logger
from shared.settings import ServiceSettings
from shared.web import errors
from shared.web.redirects import login_link

__all__ = [
    "ALGORITHM", "AUDIENCE", "HEADER", "ISSUER", "LIFETIME_SECONDS", "Identity", "InvalidIdentity", "Role",
    "Verifier", "current_identity", "current_user", "init_app", "login_required", "verify",
]  # fmt: skip

HEADER = "X-Identity"
ISSUER = "boritrader-auth"
AUDIENCE = "boritrader"
LIFETIME_SECONDS = 60
CLOCK_SKEW_SECONDS = 5
ALGORITHM = "Ed25519"
"""What auth writes into the header: the fully specified name of RFC 9864."""
_ACCEPTED = frozenset({ALGORITHM, "EdDSA"})  # the older name of the same, on an Ed25519 key
_MAX_TOKEN_CHARS = 4096
log = logger(__name__)

View = TypeVar("View", bound=Callable[..., Any])
Role = Literal["user", "admin"]


class InvalidIdentity(Exception):
    """A token that auth did not sign for us, or no longer; the text is for the log, never for people."""


class Identity(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """A person with a live session, as of at most a minute ago."""

    def __init__(self, *, user_id: str, session_id: str, user_name: str, role: Role, plan: str) -> None:
        self.user_id = user_id
        self.session_id = session_id
        self.user_name = user_name
        self.role = role
        self.plan = plan

    def get_id(self) -> str:
        """The user id, under Flask-Login's name for it."""
        return self.user_id


class _Claims(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    iss: Literal["boritrader-auth"]
    aud: Literal["boritrader"]
    sub: str = Field(min_length=1, max_length=64)
    sid: str = Field(min_length=1, max_length=64)
    name: str = Field(min_length=1, max_length=200)
    role: Role
    plan: str = Field(min_length=1, max_length=200)
    iat: int
    exp: int


class _Ed25519Only(JWSRegistry):
    """Knows one algorithm under its two names; whatever else a token asks for does not exist here."""

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in _ACCEPTED:
            raise UnsupportedAlgorithmError("not an Ed25519 signature")
        return self.algorithms[name]


class Verifier:
    """Verifies identities with auth's public keys. Needs no Flask: notify-live uses it as it is.

    ``jwks`` is the JSON of a key set; every key must be a public Ed25519 one with a ``kid``.
    Raises ValueError when it is not. Keys come from here alone: a token's jku, x5u, jwk and paths in kid
    lead nowhere.
    """

    def __init__(self, jwks: str) -> None:
        self._keys: dict[str, OKPKey] = {}
        for fields in orjson.loads(jwks)["keys"]:
            key = JWKRegistry.import_key(fields)
            if not isinstance(key, OKPKey) or key.curve_name != "Ed25519" or not key.kid or key.is_private:
                raise ValueError("IDENTITY_PUBLIC_KEYS must hold nothing but public Ed25519 keys with a kid")
            self._keys[key.kid] = key
        if not self._keys:
            raise ValueError("IDENTITY_PUBLIC_KEYS holds no key")
        self._registry = _Ed25519Only(algorithms=list(_ACCEPTED))

    def verify(self, token: str, *, now: float | None = None) -> Identity:
        """The identity in a token. Raises InvalidIdentity unless everything about it is right."""
        if len(token) > _MAX_TOKEN_CHARS:
            raise InvalidIdentity("too long")
        try:
            claims = _Claims.model_validate(jwt.decode(token, self._key_of, registry=self._registry).claims)
        except JoseError as error:
            raise InvalidIdentity(type(error).__name__) from None
        except ValidationError as error:
            raise InvalidIdentity(f"claims: {error.errors(include_input=False)[0]['loc']}") from None
        except (ValueError, TypeError, UnicodeError, RecursionError) as error:
            raise InvalidIdentity(f"malformed: {type(error).__name__}") from None
        moment = time.time() if now is None else now
        if claims.exp <= moment:
            raise InvalidIdentity("expired")
        if claims.iat > moment + CLOCK_SKEW_SECONDS:
            raise InvalidIdentity("issued in the future")
        return Identity(
            user_id=claims.sub,
            session_id=claims.sid,
            user_name=claims.name,
            role=claims.role,
            plan=claims.plan,
        )

    def _key_of(self, signature: Any) -> OKPKey:
        kid = signature.headers().get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise InvalidIdentity("unknown kid")
        return key


def init_app(app: Flask, settings: ServiceSettings) -> None:
    """Verify the gateway's identity header once per request and give it to Flask-Login.

    A request without the header is anonymous; one with a bad header is refused with 401, because the gateway
    never sends one.
    """
    app.extensions["boritrader_identity"] = Verifier(settings.identity_public_keys)
    manager = LoginManager()
    manager.session_protection = None  # identity lives in auth's session, not in Flask's cookie
    manager.init_app(app)
    manager.request_loader(lambda _request: g.get("identity"))
    manager.unauthorized_handler(_unauthorized)

    @app.before_request
    def _identify() -> Response | None:
        token = request.headers.get(HEADER)  # WSGI joins a header sent twice by a comma: no token any more
        if token is None:
            return None
        try:
            g.identity = verify(token)
        except InvalidIdentity as error:
            log.warning("identity_refused", reason=str(error))
            return errors.respond(_login_needed())
        return None


def login_required(view: View) -> View:
    """Only for people who are logged in: others are led to the login page, programs get 401."""
    return cast("View", flask_login.login_required(view))


def verify(token: str) -> Identity:
    """The identity in a token, by the keys of the current app. Raises InvalidIdentity."""
    return cast("Verifier", current_app.extensions["boritrader_identity"]).verify(token)


def current_identity() -> Identity:
    """The person asking. Raises AppError 401 for an anonymous one, with or without ``login_required``."""
    identity: Identity | None = g.get("identity")
    if identity is None:
        raise _login_needed()
    return identity


def _login_needed() -> errors.AppError:
    return errors.of_status(401, headers={"WWW-Authenticate": 'Bearer realm="boritrader"'})


def _unauthorized() -> AnyResponse:
    if errors.wants_json():
        return errors.respond(_login_needed())
    return redirect(login_link(), 302)
