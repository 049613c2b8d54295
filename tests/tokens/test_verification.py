"""One row for every way in which a token is not valid."""

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from jwt_deps.errors import (
    ClaimError,
    ExpiredTokenError,
    InvalidTokenError,
    MalformedTokenError,
    Reason,
    SignatureError,
)
from jwt_deps.settings import JWTSettings
from jwt_deps.testing import VirtualClock
from jwt_deps.tokens import unverified_expiry
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
                pytest.param(b'{"alg":"HS256","typ":"%s"}' % name.encode(), id=f"typ-{name}")
                for name in (
                    *("JWT", "jwt", "at+jwt", "AT+JWT", "JOSE", "jose", "application/jwt"),
                    *("application/at+jwt", "application/AT+JWT", "application/jose"),
                )
            ),
            pytest.param(b'{"alg":"HS256","kid":""}', id="kid-empty"),
            pytest.param(b'{"alg":"HS256","kid":"%s"}' % (b"k" * 256), id="kid-of-256"),
            pytest.param(b'{"alg":"HS256","cty":"JWT"}', id="cty"),
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
                ("alg-absent", b"{}"),
                ("alg-under-another-name", b'{"ALG":"HS256"}'),
            )
        ),
        *(
            (f"alg-{label}", Reason.ALGORITHM, _raw(header=data))
            for label, data in (
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


def _refusal(token: str, settings: JWTSettings = SETTINGS) -> InvalidTokenError:
    with pytest.raises(InvalidTokenError) as refused:
        _verify(token, settings)
    return refused.value


class TestRefused:
    @pytest.mark.parametrize(("error", "reason", "token"), REFUSALS)
    def test_with_a_reason(
        self, error: type[InvalidTokenError], reason: Reason, token: str
    ) -> None:
        """Each step has one reason and one type of error, whose words hold nothing of the token."""
        refusal = _refusal(token)

        assert (type(refusal), refusal.reason) == (error, reason)
        assert DESCRIPTION.fullmatch(refusal.description)
        expired = error is ExpiredTokenError
        said = "Token has expired" if expired else f"Invalid token: {refusal.description}"
        assert str(refusal) == said
        parts = [part for part in token[:16385].split(".") if len(part) > 8]
        everything = everything_said(refusal)
        assert [part for part in (*parts, "alice", "mallory") if part in everything] == []

    @pytest.mark.parametrize(("reason", "name", "members", "removed"), FOREIGN)
    def test_issuer_and_audience(
        self, reason: Reason, name: str, members: dict[str, Any], removed: str | None
    ) -> None:
        """Where issuer and audience are set, the claims must be there and equal, to the letter."""
        stated = {key: value for key, value in claims(**members).items() if key != removed}

        refusal = _refusal(mint(stated), STRICT)

        assert isinstance(refusal, ClaimError)
        assert (refusal.reason, refusal.claim) == (reason, name)

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
        by_the_key = {Reason.UNKNOWN_KEY}  # tests/keys/test_key_set.py

        rows = {row.values[1] for row in REFUSALS} | {row.values[0] for row in FOREIGN}

        assert rows == set(Reason) - of_the_request - by_the_key


#: Tokens with several faults: of two the earlier step's is named.
ORDER = {
    "size-before-form": (Reason.TOO_LARGE, "ä" * 20_000),
    "form-before-encoding": (Reason.NOT_COMPACT, "AAAAA.AB"),
    "encoding-before-header": (Reason.ENCODING, f"{b64(b'[]')}.AB.AA"),
    "header-before-payload": (Reason.HEADER, f"{b64(b'[]')}.{b64(b'x')}.AA"),
    "alg-before-typ": (Reason.ALGORITHM, _headed(alg="none", typ="x", crit=[], kid=1)),
    "typ-before-crit": (Reason.TYPE, _headed(typ="x", crit=[], kid=1)),
    "crit-before-kid": (Reason.CRITICAL, _headed(crit=[], kid=1)),
    "kid-before-payload": (Reason.KEY_ID, compact(b'{"alg":"HS256","kid":1}', b"no json", b"x")),
    "payload-before-signature": (Reason.PAYLOAD, compact(HEADER, b"no json", b"x")),
    "issuer-before-times": (Reason.CLAIM_MISSING, compact(HEADER, b'{"exp":0}', b"x")),
    "exp-before-nbf": (Reason.EXPIRED, _of_issuer(exp=0, nbf=NOW * 2, sub=1, cnf={})),
    "form-of-times-first": (Reason.CLAIM_INVALID, _of_issuer(exp=0, nbf=NOW * 2, iat="x", cnf={})),
    "iat-before-sub": (Reason.NOT_YET_VALID, _of_issuer(iat=NOW * 2, sub=1, cnf={})),
    "sub-before-aud": (Reason.CLAIM_INVALID, _of_issuer(sub=1, cnf={})),
    "jti-before-aud": (Reason.CLAIM_INVALID, _of_issuer(jti=1, cnf={})),
    "aud-before-cnf": (Reason.CLAIM_FOREIGN, _of_issuer(aud="x", cnf={})),
    "cnf-before-signature": (Reason.CONFIRMATION, _of_issuer(OTHER_SECRET, aud="api", cnf={})),
    "exp-before-signature": (Reason.EXPIRED, _of_issuer(OTHER_SECRET, aud="api", exp=0)),
}
RSA_ALONE = JWTSettings(secret_key=pair("RSA").public_pem, algorithm="RS256")


class TestOrder:
    @pytest.mark.parametrize(("reason", "token"), ORDER.values(), ids=ORDER)
    def test_earlier_step(self, reason: Reason, token: str) -> None:
        """The order is part of the contract: a token is refused for the first of its faults."""
        assert _refusal(token, STRICT).reason is reason

    def test_algorithm_before_key(self) -> None:
        """A token whose algorithm is not allowed is refused before a key is looked for."""
        token = mint(claims(), pair("RSA"), "PS256", header={"kid": "unknown"})

        assert _refusal(token, RSA_ALONE).reason is Reason.ALGORITHM


LENIENT = JWTSettings(secret_key=SECRET, require_exp=False)


class TestTimes:
    @pytest.mark.parametrize("leeway", [0, 10, 300])
    def test_exp(self, leeway: float) -> None:
        """A token is good until `exp` plus the leeway, that moment excluded (RFC 7519 §4.1.4)."""
        settings, token = JWTSettings(secret_key=SECRET, leeway=leeway), mint({"exp": NOW})
        end = NOW + leeway

        for moment in (end - 1, end - 0.001):
            assert verify(token, settings, clock=VirtualClock(moment)) == {"exp": NOW}
        for moment in (end, end + 0.001):
            with pytest.raises(ExpiredTokenError):
                verify(token, settings, clock=VirtualClock(moment))

    @pytest.mark.parametrize("leeway", [0, 10, 300])
    @pytest.mark.parametrize("name", ["nbf", "iat"])
    def test_nbf_and_iat(self, leeway: float, name: str) -> None:
        """A token is good from `nbf` and `iat` minus the leeway on, that moment included."""
        settings = JWTSettings(secret_key=SECRET, leeway=leeway)
        token, begin = mint({"exp": NOW * 2, name: NOW}), NOW - leeway

        for moment in (begin + 1, begin):
            assert verify(token, settings, clock=VirtualClock(moment))[name] == NOW
        for moment in (begin - 0.001, begin - 1):
            with pytest.raises(ClaimError) as refused:
                verify(token, settings, clock=VirtualClock(moment))
            assert (refused.value.reason, refused.value.claim) == (Reason.NOT_YET_VALID, name)

    def test_default_leeway(self) -> None:
        """Ten seconds are forgiven unless the settings say otherwise."""
        token = mint({"exp": NOW})

        assert verify(token, SETTINGS, clock=lambda: NOW + 9.9)
        with pytest.raises(ExpiredTokenError):
            verify(token, SETTINGS, clock=lambda: NOW + 10)

    @pytest.mark.parametrize(
        ("members", "reason"),
        [
            pytest.param({"exp": "soon"}, Reason.CLAIM_INVALID, id="exp"),
            pytest.param({"nbf": None}, Reason.CLAIM_INVALID, id="nbf"),
            pytest.param({"iat": []}, Reason.CLAIM_INVALID, id="iat"),
            pytest.param({"exp": NOW - 60}, Reason.EXPIRED, id="expired"),
        ],
    )
    def test_where_exp_is_not_required(self, members: dict[str, Any], reason: Reason) -> None:
        """`require_exp=False` forgives absence, and nothing else."""
        assert _refusal(mint(members), LENIENT).reason is reason


class TestKeyOfTheToken:
    @pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
    def test_fits_the_algorithm(self, algorithm: str) -> None:
        """Of several keys, the one that fits the token's algorithm checks it."""
        settings = JWTSettings(
            secret_key=pair("RSA").public_pem,
            verification_keys=[pair("P-256").public_pem],
            algorithm=["RS256", "ES256"],
        )
        token = mint(claims(), signing_key(algorithm), algorithm)

        assert _verify(token, settings) == claims()


@pytest.mark.parametrize(
    ("kid", "token"),
    [
        pytest.param("a", mint(claims(), OTHER_SECRET, header={"kid": "a"}), id="signature"),
        pytest.param("a", mint(claims(exp=0), header={"kid": "a"}), id="expired"),
        pytest.param("a", mint(claims(sub=1), header={"kid": "a"}), id="claim"),
        pytest.param("a", mint_raw(b'{"alg":"HS256","kid":"a"}', b"[]"), id="payload"),
        pytest.param(None, mint(claims(exp=0)), id="none-in-the-token"),
        pytest.param(None, mint(claims(), header={"kid": "a", "typ": "x"}), id="header-refused"),
        pytest.param(None, "a.b", id="no-token"),
    ],
)
def test_key_id_of_an_error(kid: str | None, token: str) -> None:
    """An error behind the header carries the token's `kid`, for logs."""
    assert _refusal(token).kid == kid


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
        ("token", "reason"),
        [
            pytest.param("", Reason.NOT_COMPACT, id="nothing"),
            pytest.param("a.b", Reason.NOT_COMPACT, id="two-parts"),
            pytest.param("a.b.c.d.e", Reason.ENCRYPTED, id="encrypted"),
            pytest.param(f"{b64(HEADER)}.AAAAA.AA", Reason.ENCODING, id="encoding"),
            pytest.param(_raw(payload=b"[]"), Reason.PAYLOAD, id="payload-array"),
            pytest.param(_raw(payload=b"["), Reason.PAYLOAD, id="payload-cut-off"),
            pytest.param(_claiming("NaN"), Reason.PAYLOAD, id="exp-nan"),
            pytest.param(_claiming('"tomorrow"'), Reason.CLAIM_INVALID, id="exp-string"),
            pytest.param(_claiming("true"), Reason.CLAIM_INVALID, id="exp-true"),
            pytest.param(_claiming("1" + "0" * 400), Reason.CLAIM_INVALID, id="exp-too-large"),
        ],
    )
    def test_refuses(self, token: str, reason: Reason) -> None:
        """A text without a readable payload, or an `exp` that is no number, is refused."""
        with pytest.raises(InvalidTokenError) as refused:
            unverified_expiry(token)

        assert refused.value.reason is reason
