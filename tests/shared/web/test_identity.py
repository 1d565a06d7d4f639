"""Only what auth signed for us, and lately, is an identity."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc.jwk import ECKey, OctKey, OKPKey

from shared.web.identity import InvalidIdentity, Verifier
from tests.shared.web import person
from tests.shared.web.conftest import MakeApp, browser


def _raw(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _hs256_with_the_public_key() -> str:
    public = person.KEY.as_dict(private=False)
    secret = base64.urlsafe_b64decode(str(public["x"]) + "=")
    unsigned = _raw({"alg": "HS256", "kid": "key-1"}, person.claims()).rpartition(".")[0]
    mac = hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _payload_exchanged() -> str:
    header, _, signature = person.token().split(".")
    payload = base64.urlsafe_b64encode(json.dumps(person.claims(role="admin")).encode()).rstrip(b"=").decode()
    return f"{header}.{payload}.{signature}"


NOW = int(time.time())
STRANGER = OKPKey.generate_key("Ed25519", {"kid": "key-1"})
ATTACKS = {
    "alg none": _raw({"alg": "none", "kid": "key-1"}, person.claims()),
    "alg None": _raw({"alg": "None", "kid": "key-1"}, person.claims()),
    "no alg": _raw({"kid": "key-1"}, person.claims(), b"x" * 64),
    "alg is a list": _raw({"alg": ["Ed25519"], "kid": "key-1"}, person.claims(), b"x" * 64),
    "HS256 with the public key": _hs256_with_the_public_key(),
    "a stranger's key": person.token(key=STRANGER),
    "another payload": _payload_exchanged(),
    "signature cut": person.token()[:-4],
    "no signature": person.token().rpartition(".")[0] + ".",
    "kid unknown": person.token(header={"kid": "key-2"}),
    "kid a path": person.token(header={"kid": "../../../../dev/null"}),
    "kid SQL": person.token(header={"kid": "' OR 1=1 --"}),
    "kid a number": _raw({"alg": "Ed25519", "kid": 1}, person.claims(), b"x" * 64),
    "no kid": person.token(header={"kid": ""}),
    "jku of a stranger": person.token(key=STRANGER, header={"jku": "https://evil.example/jwks.json"}),
    "jwk of a stranger": person.token(key=STRANGER, header={"jwk": STRANGER.as_dict(private=False)}),
    "crit": _raw({"alg": "Ed25519", "kid": "key-1", "crit": ["x"], "x": 1}, person.claims(), b"x" * 64),
    "wrong aud": person.token(aud="somebody-else"),
    "aud a list": person.token(aud=["boritrader", "somebody-else"]),
    "no aud": person.token(aud=None),
    "wrong iss": person.token(iss="evil"),
    "no iss": person.token(iss=None),
    "expired": person.token(iat=NOW - 61, exp=NOW - 1),
    "expires now": person.token(iat=NOW - 60, exp=NOW),
    "no exp": person.token(exp=None),
    "exp text": person.token(exp="9999999999"),
    "exp true": person.token(exp=True),
    "exp not a number": person.token(exp=float("nan")),
    "issued in an hour": person.token(iat=NOW + 3600, exp=NOW + 3660),
    "no sub": person.token(sub=None),
    "sub empty": person.token(sub=""),
    "sub a list": person.token(sub=["user-1"]),
    "role unknown": person.token(role="root"),
    "no session": person.token(sid=None),
    "empty": "",
    "words": "not a token",
    "two dots": "..",
    "JWE": "a.b.c.d.e",
    "two tokens": f"{person.token()},{person.token()}",
    "megabyte": person.token(name="x" * 190) + "A" * 8000,
    "latin": "é.é.é",
    "payload no object": _raw({"alg": "Ed25519", "kid": "key-1"}, []),  # type: ignore[arg-type]
    "deep": _raw({"alg": "Ed25519", "kid": "key-1", "x": json.loads("[" * 400 + "]" * 400)}, {}),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("path", ["/api/v1/private", "/private", "/form", "/nowhere"])
def test_a_bad_identity_is_401_everywhere(client: FlaskClient, attack: str, path: str) -> None:
    answer = client.get(path, headers={"X-Identity": ATTACKS[attack]})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_good_identity_is_the_person(client: FlaskClient) -> None:
    answer = client.get("/api/v1/private", headers=person.headers(role="admin", plan="pro", name="Änna"))
    assert answer.json == {"user_id": "user-1", "role": "admin", "plan": "pro", "name": "Änna"}


def test_the_older_name_of_the_algorithm_is_the_same() -> None:
    assert Verifier(person.PUBLIC_KEYS).verify(_signed_as_eddsa()).user_id == "user-1"


def _signed_as_eddsa() -> str:
    unsigned = _raw({"alg": "EdDSA", "kid": "key-1"}, person.claims()).rpartition(".")[0]
    private = person.KEY.private_key
    assert private is not None
    signature = private.sign(unsigned.encode())  # type: ignore[union-attr]
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_an_identity_is_good_until_its_last_second() -> None:
    verifier = Verifier(person.PUBLIC_KEYS)
    token = person.token(iat=1_000, exp=1_060)
    assert verifier.verify(token, now=1_059.9).session_id == "session-1"
    with pytest.raises(InvalidIdentity, match="expired"):
        verifier.verify(token, now=1_060)


def test_clocks_of_two_machines_may_differ_a_little() -> None:
    verifier = Verifier(person.PUBLIC_KEYS)
    assert verifier.verify(person.token(iat=1_005, exp=1_065), now=1_000).user_id == "user-1"
    with pytest.raises(InvalidIdentity, match="future"):
        verifier.verify(person.token(iat=1_006, exp=1_066), now=1_000)


def test_keys_can_be_exchanged_one_by_one() -> None:
    second = OKPKey.generate_key("Ed25519", {"kid": "key-2"})
    both = json.dumps({"keys": [person.KEY.as_dict(private=False), second.as_dict(private=False)]})
    verifier = Verifier(both)
    assert verifier.verify(person.token()).user_id == "user-1"
    assert verifier.verify(person.token(key=second, header={"kid": "key-2"})).user_id == "user-1"
    with pytest.raises(InvalidIdentity):
        verifier.verify(person.token(key=second))  # the second key under the first one's name


@pytest.mark.parametrize(
    "key",
    [
        OctKey.generate_key(256, {"kid": "k"}).as_dict(),
        ECKey.generate_key("P-256", {"kid": "k"}).as_dict(private=False),
        OKPKey.generate_key("X25519", {"kid": "k"}).as_dict(private=False),
        OKPKey.generate_key("Ed25519", {"kid": "k"}).as_dict(private=True),
        OKPKey.generate_key("Ed25519").as_dict(private=False),
    ],
    ids=["symmetric", "P-256", "X25519", "private", "without kid"],
)
def test_only_public_ed25519_keys_with_a_name_are_taken(key: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="nothing but public Ed25519 keys"):
        Verifier(json.dumps({"keys": [key]}))


def test_an_anonymous_page_leads_to_the_login_and_back(client: FlaskClient) -> None:
    answer = client.get("/private?ticker=BTCUSD&x=1%202")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/login?next=%2Fprivate%3Fticker%3DBTCUSD%26x%3D1%25202"


def test_an_anonymous_form_leads_to_the_login_alone(make_app: MakeApp) -> None:
    app = make_app()
    app.config["WTF_CSRF_METHODS"] = set()
    answer = browser(app).post("/private")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")


def test_an_anonymous_call_of_the_api_is_401(client: FlaskClient) -> None:
    answer = client.get("/api/v1/private")
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["code"] == "unauthorized"


def test_asking_for_the_person_without_one_is_401_not_a_crash(client: FlaskClient) -> None:
    assert client.get("/whoever").status_code == 401


@pytest.mark.parametrize("cookie", ["remember_token=user-1|deadbeef", "session=abc"])
def test_flask_logins_own_cookies_mean_nothing(client: FlaskClient, cookie: str) -> None:
    assert client.get("/api/v1/private", headers={"Cookie": cookie}).status_code == 401
