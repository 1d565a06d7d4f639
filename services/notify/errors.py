"""What notify refuses, in words for people and codes for programs."""

from services.notify.constants import CHANNEL_NAMES, CHANNEL_WAYS
from shared.web.errors import AppError, FieldError


def invalid(field: str, message: str) -> AppError:
    """A request whose field ``field`` is not right."""
    return AppError(400, "invalid_request", message, errors=[FieldError(field=field, message=message)])


def account_being_prepared() -> AppError:
    """The person's account or plan has not reached this service yet."""
    return AppError(
        409,
        "account_being_prepared",
        "Your account is being prepared. Please try again in a few seconds.",
        headers={"Retry-After": "2"},
    )


def alert_limit_reached(most: int) -> AppError:
    """The person's plan has no room for another alert."""
    alerts = "alert" if most == 1 else "alerts"
    return AppError(
        403,
        "alert_limit_reached",
        f"Your plan includes {most} {alerts}. Delete one, or choose a larger plan.",
    )


def channel_not_in_plan(channel: str) -> AppError:
    """The person's plan does not include the channel."""
    return AppError(
        403,
        "channel_not_in_plan",
        f"Your plan does not include alerts {CHANNEL_WAYS[channel]}.",
        errors=[FieldError(field="channels", message=f"{CHANNEL_NAMES[channel]}: not in your plan")],
    )


def channel_not_set_up(channel: str) -> AppError:
    """The channel needs an address that the person has not given."""
    return AppError(
        409,
        "channel_not_set_up",
        f"Alerts {CHANNEL_WAYS[channel]} need an address to be sent to, and there is none yet.",
        errors=[FieldError(field="channels", message=f"{CHANNEL_NAMES[channel]}: not set up")],
    )


def mail_stopped() -> AppError:
    """Whoever has the person's mailbox wants no alert mails in it."""
    return AppError(
        409,
        "mail_stopped",
        "Alert mails to your address were stopped. The link in the welcome mail allows them again.",
        errors=[FieldError(field="channels", message="Mail: stopped from the mailbox")],
    )


def alert_not_found() -> AppError:
    """There is no such alert, or it is another person's: both look the same."""
    return AppError(404, "alert_not_found", "There is no such alert.")


def unsubscribe_link_invalid() -> AppError:
    """A link to unsubscribe that we did not make."""
    return AppError(
        400, "unsubscribe_link_invalid", "This link is not complete. Please open it from the mail again."
    )


def mail_not_found() -> AppError:
    """There is no such mail in the folder."""
    return AppError(404, "mail_not_found", "There is no such mail.")
