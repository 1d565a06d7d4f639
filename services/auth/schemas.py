"""What the forms of auth carry."""

from typing import Any

from flask import request
from flask_wtf import FlaskForm
from wtforms import EmailField, HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired

from services.auth.constants import EMAIL_MAX, PASSWORD_MAX, USER_NAME_MAX, USER_NAME_MIN
from services.auth.errors import UnknownField

_NEEDED = "Please fill this in."


class ClosedForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """A form that refuses fields it doesn't have, and fields that come twice. Raises UnknownField."""

    def validate_on_submit(self, extra_validators: Any = None) -> bool:
        """Whether this is a submission and each field is as it should be."""
        if self.is_submitted():
            known = set(self._fields)
            if (
                any(name not in known or len(values) > 1 for name, values in request.form.lists())
                or request.files
            ):
                raise UnknownField
        return bool(super().validate_on_submit(extra_validators))


class RegistrationForm(ClosedForm):
    """Open an account."""

    user_name = StringField(
        "User name",
        validators=[InputRequired(_NEEDED)],
        render_kw={
            "autocomplete": "username",
            "autocapitalize": "none",
            "spellcheck": "false",
            "minlength": USER_NAME_MIN,
            "maxlength": USER_NAME_MAX,
        },
    )
    email = EmailField(
        "Email",
        validators=[InputRequired(_NEEDED)],
        render_kw={"autocomplete": "email", "maxlength": EMAIL_MAX},
    )
    password = PasswordField(
        "Password",
        validators=[InputRequired(_NEEDED)],
        render_kw={"autocomplete": "new-password", "maxlength": PASSWORD_MAX},
    )
    next = HiddenField()


class LoginForm(ClosedForm):
    """Log in."""

    login = StringField(
        "User name or email",
        validators=[InputRequired(_NEEDED)],
        render_kw={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"},
    )
    password = PasswordField(
        "Password", validators=[InputRequired(_NEEDED)], render_kw={"autocomplete": "current-password"}
    )
    next = HiddenField()


class DeletionForm(ClosedForm):
    """Delete one's account."""

    password = PasswordField(
        "Your password", validators=[InputRequired(_NEEDED)], render_kw={"autocomplete": "current-password"}
    )
