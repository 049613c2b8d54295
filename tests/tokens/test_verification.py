"""One row for every way in which a token is not valid."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from jwt_deps.errors import (
    AuthError,
    ClaimError,
    ExpiredTokenError,
    InvalidTokenError,
    MalformedTokenError,
    Reason,
    SignatureError,
    UnknownKeyError,
)
from jwt_deps.settings import JWTSettings
from jwt_deps.tokens import unverified_expiry
from tests.checking import parsed_by
from tests.minting import (
    ALGORITHMS,
    NOW,
    OTHER_SECRET,
    SECRET,
    b64,
    claims,
    clock,
    compact,
    mint,
    mint_raw,
    pair,
    sign,
    signing_key,
    verification_text,
)
from tests.saying import everything_said
from tests.verifying import verify

SETTINGS = JWTSettings(secret_key=SECRET)
STRICT = JWTSettings(secret_key=SECRET, issuer="https://issuer", audience="api")

HEADER = b'{"alg":"HS256"}'
PAYLOAD = json.dumps(claims()).encode()

# RFC 6750 §3: what an `error_description` is made of.
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]+")


def _verify(token: str, settings: JWTSettings = SETTINGS) -> dict[str, Any]:
    return verify(token, settings, clock=clock)


def _headed(**header: object) -> str:
    return mint(claims(), header=header)


def _raw(header: bytes = HEADER, payload: bytes = PAYLOAD) -> str:
    return mint_raw(header, payload)


def _of_issuer(secret: str = SECRET, **members: Any) -> str:
    return mint(claims(iss="https://issuer", **members), secret)


def _claiming(json_value: str, name: str = "exp") -> str:
    """Return a token with a claim that is this very piece of JSON."""
    others = claims()
    others.pop(name, None)
    return _raw(payload=json.dumps(others).encode()[:-1] + f',"{name}":{json_value}}}'.encode())


class TestAccepted:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_algorithms(self, algorithm: str) -> None:
        """A token of every algorithm is verified, and its claims come out."""
        settings = JWTSettings(secret_key=verification_text(algorithm), algorithm=algorithm)
        token = mint(claims(), signing_key(algorithm), algorithm)

        verified = _verify(token, settings)

        assert verified == claims()

    @pytest.mark.parametrize(
        "header",
        [
            pytest.param(b'{"alg":"HS256"}', id="alg-alone"),
            pytest.param(b' {\r\n"alg" : "HS256"\t}\n', id="white-space"),
            pytest.param(rb'{"\u0061lg":"HS\u0032\u0035\u0036"}', id="escapes"),
            *(
                pytest.param(b'{"alg":"HS256","typ":"%s"}' % name, id=f"typ-{name.decode()}")
                for name in (
                    b"JWT",
                    b"jwt",
                    b"Jwt",
                    b"at+jwt",
                    b"AT+JWT",
                    b"application/jwt",
                    b"application/at+jwt",
                    b"application/AT+JWT",
                    b"JOSE",
                    b"jose",
                    b"application/jose",
                )
            ),
            pytest.param(b'{"alg":"HS256","kid":""}', id="kid-empty"),
            pytest.param(b'{"alg":"HS256","kid":"%s"}' % (b"k" * 256), id="kid-of-256"),
            pytest.param(b'{"alg":"HS256","cty":"JWT"}', id="cty"),
            pytest.param(b'{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}', id="jwk-ignored"),
            pytest.param(b'{"alg":"HS256","jku":"https://evil.example"}', id="jku-ignored"),
            pytest.param(b'{"alg":"HS256","x5u":"https://evil.example"}', id="x5u-ignored"),
            pytest.param(b'{"alg":"HS256","x5c":["MII"],"x5t":"AA"}', id="x5c-ignored"),
            pytest.param(b'{"alg":"HS256","nonce":1,"other":[{}]}', id="unknown-members"),
        ],
    )
    def test_headers(self, header: bytes) -> None:
        """A header may say more than `alg`; what is not asked for is passed over."""
        verified = _verify(_raw(header=header))

        assert verified["sub"] == "alice"

    @pytest.mark.parametrize(
        "members",
        [
            pytest.param({"exp": NOW + 1}, id="exp-alone"),
            pytest.param({"exp": NOW + 0.5}, id="exp-fraction"),
            pytest.param({"exp": 1e15}, id="exp-far-away"),
            pytest.param({"exp": 10**300}, id="exp-as-large-as-a-float-holds"),
            pytest.param(claims(nbf=NOW, iat=NOW), id="nbf-and-iat-now"),
            pytest.param(claims(nbf=0, iat=0), id="nbf-and-iat-long-ago"),
            pytest.param(claims(nbf=-5.5), id="nbf-before-the-epoch"),
            pytest.param(claims(sub=""), id="sub-empty"),
            pytest.param(claims(iss={"not": "asked"}), id="iss-not-asked-for"),
            pytest.param(claims(at_hash="AAAA", nonce="x"), id="id-token-members"),
            pytest.param(claims(nested={"a": [{"b": None}]}), id="nested"),
            pytest.param(claims(name="ä€😀"), id="unicode"),
        ],
    )
    def test_claims(self, members: Mapping[str, object]) -> None:
        """Claims come out as they went in."""
        verified = _verify(mint(members))

        assert verified == members

    @pytest.mark.parametrize(
        ("settings", "members"),
        [
            pytest.param({"issuer": "a"}, {"iss": "a"}, id="issuer"),
            pytest.param({"issuer": ["a", "b"]}, {"iss": "b"}, id="one-of-two-issuers"),
            pytest.param({"audience": "a"}, {"aud": "a"}, id="audience"),
            pytest.param({"audience": "a"}, {"aud": ["a"]}, id="audience-list"),
            pytest.param({"audience": "a"}, {"aud": ["x", "a"]}, id="audience-among-others"),
            pytest.param({"audience": ["a", "b"]}, {"aud": "b"}, id="one-of-two-audiences"),
            pytest.param({"audience": ["a", "b"]}, {"aud": ["x", "b"]}, id="any-of-any"),
        ],
    )
    def test_issuer_and_audience(self, settings: dict[str, Any], members: dict[str, Any]) -> None:
        """A token is taken where its issuer is accepted, and one of its audiences is ours."""
        configured = JWTSettings(secret_key=SECRET, **settings)

        assert _verify(mint(claims(**members)), configured) == claims(**members)

    def test_without_exp_where_none_is_required(self) -> None:
        """`require_exp=False` lets a token do without `exp`."""
        settings = JWTSettings(secret_key=SECRET, require_exp=False)

        assert _verify(mint({"sub": "alice"}), settings) == {"sub": "alice"}

    def test_at_the_size_limit(self) -> None:
        """A token of exactly `max_token_size` is looked at."""
        token = mint(claims())
        settings = JWTSettings(secret_key=SECRET, max_token_size=len(token))

        assert _verify(token, settings) == claims()

    def test_the_clock_is_the_systems(self) -> None:
        """Without a clock of its own, the check goes by the system's."""
        verified = verify(mint(claims(now=time.time())), SETTINGS)

        assert verified["sub"] == "alice"

    def test_each_call_has_its_own_claims(self) -> None:
        """Two verifications of one token share nothing that can be changed."""
        token = mint(claims(roles=["reader"]))
        _verify(token)["roles"].append("admin")

        assert _verify(token)["roles"] == ["reader"]


def _refusals() -> list[Any]:
    """Return rows of a reason, the error, the token; with an `id` that says what is wrong."""
    good = mint(claims())
    header, payload, signature = good.split(".")
    malformed: list[tuple[str, Reason, str]] = [
        # size
        ("one-byte-too-long", Reason.TOO_LARGE, "a" * 16385),
        ("much-too-long", Reason.TOO_LARGE, "." * 1_000_000),
        # three parts, base64url alphabet
        ("empty", Reason.NOT_COMPACT, ""),
        ("dots-only", Reason.NOT_COMPACT, ".."),
        ("one-part", Reason.NOT_COMPACT, header),
        ("two-parts", Reason.NOT_COMPACT, f"{header}.{payload}"),
        ("four-parts", Reason.NOT_COMPACT, f"{good}.{signature}"),
        ("six-parts", Reason.NOT_COMPACT, f"{good}.{good}"),
        ("no-header", Reason.NOT_COMPACT, f".{payload}.{signature}"),
        ("no-payload", Reason.NOT_COMPACT, f"{header}..{signature}"),
        ("no-signature", Reason.NOT_COMPACT, f"{header}.{payload}."),
        ("space-ahead", Reason.NOT_COMPACT, f" {good}"),
        ("line-break-behind", Reason.NOT_COMPACT, f"{good}\n"),
        ("padding", Reason.NOT_COMPACT, f"{good}="),
        ("standard-alphabet", Reason.NOT_COMPACT, f"{header}.{payload}.+/+/"),
        ("not-ascii", Reason.NOT_COMPACT, f"{header}.{payload}.ä"),
        ("lone-surrogate", Reason.NOT_COMPACT, f"{header}.{payload}.\ud800"),
        ("full-width-dots", Reason.NOT_COMPACT, good.replace(".", "．")),  # noqa: RUF001
        ("json-serialization", Reason.NOT_COMPACT, json.dumps({"payload": payload})),
        ("five-parts", Reason.ENCRYPTED, "a.b.c.d.e"),
        ("five-parts-direct-key", Reason.ENCRYPTED, f"{header}..AA.AA.AA"),
        ("impossible-length", Reason.ENCODING, f"{header}.{payload}.AAAAA"),
        ("spare-bits-in-header", Reason.ENCODING, f"{b64(b'{}')[:-1]}1.{payload}.{signature}"),
        ("spare-bits-in-payload", Reason.ENCODING, f"{header}.AB.{signature}"),
        ("spare-bits-in-signature", Reason.ENCODING, f"{header}.{payload}.AAB"),
        # header
        *(
            (f"header-{label}", Reason.HEADER, _raw(header=data))
            for label, data in (
                ("array", b"[]"),
                ("string", b'"HS256"'),
                ("null", b"null"),
                ("cut-off", b'{"alg":"HS256"'),
                ("not-utf-8", b'{"alg":"HS256","x":"\xff"}'),
                ("member-twice", b'{"alg":"HS256","alg":"HS256"}'),
                ("alg-twice", b'{"alg":"none","alg":"HS256"}'),
                ("nan", b'{"alg":"HS256","x":NaN}'),
                ("lone-surrogate", rb'{"alg":"HS256","kid":"\ud800"}'),
                ("nested-too-deeply", b'{"alg":"HS256","x":' + b"[" * 40 + b"]" * 40 + b"}"),
            )
        ),
        *(
            (f"alg-{label}", Reason.ALGORITHM, _raw(header=data))
            for label, data in (
                ("absent", b"{}"),
                ("null", b'{"alg":null}'),
                ("object", b'{"alg":{}}'),
                ("list", b'{"alg":["HS256"]}'),
                ("number", b'{"alg":256}'),
                ("empty", b'{"alg":""}'),
                ("none", b'{"alg":"none"}'),
                ("small-letters", b'{"alg":"hs256"}'),
                ("space", b'{"alg":"HS256 "}'),
                ("not-allowed", b'{"alg":"HS512"}'),
                ("another-kind", b'{"alg":"RS256"}'),
                ("under-another-name", b'{"ALG":"HS256"}'),
            )
        ),
        *(
            (f"typ-{label}", Reason.TYPE, _headed(typ=value))
            for label, value in (
                ("dpop", "dpop+jwt"),
                ("logout", "logout+jwt"),
                ("secevent", "secevent+jwt"),
                ("statuslist", "statuslist+jwt"),
                ("id-token", "id+jwt"),
                ("jose-json", "JOSE+JSON"),
                ("empty", ""),
                ("space", "JWT "),
                ("parameters", "application/jwt; v=1"),
                ("another-tree", "text/jwt"),
                ("null", None),
                ("number", 1),
                ("list", ["JWT"]),
            )
        ),
        *(
            (f"crit-{label}", Reason.CRITICAL, _headed(crit=value))
            for label, value in (
                ("extension", ["exp"]),
                ("b64", ["b64"]),
                ("registered", ["alg"]),
                ("empty", []),
                ("null", None),
                ("string", "exp"),
            )
        ),
        *(
            (f"kid-{label}", Reason.KEY_ID, _headed(kid=value))
            for label, value in (
                ("null", None),
                ("number", 1),
                ("object", {}),
                ("list", ["a"]),
                ("true", True),
                ("of-257", "k" * 257),
            )
        ),
        *(
            (f"unencoded-payload-{label}", Reason.CRITICAL, _headed(b64=value))
            for label, value in (("false", False), ("true", True), ("null", None))
        ),
        # payload
        *(
            (f"payload-{label}", Reason.PAYLOAD, _raw(payload=data))
            for label, data in (
                ("array", b"[]"),
                ("text", b"hello"),
                ("number", b"1"),
                ("null", b"null"),
                ("a-token", good.encode()),
                ("cut-off", PAYLOAD[:-1]),
                ("not-utf-8", b'{"sub":"\xff"}'),
                ("utf-16", json.dumps(claims()).encode("utf-16")),
                ("byte-order-mark", b"\xef\xbb\xbf" + PAYLOAD),
                ("member-twice", b'{"exp":9999999999,"sub":"alice","sub":"mallory"}'),
                ("lone-surrogate", rb'{"exp":9999999999,"sub":"\ud800"}'),
                ("nested-too-deeply", b'{"x":' + b"[" * 40 + b"]" * 40 + b"}"),
            )
        ),
        ("exp-infinity", Reason.PAYLOAD, _claiming("Infinity")),
        ("exp-minus-infinity", Reason.PAYLOAD, _claiming("-Infinity")),
        ("exp-nan", Reason.PAYLOAD, _claiming("NaN")),
        ("exp-overflowing", Reason.PAYLOAD, _claiming("1e999")),
        ("exp-endless", Reason.PAYLOAD, _claiming("9" * 5_000)),
    ]
    rows = [
        pytest.param(MalformedTokenError, reason, token, id=f"{reason}-{label}")
        for label, reason, token in malformed
    ]
    rows += [
        pytest.param(SignatureError, Reason.SIGNATURE, token, id=f"signature-{label}")
        for label, token in (
            ("of-another-secret", mint(claims(), OTHER_SECRET)),
            ("zeros", compact(HEADER, PAYLOAD, bytes(32))),
            ("one-byte", compact(HEADER, PAYLOAD, b"\x00")),
            ("cut-off", compact(HEADER, PAYLOAD, sign(b"", SECRET, "HS256")[:31])),
            ("of-another-payload", f"{header}.{b64(PAYLOAD)}.{signature}"),
            ("of-another-header", f"{b64(HEADER)}.{payload}.{signature}"),
        )
    ]
    rows += [
        pytest.param(ClaimError, reason, mint(members), id=f"{reason}-{label}")
        for label, reason, members in (
            ("exp", Reason.CLAIM_MISSING, {"sub": "alice"}),
            ("nothing-claimed", Reason.CLAIM_MISSING, {}),
            ("exp-string", Reason.CLAIM_INVALID, claims(exp=str(NOW + 60))),
            ("exp-null", Reason.CLAIM_INVALID, claims(exp=None)),
            ("exp-list", Reason.CLAIM_INVALID, claims(exp=[NOW + 60])),
            ("exp-object", Reason.CLAIM_INVALID, claims(exp={})),
            ("exp-true", Reason.CLAIM_INVALID, claims(exp=True)),
            ("exp-larger-than-a-float-holds", Reason.CLAIM_INVALID, claims(exp=10**400)),
            ("nbf-string", Reason.CLAIM_INVALID, claims(nbf="0")),
            ("nbf-null", Reason.CLAIM_INVALID, claims(nbf=None)),
            ("iat-string", Reason.CLAIM_INVALID, claims(iat="0")),
            ("iat-false", Reason.CLAIM_INVALID, claims(iat=False)),
            ("nbf", Reason.NOT_YET_VALID, claims(nbf=NOW + 60)),
            ("iat", Reason.NOT_YET_VALID, claims(iat=NOW + 60)),
            ("sub-number", Reason.CLAIM_INVALID, claims(sub=1)),
            ("sub-null", Reason.CLAIM_INVALID, claims(sub=None)),
            ("sub-list", Reason.CLAIM_INVALID, claims(sub=["alice"])),
            ("jti-number", Reason.CLAIM_INVALID, claims(jti=1)),
            ("jti-null", Reason.CLAIM_INVALID, claims(jti=None)),
            ("jti-list", Reason.CLAIM_INVALID, claims(jti=["a"])),
            ("jti-object", Reason.CLAIM_INVALID, claims(jti={})),
            ("jti-true", Reason.CLAIM_INVALID, claims(jti=True)),
            ("cnf-thumbprint", Reason.CONFIRMATION, claims(cnf={"jkt": "AAAA"})),
            ("cnf-certificate", Reason.CONFIRMATION, claims(cnf={"x5t#S256": "AAAA"})),
            ("cnf-empty", Reason.CONFIRMATION, claims(cnf={})),
            ("cnf-null", Reason.CONFIRMATION, claims(cnf=None)),
        )
    ]
    rows.append(
        pytest.param(
            ExpiredTokenError, Reason.EXPIRED, mint(claims(exp=NOW - 60)), id="expired-a-minute-ago"
        )
    )
    return rows


REFUSALS = _refusals()

_ISSUED: dict[str, object] = {"iss": "https://issuer", "aud": "api"}
FOREIGN = [
    pytest.param(reason, name, {**_ISSUED, **members}, removed, id=f"{reason}-{label}")
    for label, reason, name, members, removed in (
        ("iss", Reason.CLAIM_MISSING, "iss", {}, "iss"),
        ("aud", Reason.CLAIM_MISSING, "aud", {}, "aud"),
        ("iss-other", Reason.CLAIM_FOREIGN, "iss", {"iss": "https://evil"}, None),
        ("iss-slash", Reason.CLAIM_FOREIGN, "iss", {"iss": "https://issuer/"}, None),
        ("iss-case", Reason.CLAIM_FOREIGN, "iss", {"iss": "https://ISSUER"}, None),
        ("iss-empty", Reason.CLAIM_FOREIGN, "iss", {"iss": ""}, None),
        ("iss-list", Reason.CLAIM_INVALID, "iss", {"iss": ["https://issuer"]}, None),
        ("iss-null", Reason.CLAIM_INVALID, "iss", {"iss": None}, None),
        ("iss-object", Reason.CLAIM_INVALID, "iss", {"iss": {"https://issuer": 1}}, None),
        ("aud-other", Reason.CLAIM_FOREIGN, "aud", {"aud": "other"}, None),
        ("aud-longer", Reason.CLAIM_FOREIGN, "aud", {"aud": "api2"}, None),
        ("aud-shorter", Reason.CLAIM_FOREIGN, "aud", {"aud": "ap"}, None),
        ("aud-letter", Reason.CLAIM_FOREIGN, "aud", {"aud": "a"}, None),
        ("aud-case", Reason.CLAIM_FOREIGN, "aud", {"aud": "API"}, None),
        ("aud-empty", Reason.CLAIM_FOREIGN, "aud", {"aud": ""}, None),
        ("aud-empty-list", Reason.CLAIM_FOREIGN, "aud", {"aud": []}, None),
        ("aud-list-of-others", Reason.CLAIM_FOREIGN, "aud", {"aud": ["x", "y"]}, None),
        ("aud-null", Reason.CLAIM_INVALID, "aud", {"aud": None}, None),
        ("aud-number", Reason.CLAIM_INVALID, "aud", {"aud": 1}, None),
        ("aud-object", Reason.CLAIM_INVALID, "aud", {"aud": {"api": 1}}, None),
        ("aud-mixed-list", Reason.CLAIM_INVALID, "aud", {"aud": ["api", 1]}, None),
        ("aud-nested-list", Reason.CLAIM_INVALID, "aud", {"aud": [["api"]]}, None),
    )
]


class TestRefused:
    @pytest.mark.parametrize(("error", "reason", "token"), REFUSALS)
    def test_with_a_reason(
        self, error: type[InvalidTokenError], reason: Reason, token: str
    ) -> None:
        """Each step of the check has one reason and one type of error."""
        with pytest.raises(InvalidTokenError) as refused:
            _verify(token)

        assert (type(refused.value), refused.value.reason) == (error, reason)

    @pytest.mark.parametrize(("reason", "name", "members", "removed"), FOREIGN)
    def test_issuer_and_audience(
        self, reason: Reason, name: str, members: dict[str, Any], removed: str | None
    ) -> None:
        """Where issuer and audience are set, the claims must be there and equal, to the letter."""
        stated = {key: value for key, value in claims(**members).items() if key != removed}

        with pytest.raises(ClaimError) as refused:
            _verify(mint(stated), STRICT)

        assert (refused.value.reason, refused.value.claim) == (reason, name)

    @pytest.mark.parametrize("token", [pytest.param(row.values[2], id=row.id) for row in REFUSALS])
    def test_with_safe_words(self, token: str) -> None:
        """What is said holds neither the token nor a value of it, and fits a challenge."""
        with pytest.raises(InvalidTokenError) as refused:
            _verify(token)

        error = refused.value
        assert DESCRIPTION.fullmatch(error.description)
        assert str(error) == (
            "Token has expired"
            if isinstance(error, ExpiredTokenError)
            else f"Invalid token: {error.description}"
        )
        parts = [part for part in token[:16385].split(".") if len(part) > 8]
        assert [
            part for part in (*parts, "alice", "mallory") if part in everything_said(error)
        ] == []

    def test_every_reason_has_a_row(self) -> None:
        """The tables hold every reason for which a token, not a request, is refused."""
        of_the_request = {
            Reason.MISSING,
            Reason.REPEATED_CREDENTIALS,
            Reason.HEADER_FORM,
            Reason.API_KEY,
            Reason.INACTIVE,
            Reason.CROSS_SITE,
            Reason.SCOPE,
            Reason.ROLE,
            Reason.CLAIM,
            Reason.CHECK,
            Reason.ACR,
            Reason.AUTH_TIME,
            Reason.NOT_BOUND,
            Reason.DOWNGRADED,
            Reason.CERTIFICATE,
            Reason.REPLAYS_UNAVAILABLE,
            *(reason for reason in Reason if reason.startswith("proof_")),
            Reason.KEYS_UNAVAILABLE,
            Reason.REVOKED,
            Reason.REVOCATION_UNAVAILABLE,
        }
        by_the_key = {Reason.UNKNOWN_KEY}  # TestKeyOfTheToken

        rows = {row.values[1] for row in REFUSALS} | {row.values[0] for row in FOREIGN}

        assert rows == set(Reason) - of_the_request - by_the_key


class TestOrder:
    """The order is part of the contract: of two faults the earlier step's is named."""

    @pytest.mark.parametrize(
        ("reason", "token"),
        [
            pytest.param(Reason.TOO_LARGE, "ä" * 20_000, id="size-before-form"),
            pytest.param(Reason.NOT_COMPACT, "AAAAA.AB", id="form-before-encoding"),
            pytest.param(Reason.ENCODING, f"{b64(b'[]')}.AB.AA", id="encoding-before-header"),
            pytest.param(Reason.HEADER, f"{b64(b'[]')}.{b64(b'x')}.AA", id="header-before-payload"),
            pytest.param(
                Reason.ALGORITHM,
                _raw(header=b'{"alg":"none","typ":"x","crit":[],"kid":1}'),
                id="alg-before-typ",
            ),
            pytest.param(
                Reason.TYPE,
                _raw(header=b'{"alg":"HS256","typ":"x","crit":[],"kid":1}'),
                id="typ-before-crit",
            ),
            pytest.param(
                Reason.CRITICAL,
                _raw(header=b'{"alg":"HS256","crit":[],"kid":1}'),
                id="crit-before-kid",
            ),
            pytest.param(
                Reason.KEY_ID,
                compact(b'{"alg":"HS256","kid":1}', b"no json", b"x"),
                id="kid-before-payload",
            ),
            pytest.param(
                Reason.PAYLOAD, compact(HEADER, b"no json", b"x"), id="payload-before-signature"
            ),
            pytest.param(
                Reason.CLAIM_MISSING, compact(HEADER, b'{"exp":0}', b"x"), id="issuer-before-times"
            ),
            pytest.param(
                Reason.EXPIRED,
                _of_issuer(exp=0, nbf=NOW * 2, sub=1, cnf={}),
                id="exp-before-nbf",
            ),
            pytest.param(
                Reason.CLAIM_INVALID,
                _of_issuer(exp=0, nbf=NOW * 2, iat="x", cnf={}),
                id="form-of-times-before-times",
            ),
            pytest.param(
                Reason.NOT_YET_VALID, _of_issuer(iat=NOW * 2, sub=1, cnf={}), id="iat-before-sub"
            ),
            pytest.param(Reason.CLAIM_INVALID, _of_issuer(sub=1, cnf={}), id="sub-before-aud"),
            pytest.param(Reason.CLAIM_INVALID, _of_issuer(jti=1, cnf={}), id="jti-before-aud"),
            pytest.param(Reason.CLAIM_FOREIGN, _of_issuer(aud="x", cnf={}), id="aud-before-cnf"),
            pytest.param(
                Reason.CONFIRMATION,
                _of_issuer(OTHER_SECRET, aud="api", cnf={}),
                id="cnf-before-signature",
            ),
        ],
    )
    def test_earlier_step(self, reason: Reason, token: str) -> None:
        """A token with several faults is refused for the first of them."""
        with pytest.raises(InvalidTokenError) as refused:
            _verify(token, STRICT)

        assert refused.value.reason is reason

    def test_forged_and_expired_is_expired(self) -> None:
        """The signature of a token that is refused anyway is not looked at."""
        with pytest.raises(ExpiredTokenError):
            _verify(_of_issuer(OTHER_SECRET, aud="api", exp=0), STRICT)

    def test_algorithm_before_key(self) -> None:
        """A token whose algorithm is not allowed is refused before a key is looked for."""
        settings = JWTSettings(secret_key=pair("RSA").public_pem, algorithm="RS256")
        token = mint(claims(), pair("RSA"), "PS256", header={"kid": "unknown"})

        with pytest.raises(MalformedTokenError) as refused:
            _verify(token, settings)

        assert refused.value.reason is Reason.ALGORITHM


class TestTimes:
    @pytest.mark.parametrize("leeway", [0, 10, 300])
    @pytest.mark.parametrize(
        ("past_expiry", "accepted"), [(-1, True), (-0.001, True), (0, False), (0.001, False)]
    )
    def test_exp(self, leeway: float, past_expiry: float, accepted: bool) -> None:  # noqa: FBT001
        """A token is good until `exp` plus the leeway, that moment excluded (RFC 7519 §4.1.4)."""
        settings = JWTSettings(secret_key=SECRET, leeway=leeway)
        token = mint({"exp": NOW})

        def then() -> float:
            return NOW + leeway + past_expiry

        if accepted:
            assert verify(token, settings, clock=then) == {"exp": NOW}
        else:
            with pytest.raises(ExpiredTokenError):
                verify(token, settings, clock=then)

    @pytest.mark.parametrize("leeway", [0, 10, 300])
    @pytest.mark.parametrize("name", ["nbf", "iat"])
    @pytest.mark.parametrize(
        ("too_early", "accepted"), [(-1, True), (0, True), (0.001, False), (1, False)]
    )
    def test_nbf_and_iat(
        self,
        leeway: float,
        name: str,
        too_early: float,
        accepted: bool,  # noqa: FBT001
    ) -> None:
        """A token is good from `nbf` and `iat` minus the leeway on, that moment included."""
        settings = JWTSettings(secret_key=SECRET, leeway=leeway)
        token = mint({"exp": NOW * 2, name: NOW})

        def then() -> float:
            return NOW - leeway - too_early

        if accepted:
            assert verify(token, settings, clock=then)[name] == NOW
        else:
            with pytest.raises(ClaimError) as refused:
                verify(token, settings, clock=then)
            assert (refused.value.reason, refused.value.claim) == (Reason.NOT_YET_VALID, name)

    def test_default_leeway(self) -> None:
        """Ten seconds are forgiven unless the settings say otherwise."""
        token = mint({"exp": NOW})

        assert verify(token, SETTINGS, clock=lambda: NOW + 9.9)
        with pytest.raises(ExpiredTokenError):
            verify(token, SETTINGS, clock=lambda: NOW + 10)

    @pytest.mark.parametrize(
        ("name", "value"), [("exp", "soon"), ("nbf", None), ("iat", [])], ids=["exp", "nbf", "iat"]
    )
    def test_checked_even_where_exp_is_not_required(self, name: str, value: object) -> None:
        """`require_exp=False` forgives absence, and nothing else."""
        settings = JWTSettings(secret_key=SECRET, require_exp=False)

        with pytest.raises(ClaimError) as refused:
            _verify(mint({name: value}), settings)

        assert (refused.value.reason, refused.value.claim) == (Reason.CLAIM_INVALID, name)

    def test_expired_even_where_exp_is_not_required(self) -> None:
        """`require_exp=False` does not make an expired token good."""
        settings = JWTSettings(secret_key=SECRET, require_exp=False)

        with pytest.raises(ExpiredTokenError):
            _verify(mint({"exp": NOW - 60}), settings)


class TestKeyOfTheToken:
    SETTINGS = JWTSettings(
        secret_key=pair("RSA").public_pem,
        verification_keys=[pair("P-256").public_pem],
        algorithm=["RS256", "ES256"],
    )

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
    def test_fits_the_algorithm(self, algorithm: str) -> None:
        """Of several keys, the one that fits the token's algorithm checks it."""
        token = mint(claims(), signing_key(algorithm), algorithm)

        assert _verify(token, self.SETTINGS) == claims()

    def test_unknown(self) -> None:
        """A token that no key is meant for is refused with a reason of its own."""
        keys = self.SETTINGS.keys
        parsed = parsed_by(mint(claims(), pair("P-256"), "ES256"), keys)
        without = JWTSettings(secret_key=pair("RSA").public_pem, algorithm="RS256").keys

        with pytest.raises(UnknownKeyError) as refused:
            without.choose(parsed.algorithm, parsed.kid)

        assert refused.value.reason is Reason.UNKNOWN_KEY


class TestKeyIdOfAnError:
    @pytest.mark.parametrize(
        "token",
        [
            pytest.param(mint(claims(), OTHER_SECRET, header={"kid": "a"}), id="signature"),
            pytest.param(mint(claims(exp=0), header={"kid": "a"}), id="expired"),
            pytest.param(mint(claims(sub=1), header={"kid": "a"}), id="claim"),
            pytest.param(mint_raw(b'{"alg":"HS256","kid":"a"}', b"[]"), id="payload"),
        ],
    )
    def test_is_the_tokens(self, token: str) -> None:
        """An error behind the header carries the token's `kid`, for logs."""
        with pytest.raises(AuthError) as refused:
            _verify(token)

        assert refused.value.kid == "a"

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param(mint(claims(exp=0)), id="none-in-the-token"),
            pytest.param(mint(claims(), header={"kid": "a", "typ": "x"}), id="header-refused"),
            pytest.param("a.b", id="no-token"),
        ],
    )
    def test_is_absent(self, token: str) -> None:
        """An error has no `kid` where the token has none, or its header was refused."""
        with pytest.raises(AuthError) as refused:
            _verify(token)

        assert refused.value.kid is None


class TestParse:
    def test_takes_apart(self) -> None:
        """A token is taken apart into what the signature check needs."""
        token = mint_raw(b'{"alg":"HS256","kid":"a"}', b"any bytes \xff")

        parsed = parsed_by(token, SETTINGS.keys)

        signing_input = token.rpartition(".")[0].encode()
        assert (parsed.algorithm, parsed.kid, parsed.jws.payload) == (
            "HS256",
            "a",
            b"any bytes \xff",
        )
        assert parsed.jws.signing_input == signing_input
        assert parsed.jws.signature == sign(signing_input, SECRET, "HS256")

    def test_shows_nothing(self) -> None:
        """`repr` of a parsed token shows `alg` and `kid`, no payload and no signature."""
        parsed = parsed_by(mint(claims(), header={"kid": "a"}), SETTINGS.keys)

        assert repr(parsed) == "ParsedToken(algorithm='HS256', kid='a')"


class TestUnverifiedExpiry:
    @pytest.mark.parametrize(
        ("members", "expiry"),
        [
            pytest.param({"exp": NOW}, NOW, id="integer"),
            pytest.param({"exp": NOW + 0.5}, NOW + 0.5, id="fraction"),
            pytest.param({}, None, id="absent"),
        ],
    )
    def test_reads(self, members: Mapping[str, object], expiry: float | None) -> None:
        """`exp` is read without a check of the signature, `None` where there is none."""
        assert unverified_expiry(mint(members, OTHER_SECRET)) == expiry

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param("", id="nothing"),
            pytest.param("a.b", id="two-parts"),
            pytest.param("a.b.c.d.e", id="encrypted"),
            pytest.param(f"{b64(HEADER)}.AAAAA.AA", id="encoding"),
            pytest.param(_raw(payload=b"[]"), id="payload-array"),
            pytest.param(_raw(payload=b"["), id="payload-cut-off"),
            pytest.param(_claiming("NaN"), id="exp-nan"),
        ],
    )
    def test_refuses(self, token: str) -> None:
        """A text without a readable payload is refused."""
        with pytest.raises(MalformedTokenError) as refused:
            unverified_expiry(token)

        assert refused.value.reason in {
            Reason.NOT_COMPACT,
            Reason.ENCRYPTED,
            Reason.ENCODING,
            Reason.PAYLOAD,
        }

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param('"tomorrow"', id="string"),
            pytest.param("true", id="true"),
            pytest.param("1" + "0" * 400, id="larger-than-a-float-holds"),
        ],
    )
    def test_refuses_what_is_no_number(self, value: str) -> None:
        """An `exp` that is not a number is refused by its name."""
        with pytest.raises(ClaimError) as refused:
            unverified_expiry(_claiming(value))

        assert (refused.value.reason, refused.value.claim) == (Reason.CLAIM_INVALID, "exp")
