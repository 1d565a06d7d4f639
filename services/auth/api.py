"""The gateway's question who somebody is, and the keys that its answer is verified with. Never public."""

from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify

from services.auth import service
from services.auth.collaborators import collaborators
from services.auth.cookies import session_token
from shared.web.identity import HEADER
from shared.web.unit_of_work import read

api = Blueprint("internal", __name__, url_prefix="/internal")


@api.get("/identity")
def identity() -> Response:
    """Always 200: with the signed identity in ``X-Identity`` when the session is good, else without."""
    response = Response(status=200)
    token = session_token()
    if token is not None:
        with read() as connection:
            holder = service.identify(connection, token)
        if holder is not None:
            response.headers[HEADER] = collaborators().signer.sign(holder, datetime.now(UTC))
    return response


@api.get("/jwks.json")
def public_keys() -> Response:
    """The key set (RFC 7517) that identities are verified with."""
    return jsonify(collaborators().signer.public_keys())
