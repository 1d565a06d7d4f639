"""Conditional answers: a client that has the newest state is told so in a few bytes."""

import hashlib
from typing import Any

from flask import Response, request

from shared.web import json

_REVALIDATE = "private, no-cache"


def conditional_json(payload: Any) -> Response:
    """``payload`` as JSON with an ETag of its bytes; 304 without a body when the client has it already."""
    body = json.dump(payload)
    response = Response(body, mimetype="application/json")
    return _conditional(response, hashlib.blake2b(body, digest_size=16).hexdigest())


def not_modified(version: str) -> Response | None:
    """A 304 when the client's copy carries ``version``, else None: asked before the expensive query.

    Answer what follows None with ``versioned_json`` under the same version.
    """
    tag = _tag(version)
    if request.if_none_match.contains_weak(tag):
        return _conditional(Response(status=304), tag)
    return None


def versioned_json(payload: Any, version: str) -> Response:
    """``payload`` as JSON under an ETag made of ``version``, any text that changes with the payload."""
    return _conditional(Response(json.dump(payload), mimetype="application/json"), _tag(version))


def _tag(version: str) -> str:
    return hashlib.blake2b(version.encode(), digest_size=16).hexdigest()


def _conditional(response: Response, tag: str) -> Response:
    # Weak from the start: NGINX compresses, and the bytes on the wire are then not these.
    response.set_etag(tag, weak=True)
    response.headers["Cache-Control"] = _REVALIDATE
    response.headers["Vary"] = "Cookie, Authorization"
    response.make_conditional(request)
    return response
