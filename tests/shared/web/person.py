"""Keys, and the identities that auth would sign with them."""

import json
import time
from typing import Any

from joserfc import jwt
from joserfc.jwk import OKPKey

from shared.web.identity import ALGORITHM

KEY = OKPKey.generate_key("Ed25519", {"kid": "key-1"})
PUBLIC_KEYS = json.dumps({"keys": [KEY.as_dict(private=False)]})


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims; a change to None leaves one out."""
    now = int(time.time())
    good = {
        "iss": "boritrader-auth",
        "aud": "boritrader",
        "sub": "user-1",
        "sid": "session-1",
        "name": "Anna",
        "role": "user",
        "plan": "free",
        "iat": now,
        "exp": now + 60,
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def token(*, key: OKPKey = KEY, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token signed with ``key``."""
    return jwt.encode(
        {"alg": ALGORITHM, "kid": "key-1"} | (header or {}), claims(**changes), key, [ALGORITHM]
    )


def headers(**changes: Any) -> dict[str, str]:
    """What the gateway adds to a request of a person."""
    return {"X-Identity": token(**changes)}
