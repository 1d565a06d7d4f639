"""User names and mail addresses: what is allowed, how it is stored, and the key that makes it unique."""

import unicodedata
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from services.auth.constants import EMAIL_MAX, USER_NAME_MAX, USER_NAME_MIN

_PUNCTUATION = frozenset("._-")
_INVISIBLE_LETTERS = frozenset("\u115f\u1160")
"""Hangul fillers: letters to Unicode, nothing to the eye. The other two become these in NFKC."""


@dataclass(frozen=True)
class Identifier:
    """``text`` is what the person sees, ``key`` what must be unique."""

    text: str
    key: str


def user_name(raw: str) -> Identifier | None:
    """The user name in NFKC, or None when it isn't one.

    3 to 30 letters and digits of any script, dot, underscore and hyphen, beginning with a letter or a
    digit. Nothing invisible, no direction overrides, no ``@``: a name is never mistaken for an address.
    """
    if len(raw) > USER_NAME_MAX * 4:  # decomposed letters are longer before NFKC than after it
        return None
    text = unicodedata.normalize("NFKC", raw.strip())
    if not USER_NAME_MIN <= len(text) <= USER_NAME_MAX:
        return None
    if not all(_is_letter_or_digit(c) or c in _PUNCTUATION for c in text) or text[0] in _PUNCTUATION:
        return None
    return Identifier(text, unicodedata.normalize("NFKC", text.casefold()))


def email(raw: str) -> Identifier | None:
    """The mail address with its domain in ASCII, or None when no mail could be sent there.

    Addresses with a local part beyond ASCII are refused: Amazon SES can't deliver to them. The domain
    isn't looked up.
    """
    if len(raw) > EMAIL_MAX:
        return None
    try:
        address = validate_email(raw.strip(), check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        return None
    if address.ascii_email is None or len(address.ascii_email) > EMAIL_MAX:
        return None
    return Identifier(address.ascii_email, address.ascii_email.casefold())


def _is_letter_or_digit(character: str) -> bool:
    category = unicodedata.category(character)
    return (category[0] == "L" or category == "Nd") and character not in _INVISIBLE_LETTERS
