"""User names and addresses."""

import pytest

from services.auth import identifiers


@pytest.mark.parametrize(
    "raw", ["Ada", "ada.lovelace", "a_b-c", "Ärger", "大文字三", "x" * 30, "2fast", "  Ada  "]
)
def test_letters_digits_and_inner_punctuation_make_a_user_name(raw: str) -> None:
    name = identifiers.user_name(raw)
    assert name is not None
    assert name.text == raw.strip()


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "ab",
        "x" * 31,
        ".ada",
        "-ada",
        "a da",
        "ada@home",
        "ada\r\nBcc: x",
        "<script>",
        "{{7*7}}",
        "ada\x1b[31m",
        "ada\u202eadmin",
        "ada\x00",
        "ad\u200ba",
        "ada\u3164",
        "\uffa0\uffa0\uffa0",
        "x" * 10_000_000,
    ],
)
def test_whatever_could_mislead_or_inject_is_no_user_name(raw: str) -> None:
    assert identifiers.user_name(raw) is None


def test_names_that_look_alike_by_width_case_or_composition_share_a_key() -> None:
    keys = {
        name.key for raw in ("Zoë", "ZOË", "Zoe\u0308", "\uff3aoë") if (name := identifiers.user_name(raw))
    }
    assert keys == {"zoë"}


def test_an_address_is_normalised_and_its_key_ignores_case() -> None:
    address = identifiers.email(" Ada.L@Example.ORG ")
    assert address == identifiers.Identifier("Ada.L@example.org", "ada.l@example.org")


def test_a_domain_beyond_ascii_is_kept_in_the_form_that_mail_servers_take() -> None:
    address = identifiers.email("ada@bücher.de")
    assert address is not None
    assert address.text == "ada@xn--bcher-kva.de"


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "ada",
        "ada@",
        "@x.de",
        "ada@localhost",
        "ädä@x.de",
        "a\x00@x.de",
        "a@x.de\r\nBcc: b@x.de",
        "a" * 250 + "@x.de",
    ],
)
def test_what_no_mail_can_be_sent_to_is_no_address(raw: str) -> None:
    assert identifiers.email(raw) is None
