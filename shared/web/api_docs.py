"""The documents of a service's API, both made of its routes: OpenAPI for programs, a page for people."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache, partial
from typing import Any, cast

from apiflask import APIFlask
from flask import Response, render_template

from shared.settings import ServiceSettings
from shared.web.api_shapes import example_of, fields_of, words_of
from shared.web.csrf import SESSION_COOKIE, UNSAFE_METHODS
from shared.web.errors import PROBLEM_JSON
from shared.web.etags import conditional_json
from shared.web.origin import cookie_name

API_PREFIX = "/api/v1/"
INDEX: tuple[tuple[str, str], ...] = (
    ("/api/docs", "Market data and signals"),
    ("/api/docs/notify", "Alerts and inbox"),
)
"""The pages of all services' documents, with what each is about."""

CONDITIONAL = {304: "The ETag of If-None-Match is still that of the answer."}
"""What ``@api.doc(responses=…)`` takes of a view that answers by ``conditional_json``."""

_ALWAYS = {
    "401": "Nobody is logged in.",
    "429": "Too many requests; `Retry-After` says how long to wait.",
    "503": "We cannot answer right now; try again after `Retry-After` seconds.",
}
_WHAT_IS_WRONG = "A parameter or the body is not what it should be; `errors` names the fields."
_NOT_MODIFIED = "The `ETag` of `If-None-Match` is still that of the answer, which is not sent again."
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457). `code` is a stable word for programs.",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string", "examples": ["Bad Request"]},
        "status": {"type": "integer", "examples": [400]},
        "code": {"type": "string", "examples": ["invalid_request"]},
        "detail": {"type": "string", "examples": ["Something in this request is not right."]},
        "request_id": {"type": "string", "examples": ["8b7c0d0f2f5b4a63"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "examples": ["limit"]},
                    "message": {
                        "type": "string",
                        "examples": ["Input should be less than or equal to 500"],
                    },
                },
            },
        },
    },
}


def init_app(
    app: APIFlask,
    service: str,
    settings: ServiceSettings,
    *,
    page: str,
    about: str,
    public: Collection[str] = (),
) -> None:
    """Serve the OpenAPI document at ``/api/docs/<service>.json`` and the page at ``page``, to everybody.

    ``about`` is what the document says of the service's API, in plain sentences; the paths in ``public``
    need nobody to be logged in.
    """
    app.config["AUTO_OPERATION_ID"] = True
    app.config["AUTO_SERVERS"] = False
    app.config["SUCCESS_DESCRIPTION"] = "What was asked for."
    app.servers = [{"url": settings.public_url.rstrip("/")}]
    app.description = about
    with app.app_context():
        app.spec_processor(partial(_documented, cookie=cookie_name(SESSION_COOKIE), public=public))
    document_path = f"/api/docs/{service}.json"

    @cache
    def document() -> dict[str, Any]:
        return cast("dict[str, Any]", app.spec)

    @app.get(document_path)
    @app.doc(hide=True)
    def openapi_document() -> Response:
        return conditional_json(document())

    @app.get(page)
    @app.doc(hide=True)
    def api_docs_page() -> str:
        return render_template(
            "api_docs.html",
            document=document(),
            document_path=document_path,
            index=INDEX,
            page=page,
            operations=list(_operations(document())),
            words=partial(words_of, document()),
            fields=partial(fields_of, document()),
            example=partial(example_of, document()),
        )


def _documented(spec: dict[str, Any], *, cookie: str, public: Collection[str]) -> dict[str, Any]:
    """The document of the API's routes alone, with what every answer of ours may be."""
    paths = {path: item for path, item in spec["paths"].items() if path.startswith(API_PREFIX)}
    spec["paths"] = dict(sorted(paths.items()))
    schemas = spec["components"].setdefault("schemas", {})
    for unused in ("ValidationError", "HTTPError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    spec["components"]["securitySchemes"] = {
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "The session of somebody who has logged in.",
        }
    }
    spec["security"] = [{"session": []}]
    for path, method, operation in _operations(spec):
        operation["parameters"] = [_parameter(each) for each in operation["parameters"]]
        operation["responses"] = _responses(method, operation)
        if method.upper() in UNSAFE_METHODS:
            operation["parameters"].append(_CSRF)
        if path in public:
            operation["security"] = []
            del operation["responses"]["401"]
    return spec


_CSRF = {
    "name": "X-CSRFToken",
    "in": "header",
    "required": True,
    "description": 'The content of `<meta name="csrf-token">` of any of our pages.',
    "schema": {"type": "string"},
}


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def _parameter(given: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter as it stands in a query: never null, a list joined by commas, its description outside."""
    parameter = dict(given)
    schema = dict(parameter["schema"])
    for alternative in schema.pop("anyOf", ()):
        if alternative != {"type": "null"}:
            schema |= alternative
    schema.pop("title", None)
    if schema.get("default", ...) is None:
        del schema["default"]
    description = schema.pop("description", None)
    if description:
        parameter["description"] = description
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
    return parameter | {"schema": schema}


def _responses(method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = dict(operation["responses"])
    refusals = dict(_ALWAYS)
    if operation["parameters"] or "requestBody" in operation:
        refusals["400"] = _WHAT_IS_WRONG
    if method.upper() in UNSAFE_METHODS:
        refusals["403"] = "The request did not come from our page, or the plan does not include this."
        refusals["415"] = "The body is not JSON."
    for status, description in refusals.items():
        responses.setdefault(status, {"description": description})
    if "304" in responses:
        responses["304"] = {"description": _NOT_MODIFIED}
        etag = {"description": "Send it back as `If-None-Match`.", "schema": {"type": "string"}}
        responses["200"] = responses["200"] | {"headers": {"ETag": etag}}
    for status, response in responses.items():
        if int(status) >= 400:
            if status == "400":
                response["description"] = _WHAT_IS_WRONG
            response["content"] = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return dict(sorted(responses.items()))
