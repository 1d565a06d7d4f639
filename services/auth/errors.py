"""What auth refuses, with the words people read."""

from collections.abc import Mapping

from shared.web.errors import AppError, FieldError


class Busy(AppError):
    """All turns at the password hasher are taken."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "busy",
            "Very many people are logging in right now. Please try again in a moment.",
            headers={"Retry-After": "5"},
        )


class UnknownField(AppError):
    """A form carried a field that it doesn't have: a client at fault, or somebody trying ``role=admin``."""

    def __init__(self) -> None:
        super().__init__(400, "unknown_field", "The form carried a field that it doesn't have.")


class FieldsRefused(AppError):
    """Fields of a form aren't acceptable: the message of each, which the page shows beside it."""

    def __init__(self, code: str, faults: Mapping[str, str]) -> None:
        errors = [FieldError(field=field, message=message) for field, message in faults.items()]
        super().__init__(422, code, "Something in this form is not acceptable.", errors=errors)


class NameTaken(FieldsRefused):
    """Somebody has the user name already. This may be told: names are public, addresses aren't."""

    def __init__(self) -> None:
        super().__init__("user_name_taken", {"user_name": "This user name is taken."})


class WrongCredentials(AppError):
    """The one answer to an unknown person and to a wrong password."""

    def __init__(self) -> None:
        super().__init__(422, "wrong_credentials", "The name or the password is wrong.")


class WrongPassword(FieldsRefused):
    """The password that was asked again isn't the account's."""

    def __init__(self) -> None:
        super().__init__("wrong_password", {"password": "The password is wrong."})
