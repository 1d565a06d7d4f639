"""What the form macros ask of Python."""

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Flask
from wtforms.form import BaseForm
from wtforms.widgets import HiddenInput, SubmitInput


def init_app(app: Flask) -> None:
    """Give templates what Jinja can't say itself."""
    app.jinja_env.globals["_described"] = described
    app.jinja_env.globals["_first_fault"] = first_fault


def first_fault(form: BaseForm) -> str | None:
    """The id of the field that a refused form puts the cursor into; None when it was not refused.

    That is the first field with a fault, or the first field at all when only the form as a whole is at fault.
    """
    fields = [field for field in form if not isinstance(field.widget, HiddenInput | SubmitInput)]
    for field in fields:
        if field.errors:
            return str(field.id)
    return str(fields[0].id) if form.form_errors and fields else None


def described(
    field_id: str, hint: str | None, errors: Iterable[str] | None, attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """An input's attributes with those that tie hint and errors to it for a screen reader.

    Underscores in names become dashes (``aria_label``); an attribute of value False or None is left out.
    """
    faults = list(errors or ())
    ids = [f"{field_id}-hint"] if hint else []
    ids += [f"{field_id}-error"] if faults else []
    result: dict[str, Any] = {
        name.replace("_", "-"): "" if value is True else value
        for name, value in attributes.items()
        if value is not None and value is not False
    }
    if ids:
        result["aria-describedby"] = " ".join(ids)
    if faults:
        result["aria-invalid"] = "true"
    return result
