"""JSON by orjson: fast, with times in UTC and pydantic models as they are."""

from typing import Any

import orjson
from flask.json.provider import JSONProvider
from pydantic import BaseModel


class OrjsonProvider(JSONProvider):
    """Flask's JSON door. Pydantic models are written as their JSON form; NaN becomes null."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:  # noqa: ARG002 - Flask's shape
        """``obj`` as JSON text. Raises TypeError for what has no JSON form."""
        return dump(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:  # noqa: ARG002 - Flask's shape
        """The value of the text. Raises ValueError (orjson.JSONDecodeError) when it is no JSON."""
        return orjson.loads(s)


def dump(obj: Any) -> bytes:
    """``obj`` as JSON bytes, times in UTC with a Z."""
    return orjson.dumps(obj, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def _plain(obj: Any) -> Any:
    if isinstance(obj, BaseModel):
        return obj.model_dump(mode="json", by_alias=True)
    # lazy_gettext and the like would be silently wrong; only what says it is text is text.
    if hasattr(obj, "__html__"):
        return str(obj)
    raise TypeError(f"{type(obj).__name__} has no JSON form")
