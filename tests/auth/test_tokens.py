"""Session tokens and the signed identity."""

import json
from datetime import UTC, datetime

import pytest

from services.auth.tokens import Holder, IdentitySigner, InvalidKey, digest, make_identity_key, new_token
from shared.web.identity import InvalidIdentity, Verifier

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADA = Holder(user_id="u-1", session_id="s-1", user_name="Ada", role="user", plan="free")


def test_an_identity_tells_every_service_who_it_is_for_a_minute() -> None:
    private, public = make_identity_key()
    token = IdentitySigner(private).sign(ADA, NOW)
    identity = Verifier(public).verify(token, now=NOW.timestamp() + 59)
    assert (identity.user_id, identity.session_id, identity.user_name) == ("u-1", "s-1", "Ada")
    assert (identity.role, identity.plan) == ("user", "free")
    with pytest.raises(InvalidIdentity):
        Verifier(public).verify(token, now=NOW.timestamp() + 60)


def test_an_identity_of_another_key_is_refused() -> None:
    token = IdentitySigner(make_identity_key()[0]).sign(ADA, NOW)
    with pytest.raises(InvalidIdentity):
        Verifier(make_identity_key()[1]).verify(token, now=NOW.timestamp())


def test_the_public_keys_hold_nothing_private() -> None:
    private, public = make_identity_key()
    assert IdentitySigner(private).public_keys() == json.loads(public)
    assert "d" in json.loads(private)
    assert all("d" not in key for key in json.loads(public)["keys"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        '{"kty":"oct","k":"c2VjcmV0","kid":"1"}',
        '{"kty":"OKP","crv":"X25519","x":"24t0AJB-8z98AtgWtxOFKZdKbvmKCH7wFsI21c4eoQQ","kid":"1"}',
        json.dumps(json.loads(make_identity_key()[1])["keys"][0]),
        json.dumps({k: v for k, v in json.loads(make_identity_key()[0]).items() if k != "kid"}),
    ],
)
def test_what_is_no_private_ed25519_key_with_an_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidKey):
        IdentitySigner(text)


def test_tokens_are_long_and_differ_and_only_their_digest_is_kept() -> None:
    first, second = new_token(), new_token()
    assert first != second
    assert len(first) >= 43
    assert len(digest(first)) == 32
    assert digest("caf\udce9") != digest(first)
