"""What auth refuses, with the words people read."""

from shared.web.errors import AppError


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


class FieldRefused(AppError):
    """A field of a form isn't acceptable; the page shows the message beside ``field``."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(422, code, message)
        self.field = field


class NameTaken(FieldRefused):
    """Somebody has the user name already. This may be told: names are public, addresses aren't."""

    def __init__(self) -> None:
        super().__init__("user_name", "user_name_taken", "This user name is taken.")


class WrongCredentials(AppError):
    """The one answer to an unknown person and to a wrong password."""

    def __init__(self) -> None:
        super().__init__(422, "wrong_credentials", "The name or the password is wrong.")


class WrongPassword(FieldRefused):
    """The password that was asked again isn't the account's."""

    def __init__(self) -> None:
        super().__init__("password", "wrong_password", "The password is wrong.")
