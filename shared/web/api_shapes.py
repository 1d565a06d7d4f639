"""Schemas of an OpenAPI document in people's words, and as examples."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Schema = Mapping[str, Any]
_WORDS = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}
_EXAMPLES = {"string": "text", "integer": 1, "number": 1.5, "boolean": False, "null": None, "object": {}}
_FORMAT_WORDS = {"date-time": "time (ISO 8601, UTC)", "uuid": "UUID"}
_FORMAT_EXAMPLES = {"date-time": "2026-11-20T12:00:00Z", "uuid": "3f0c6d6e-9f57-4f0e-9d0a-6a5c1f0f2b11"}


class Field(NamedTuple):
    """A value of an answer: where it stands (``items[].close``), what it is, and what it means."""

    name: str
    words: str
    description: str


def words_of(document: Schema, schema: Schema) -> str:
    """What a value may be, such as ``one of BUY, SELL`` or ``integer, 1 to 500``."""
    schema = _resolved(document, schema)
    kind = schema.get("type", "anything")
    words: str = _FORMAT_WORDS.get(schema.get("format", ""), _WORDS.get(kind, kind))
    if "anyOf" in schema:
        words = " or ".join(words_of(document, each) for each in schema["anyOf"])
    elif "const" in schema:
        words = str(schema["const"])
    elif "enum" in schema:
        words = f"one of {', '.join(map(str, schema['enum']))}"
    elif kind == "array":
        words = f"list of {words_of(document, schema['items'])}"
    elif "minimum" in schema and "maximum" in schema:
        words += f", {schema['minimum']} to {schema['maximum']}"
    return words


def fields_of(document: Schema, schema: Schema) -> list[Field]:
    """Every value of an object and of what lies in it, in their order."""
    return list(_fields(document, schema, ""))


def example_of(document: Schema, schema: Schema) -> Any:
    """A value that the schema describes: its own example where it has one."""
    whole = _resolved(document, schema) | dict(schema)
    example: Any = _FORMAT_EXAMPLES.get(whole.get("format", ""), _EXAMPLES.get(whole.get("type", "null")))
    if whole.get("examples"):
        example = whole["examples"][0]
    elif "anyOf" in whole:
        example = example_of(document, whole["anyOf"][0])
    elif "const" in whole:
        example = whole["const"]
    elif "enum" in whole:
        example = whole["enum"][0]
    elif whole.get("type") == "array":
        example = [example_of(document, whole["items"])]
    elif "properties" in whole:
        example = {name: example_of(document, each) for name, each in whole["properties"].items()}
    return example


def _fields(document: Schema, schema: Schema, place: str) -> Iterator[Field]:
    schema = _resolved(document, schema)
    if schema.get("type") == "array":
        yield from _fields(document, schema["items"], f"{place}[]")
        return
    for name, each in schema.get("properties", {}).items():
        here = f"{place}.{name}" if place else name
        inner = _resolved(document, each)
        description = each.get("description") or (inner.get("description") if inner is not each else None)
        yield Field(here, words_of(document, each), description or "")
        yield from _fields(document, inner, here)


def _resolved(document: Schema, schema: Schema) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return dict(schema)
