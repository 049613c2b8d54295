"""Issuers that a function knows, tenants of Entra ID, and users that are of one issuer alone."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient

from jwt_deps import (
    AuthError,
    Claims,
    ConfigurationError,
    CurrentUser,
    EntraTenants,
    IssuerSettings,
    JWTSettings,
    KeysUnavailableError,
    MemoryRevocations,
    RevokedTokenError,
    create_access_token,
    current_user_id,
    get_claims,
    protect,
    verify_token,
)
from jwt_deps.audit import audit
from jwt_deps.testing import Answer, FakeIssuer, SigningKey, VirtualClock, bearer
from jwt_deps.tokens import explain_token
from tests.keys.faking import landed
from tests.minting import SECRET, claims, mint

KEY = SigningKey.generate("RS256", kid="a")


def settings_of(name: str, **options: Any) -> IssuerSettings:
    return IssuerSettings(**{"secret_key": SECRET, "issuer": name, "audience": "api", **options})


def minted(issuer: object, **members: Any) -> str:
    return mint(claims(now=time.time(), **{"iss": issuer, "aud": "api", **members}))


def outcome(token: str, settings: JWTSettings) -> str:
    try:
        return str(asyncio.run(verify_token(token, settings)).iss)
    except AuthError as error:
        return error.reason.value


class Lookup:
    """Accepts issuers that begin with `https://customer`, and counts its calls."""

    def __init__(self, **options: Any) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.options = options

    def __call__(self, issuer: str) -> IssuerSettings | None:
        self.asked.append(issuer)
        if self.error is not None:
            raise self.error
        return (
            settings_of(issuer, **self.options) if issuer.startswith("https://customer") else None
        )

    async def later(self, issuer: str) -> IssuerSettings | None:
        await asyncio.sleep(0)
        return self(issuer)


CUSTOMER, STAFF = "https://customer-7.example", "https://staff"


def clock_of(settings: JWTSettings) -> VirtualClock:
    tenants = settings.server.accepted.tenants
    assert tenants is not None
    clock = VirtualClock(tenants.clock())
    tenants.clock = clock
    return clock


def closed(lookup: Lookup) -> None:
    """Let it accept no issuer any more."""
    lookup.__class__ = type("Closed", (Lookup,), {"__call__": lambda *_: None})


def remembering(**options: Any) -> tuple[Lookup, JWTSettings, VirtualClock]:
    """A function whose answers hold for 60 s."""
    lookup = Lookup()
    settings = JWTSettings(issuers=lookup, issuers_ttl=60, **options)
    return lookup, settings, clock_of(settings)


class TestFunction:
    @pytest.mark.parametrize("kind", ["plain", "async"])
    def test_it_knows_the_issuer(self, kind: str) -> None:
        """It is asked once, for accepted and refused issuers alike."""
        lookup = Lookup()
        settings = JWTSettings(issuers=lookup if kind == "plain" else lookup.later)

        for _ in range(3):
            assert CUSTOMER == outcome(minted(CUSTOMER), settings)
            assert "claim_foreign" == outcome(minted("https://evil.example"), settings)

        assert [CUSTOMER, "https://evil.example"] == lookup.asked

    @pytest.mark.parametrize(
        "issuer",
        [None, 5, ["a"], "x" * 1025, f"{CUSTOMER}|auth0"],
        ids=["null", "number", "list", "long", "end-of-a-prefix"],
    )
    def test_it_is_not_asked_for_what_is_no_issuer(self, issuer: object) -> None:
        """Nor for a text that no issuer has."""
        lookup = Lookup()

        assert "claim_foreign" == outcome(minted(issuer), JWTSettings(issuers=lookup))
        assert [] == lookup.asked

    def test_a_token_without_an_issuer(self) -> None:
        """It is refused as in a table of issuers."""
        token = mint(claims(now=time.time(), aud="api"))

        assert "claim_missing" == outcome(token, JWTSettings(issuers=Lookup()))

    def test_it_is_asked_once_for_many_requests(self) -> None:
        """Those that come while it is asked wait for the answer."""
        lookup = Lookup()
        settings = JWTSettings(issuers=lookup.later)

        async def many() -> list[Claims]:
            tokens = [minted(CUSTOMER, sub=str(number)) for number in range(50)]
            return await asyncio.gather(*(verify_token(token, settings) for token in tokens))

        assert 50 == len(asyncio.run(many()))
        assert [CUSTOMER] == lookup.asked

    def test_it_is_asked_again_after_the_time(self) -> None:
        """A customer who has left is refused then, with a token that was accepted before too."""
        lookup, settings, clock = remembering()
        token = minted(CUSTOMER)
        assert CUSTOMER == outcome(token, settings)

        closed(lookup)
        clock.advance(53)
        assert CUSTOMER == outcome(token, settings)
        clock.advance(7)
        assert {} == settings.key_health()
        assert "claim_foreign" == outcome(token, settings)

    def test_other_settings_hold_after_the_time(self) -> None:
        """Of a token that was accepted before, too."""
        lookup, settings, clock = remembering()
        token = minted(CUSTOMER)
        outcome(token, settings)
        lookup.options = {"audience": "admin"}
        clock.advance(60)

        assert "claim_foreign" == outcome(token, settings)

    def test_a_refused_one_is_accepted_after_the_time(self) -> None:
        """A customer who has come."""
        lookup, settings, clock = remembering()
        closed(lookup)
        assert "claim_foreign" == outcome(minted(CUSTOMER), settings)

        lookup.__class__ = Lookup
        clock.advance(60)

        assert CUSTOMER == outcome(minted(CUSTOMER), settings)

    def test_keys_survive_the_time(self) -> None:
        """An answer that says the same again changes nothing; a new one does."""
        lookup, settings, clock = remembering()
        outcome(minted(CUSTOMER), settings)
        before = settings.settings_of(CUSTOMER)
        clock.advance(60)
        outcome(minted(CUSTOMER), settings)
        same = settings.settings_of(CUSTOMER)
        lookup.options = {"leeway": 5}
        clock.advance(60)
        outcome(minted(CUSTOMER), settings)

        assert same is before is not settings.settings_of(CUSTOMER)

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(OSError("s3cret"), id="error"),
            pytest.param("settings", id="text"),
            pytest.param(settings_of("https://other.example"), id="of-another-issuer"),
            pytest.param(IssuerSettings(secret_key=SECRET, issuer=CUSTOMER), id="no-audience"),
            pytest.param(
                JWTSettings(secret_key=SECRET, issuer=CUSTOMER, audience="api"), id="of-a-service"
            ),
        ],
    )
    def test_a_function_that_fails_is_an_outage(
        self, answer: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing is known of the token; the next request asks again, and no text is told."""

        def lookup(_: str) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        settings = JWTSettings(issuers=lookup)

        assert ["keys_unavailable"] * 2 == [outcome(minted(CUSTOMER), settings) for _ in range(2)]
        assert 2 == caplog.text.count("the function in issuers")
        assert "s3cret" not in caplog.text

    def test_too_many_unknown_issuers_at_once(self) -> None:
        """The function is not called for more than 64 at a time."""
        gate, asked = threading.Event(), []

        async def lookup(issuer: str) -> None:
            asked.append(issuer)
            while not gate.is_set():  # noqa: ASYNC110 - of any event loop
                await asyncio.sleep(0.001)

        settings = JWTSettings(issuers=lookup)

        async def flood() -> list[object]:
            waiting = [
                asyncio.ensure_future(verify_token(minted(f"https://{number}"), settings))
                for number in range(80)
            ]
            await asyncio.sleep(0)
            while sum(it.done() for it in waiting) < 16:  # noqa: ASYNC110 - of their own
                await asyncio.sleep(0.001)
            gate.set()
            return list(await asyncio.gather(*waiting, return_exceptions=True))

        reasons = [
            error.reason.value for error in asyncio.run(flood()) if isinstance(error, AuthError)
        ]

        assert 64 == len(asked)
        assert (64, 16) == (reasons.count("claim_foreign"), reasons.count("keys_unavailable"))

    def test_attack_a_flood_of_the_log_while_the_function_hangs(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each call that hangs is told of; those that are not begun any more are not."""
        monkeypatch.setattr("jwt_deps.settings.tenants._TIMEOUT", 0.05)
        hangs = threading.Event()

        def lookup(_: str) -> None:
            hangs.wait()

        settings = JWTSettings(issuers=lookup)

        async def flood() -> set[object]:
            found = set[object]()
            for wave in range(4):
                asked = (
                    verify_token(minted(f"https://{wave}-{number}.example"), settings)
                    for number in range(64)
                )
                found |= {type(it) for it in await asyncio.gather(*asked, return_exceptions=True)}
            hangs.set()
            return found

        assert {KeysUnavailableError} == asyncio.run(flood())
        assert 128 == caplog.text.count("the function in issuers raised TimeoutError")

    @pytest.mark.parametrize("cached", [0, 10], ids=["new tokens", "known tokens"])
    def test_an_answer_that_is_remembered_holds_while_the_function_fails(self, cached: int) -> None:
        """To its end; it is asked for anew from nine tenths of the time on."""
        lookup, settings, clock = remembering(token_cache_size=cached)
        token = minted(CUSTOMER)
        outcome(token, settings)
        lookup.error = OSError()

        clock.advance(59)
        assert CUSTOMER == outcome(token, settings)
        clock.advance(1)
        assert "keys_unavailable" == outcome(token, settings)
        assert 3 == len(lookup.asked)

    @pytest.mark.parametrize("cached", [0, 10], ids=["new tokens", "known tokens"])
    def test_attack_a_flood_while_the_function_fails(self, cached: int) -> None:
        """It is called once in a second as long as the answer holds."""
        lookup, settings, clock = remembering(token_cache_size=cached)
        token = minted(CUSTOMER)
        outcome(token, settings)
        lookup.error = OSError()

        clock.advance(55)
        for _ in range(3):
            assert {CUSTOMER} == {outcome(token, settings) for _ in range(10)}
            clock.advance(1)

        assert 4 == len(lookup.asked)

    @pytest.mark.parametrize("cached", [0, 10], ids=["new tokens", "known tokens"])
    def test_attack_a_function_that_hangs_while_an_answer_holds(self, cached: int) -> None:
        """A request of an issuer that is known does not wait for the next answer."""
        hangs = False

        async def lookup(issuer: str) -> IssuerSettings:
            await asyncio.sleep(60 * hangs)
            return settings_of(issuer)

        settings = JWTSettings(issuers=lookup, issuers_ttl=60, token_cache_size=cached)
        clock, token = clock_of(settings), minted(CUSTOMER)
        outcome(token, settings)
        hangs = True
        clock.advance(59)
        began = time.monotonic()

        assert [CUSTOMER] * 20 == [outcome(token, settings) for _ in range(20)]
        assert time.monotonic() - began < 5

    def test_an_answer_that_ends_while_the_function_is_asked_anew(self) -> None:
        """The request waits for the next one, as that of an unknown issuer does."""
        slow = False

        async def lookup(issuer: str) -> IssuerSettings:
            if slow:
                clock.advance(1)
                await asyncio.sleep(0.7)
            return settings_of(issuer)

        settings = JWTSettings(issuers=lookup, issuers_ttl=60, token_cache_size=0)
        clock, token = clock_of(settings), minted(CUSTOMER)
        outcome(token, settings)
        slow = True
        clock.advance(59.6)

        assert CUSTOMER == outcome(token, settings)

    @pytest.mark.parametrize("fails", [False, True], ids=["asked again", "out of reach"])
    def test_an_answer_that_ends_while_the_keys_are_fetched(self, *, fails: bool) -> None:
        """A good token is accepted, or cannot be checked; it is no invalid one."""
        lookup, settings, clock = remembering(token_cache_size=0)
        signer = FakeIssuer(url=CUSTOMER)

        class Slow:
            async def fetch_keys(self) -> Any:
                clock.advance(60)
                lookup.error = OSError() if fails else None
                return signer.jwk_set

        lookup.options = {"key_source": Slow(), "secret_key": None}
        token = signer.token({"sub": "alice"}, audience="api")

        assert outcome(token, settings) == ("keys_unavailable" if fails else CUSTOMER)

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            pytest.param({"audience": "admin"}, "claim_foreign", id="attack another audience"),
            pytest.param({"algorithm": "PS256"}, "algorithm", id="attack another algorithm"),
            pytest.param(None, "claim_foreign", id="attack it has left"),
            pytest.param({"key_source": None, "jwks": True}, CUSTOMER, id="keys that it has"),
        ],
    )
    def test_an_issuer_that_changes_while_its_keys_are_fetched(
        self, changed: dict[str, Any] | None, said: str
    ) -> None:
        """A request that waits for them is judged by the new settings."""
        lookup, settings, clock = remembering()
        signer = FakeIssuer(url=CUSTOMER)

        class Slow:
            async def fetch_keys(self) -> Any:
                clock.advance(60)
                if changed is None:
                    closed(lookup)
                else:
                    jwks = {"jwks": signer.jwk_set} if "jwks" in changed else {}
                    lookup.options = {**lookup.options, **changed, **jwks}
                return signer.jwk_set

        lookup.options = {"key_source": Slow(), "secret_key": None, "algorithm": "RS256"}

        assert said == outcome(signer.token({"sub": "alice"}, audience="api"), settings)

    def test_a_request_does_not_wait_forever_for_an_issuer_that_changes(self) -> None:
        """Two waits, and then the client is told to come again."""
        lookup, settings, clock = remembering()
        signer, fetched = FakeIssuer(url=CUSTOMER), 0

        class Slow:
            async def fetch_keys(self) -> Any:
                nonlocal fetched
                fetched += 1
                clock.advance(60)
                lookup.options = {**lookup.options, "leeway": fetched}
                return signer.jwk_set

        lookup.options = {"key_source": Slow(), "secret_key": None}

        assert "keys_unavailable" == outcome(
            signer.token({"sub": "alice"}, audience="api"), settings
        )
        assert 2 == fetched

    def test_an_answer_that_ends_before_a_request_goes_on(self) -> None:
        """In an event loop that something keeps busy: the token is no invalid one."""

        async def lookup(issuer: str) -> IssuerSettings:
            asyncio.get_running_loop().call_soon(clock.advance, 60)
            return settings_of(issuer)

        settings = JWTSettings(issuers=lookup, issuers_ttl=60)
        clock = clock_of(settings)

        assert "keys_unavailable" == outcome(minted(CUSTOMER), settings)

    @pytest.mark.parametrize("kind", ["async", "plain"])
    @pytest.mark.parametrize("age", [0, 57, 60], ids=["new", "old", "expired"])
    def test_attack_unknown_issuers_keep_out_no_accepted_one(self, age: int, kind: str) -> None:
        """While the function is called for as many as it may be, and a plain one fills threads."""
        gate = threading.Event()

        async def lookup(issuer: str) -> IssuerSettings | None:
            while issuer != CUSTOMER and not gate.is_set():  # noqa: ASYNC110 - of any event loop
                await asyncio.sleep(0.001)
            return settings_of(issuer) if issuer == CUSTOMER else None

        def plain(issuer: str) -> IssuerSettings | None:
            if issuer != CUSTOMER:
                gate.wait()
            return settings_of(issuer) if issuer == CUSTOMER else None

        issuers = lookup if kind == "async" else plain
        settings = JWTSettings(issuers=issuers, issuers_ttl=60, token_cache_size=0)
        clock, token = clock_of(settings), minted(CUSTOMER)
        outcome(token, settings)
        gate.set()
        outcome(minted("https://refused"), settings)
        gate.clear()
        clock.advance(age)

        async def flood() -> list[object]:
            waiting = [
                asyncio.ensure_future(verify_token(minted(f"https://{number}"), settings))
                for number in range(64)
            ]
            await asyncio.sleep(0.01)
            found: list[object] = []
            try:
                found.append((await verify_token(token, settings)).iss)
                # Look-ups of host names need a thread of the event loop.
                await asyncio.wait_for(asyncio.to_thread(int), 2)
                await verify_token(minted("https://refused"), settings)
            except AuthError as error:
                found.append(error.reason)
            finally:
                gate.set()
            await asyncio.gather(*waiting, return_exceptions=True)
            return found

        refused = "keys_unavailable" if age == 60 else "claim_foreign"
        assert [CUSTOMER, refused] == asyncio.run(flood())

    def test_keys_are_in_the_health_report(self) -> None:
        """Of the issuers that are remembered."""
        lookup, signer = Lookup(), FakeIssuer(url=CUSTOMER)

        class Source:
            async def fetch_keys(self) -> Any:
                return signer.jwk_set

        lookup.options = {"key_source": Source(), "secret_key": None}
        settings = JWTSettings(issuers=lookup)
        assert CUSTOMER == outcome(signer.token({"sub": "alice"}, audience="api"), settings)
        assert [CUSTOMER] == list(settings.key_health())

    def test_settings_without_an_issuer(self) -> None:
        """The function has said that they are for this one."""
        shared = IssuerSettings(secret_key=SECRET, audience="api")
        settings = JWTSettings(issuers=lambda _: shared)

        assert "https://a" == outcome(minted("https://a"), settings)

    def test_the_algorithm_and_type_are_those_of_the_issuer(self) -> None:
        """Though any are let pass before the issuer is known."""
        settings = JWTSettings(issuers=Lookup())
        wrong_type = mint(
            claims(now=time.time(), iss=CUSTOMER, aud="api"), header={"typ": "logout+jwt"}
        )
        wrong_algorithm = mint(claims(now=time.time(), iss=CUSTOMER, aud="api"), algorithm="HS512")

        assert ["type", "algorithm"] == [
            outcome(token, settings) for token in (wrong_type, wrong_algorithm)
        ]

    def test_nothing_is_fetched_for_an_issuer_that_is_not_accepted(self) -> None:
        """And keys of an accepted one are fetched as ever."""
        with FakeIssuer(algorithm="ES256") as ours, FakeIssuer(algorithm="ES256") as theirs:

            def lookup(issuer: str) -> IssuerSettings | None:
                return (
                    IssuerSettings(
                        issuer=issuer, audience="api", discovery=True, allow_loopback=True
                    )
                    if issuer == ours.issuer
                    else None
                )

            settings = JWTSettings(issuers=lookup)
            answers = [
                outcome(one.token({"sub": "alice"}, audience="api"), settings)
                for one in (ours, theirs)
            ]

            assert [ours.issuer, "claim_foreign"] == answers
            assert [] == theirs.requests
            assert [ours.issuer] == list(settings.key_health())

    def test_nothing_of_it_is_told(self) -> None:
        """Neither in OpenAPI, nor in the list of authorization servers."""
        settings = JWTSettings(issuers=Lookup(), resource="https://api.example")
        app = protect(FastAPI(), settings)

        @app.get("/me")
        async def me(user_id: Annotated[str, Depends(current_user_id)]) -> str:
            return user_id

        with TestClient(app) as client:
            assert f"{CUSTOMER}|alice" == client.get("/me", headers=bearer(minted(CUSTOMER))).json()
            document = client.get("/openapi.json").text

        assert "customer" not in document
        assert "503" in json.loads(document)["paths"]["/me"]["get"]["responses"]
        assert () == settings.authorization_servers
        me_audited = next(route for route in audit(app).routes if route.path == "/me")
        assert "issuers of tests.settings.test_tenants.Lookup" in me_audited.settings

    def test_all_checks_of_a_token(self) -> None:
        """`jwt-deps inspect` asks the function too."""
        explanation = asyncio.run(explain_token(minted(CUSTOMER), JWTSettings(issuers=Lookup())))

        assert explanation.accepted
        assert {"passed"} == {finding.outcome.value for finding in explanation.findings}

    def test_a_copy_of_the_settings(self) -> None:
        """It asks the same function."""
        lookup = Lookup()
        settings = JWTSettings(issuers=lookup).model_copy(update={"leeway": 10})

        assert CUSTOMER == outcome(minted(CUSTOMER), settings)


@pytest.mark.parametrize("compared", [{}, {"session_claims": ["x"], "subject_claims": ["y"]}])
def test_what_current_user_has_is_revoked_whatever_else_a_source_compares(
    compared: dict[str, Any],
) -> None:
    """The id of the user and of the session, also where standard claims have them."""
    revocations = MemoryRevocations(**compared)
    settings = JWTSettings(secret_key=SECRET, revocation=revocations, session_id_claim="sid")
    users = ({"sub": "alice", "sid": "7"}, {"sub": "bob"})
    tokens = [mint(claims(now=time.time(), **members)) for members in users]
    revocations.revoke(session="7")
    revocations.revoke(subject="bob")

    for token in tokens:
        with pytest.raises(RevokedTokenError):
            asyncio.run(verify_token(token, settings))


@pytest.mark.parametrize("kind", ["table", "function", "single"])
@pytest.mark.parametrize("named", ["id of the user", "claim", "session"])
def test_a_user_is_revoked_by_the_id_that_the_service_knows(kind: str, named: str) -> None:
    """With the prefix of the issuer or without, whatever claims its settings name."""
    revocations = MemoryRevocations()
    named_claims: Any = {"user_id_claim": "oid", "session_id_claim": "ses"}
    one = settings_of("https://a.example", **named_claims)
    single: Any = {"secret_key": SECRET, "issuer": "https://a.example", "audience": "api"}
    given: dict[str, Any] = single | named_claims
    if kind != "single":
        given = {"issuers": {"a": one} if kind == "table" else lambda _: one}
    settings = JWTSettings(revocation=revocations, **given)
    token = minted("https://a.example", oid="u", ses="7", sub="s")
    asyncio.run(verify_token(token, settings))
    prefix = {"table": "a|", "function": "https://a.example|", "single": ""}[kind]

    if named == "session":
        revocations.revoke(session="7")
    else:
        revocations.revoke(subject=f"{prefix}u" if named == "id of the user" else "u")

    with pytest.raises(RevokedTokenError):
        asyncio.run(verify_token(token, settings))


@pytest.mark.parametrize("named", [{"subject": "42"}, {"session": "7"}, {"jti": "1"}, {}], ids=str)
def test_attack_the_other_name_of_an_issuer(named: dict[str, Any]) -> None:
    """What is revoked under one name of an issuer is revoked under each of them."""
    names = ["https://accounts.google.com", "accounts.google.com"]
    revocations = MemoryRevocations()
    settings = JWTSettings(secret_key=SECRET, issuer=names, audience="api", revocation=revocations)
    others = JWTSettings(secret_key=SECRET, audience="api", revocation=revocations)
    members: dict[str, Any] = {
        "sub": "42",
        "sid": "7",
        "jti": "1",
        "jwt_deps.issuers": [names[0]],
        "iat": time.time() - 60,
    }
    revocations.revoke(**named, issuer=names[0])

    assert ["revoked", "revoked"] == [outcome(minted(it, **members), settings) for it in names]
    assert names[1] == outcome(minted(names[1], **members), others)


def test_none_is_known_when_a_service_starts() -> None:
    """So there are no keys to fetch then."""
    with pytest.raises(ConfigurationError, match=r"JWT_WARM_UP \(warm_up\): issuers is a function"):
        JWTSettings(issuers=Lookup(), warm_up=True)


def test_a_thousand_tenants() -> None:
    """Each is asked for once; a request takes as long as with few."""
    lookup = Lookup()
    settings = JWTSettings(issuers=lookup, token_cache_size=0)

    async def visit(numbers: range) -> float:
        tokens = [minted(f"https://customer-{number}") for number in numbers]
        began = time.process_time()
        for token in tokens:
            await verify_token(token, settings)
        return time.process_time() - began

    async def run() -> tuple[float, float]:
        await visit(range(1000))
        return await visit(range(100)), await visit(range(900, 1000))

    first, last = asyncio.run(run())

    assert 1000 == len(lookup.asked)
    assert last < 3 * first + 0.05


# Entra ID

TENANT, OTHER = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490", "82229342-1101-4ab6-817b-70c0747630f3"
PERSONAL = "9188040d-6c67-4c5b-b112-36a304b66dad"
LOGIN = "https://login.microsoftonline.com"


def entra(tenant: str) -> str:
    return f"{LOGIN}/{tenant}/v2.0"


def of_entra(tenant: str, key: SigningKey = KEY, **members: Any) -> str:
    """A token of version 2, in the shape of the page on providers."""
    now = int(time.time())
    return key.sign(
        {"typ": "JWT", "alg": "RS256", "kid": key.kid},
        {
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "iss": entra(tenant),
            "iat": now,
            "exp": now + 300,
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "scp": "Reports.Read",
            "tid": tenant,
            "ver": "2.0",
            **members,
        },
    )


class TestEntra:
    @pytest.fixture
    def provider(self) -> Iterator[FakeIssuer]:
        with FakeIssuer(algorithm="RS256") as running:
            yield running

    def lookup(self, provider: FakeIssuer, tenants: Any, **options: Any) -> EntraTenants:
        return EntraTenants(
            "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            tenants,
            **{"jwks_url": provider.jwks_url, "allow_loopback": True, **options},
        )

    def settings(self, provider: FakeIssuer, tenants: Any) -> JWTSettings:
        return JWTSettings(
            issuers=self.lookup(provider, tenants, scopes_claim="scp", user_id_claim="oid")
        )

    @staticmethod
    async def later(tenant: str) -> bool:
        return tenant == TENANT

    @pytest.mark.parametrize(
        "tenants",
        [
            pytest.param([TENANT.upper()], id="list"),
            pytest.param(TENANT, id="one"),
            pytest.param(lambda tenant: tenant == TENANT, id="function"),
            pytest.param(later, id="async"),
        ],
    )
    def test_tenants(self, provider: FakeIssuer, tenants: Any) -> None:
        """Those that are named are accepted, with the one key set of all."""
        settings = self.settings(provider, tenants)
        key = provider.signing_key

        assert [entra(TENANT), "claim_foreign"] == [
            outcome(of_entra(tenant, key), settings) for tenant in (TENANT, OTHER)
        ]

    def test_a_plain_function_is_called_in_a_thread(self, provider: FakeIssuer) -> None:
        """What it waits for stops no other request."""
        threads = set()

        def tenants(tenant: str) -> bool:
            threads.add(threading.current_thread())
            return tenant == TENANT

        settings = self.settings(provider, tenants)

        assert entra(TENANT) == outcome(of_entra(TENANT, provider.signing_key), settings)
        assert threading.current_thread() not in threads

    def test_attack_unknown_tenants_keep_out_no_accepted_one(self, provider: FakeIssuer) -> None:
        """While a plain function waits for as many as it may."""
        gate = threading.Event()

        def tenants(tenant: str) -> bool:
            return tenant == TENANT or not gate.wait()

        settings = self.settings(provider, tenants)
        token = of_entra(TENANT, provider.signing_key)

        async def flood() -> object:
            await verify_token(token, settings)
            clock_of(settings).advance(settings.issuers_ttl)
            unknown = (f"{number:08x}-0000-4000-8000-000000000000" for number in range(64))
            waiting = [
                asyncio.ensure_future(verify_token(of_entra(one, provider.signing_key), settings))
                for one in unknown
            ]
            await asyncio.sleep(0.01)
            try:
                return (await verify_token(token, settings)).iss
            finally:
                gate.set()
                await asyncio.gather(*waiting, return_exceptions=True)

        assert entra(TENANT) == asyncio.run(flood())

    def test_the_key_set_is_fetched_once(self, provider: FakeIssuer) -> None:
        """For any number of tenants, and no key object is made twice."""
        tenants = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(50)]
        settings = self.settings(provider, lambda _: True)

        for tenant in tenants:
            assert entra(tenant) == outcome(of_entra(tenant, provider.signing_key), settings)

        caches = settings.server.key_caches.values()
        assert 1 == len(provider.requests)
        assert 1 == len({id(cache.response.keys) for cache in caches if cache.response})

    @pytest.mark.parametrize(
        "issuer",
        [
            f"{LOGIN}/common/v2.0",
            f"{LOGIN}/{{tenantid}}/v2.0",
            f"{LOGIN}/{TENANT}/v2.0/",
            f"{LOGIN}/{TENANT.upper()}/v2.0",
            f"https://sts.windows.net/{TENANT}/",
            f"https://evil.example/{TENANT}/v2.0",
            f"{LOGIN}/{TENANT}",
            f"{TENANT}",
            entra("00000000-0000-0000-0000-000000000000"),
        ],
    )
    def test_what_is_no_tenants_issuer(self, provider: FakeIssuer, issuer: str) -> None:
        """It is refused, whatever the function would say, and nothing is fetched."""
        settings = self.settings(provider, lambda _: True)

        assert "claim_foreign" == outcome(of_entra(TENANT, iss=issuer), settings)
        assert [] == provider.requests

    @pytest.mark.parametrize("answer", [1, "yes", None, False])
    def test_only_true_accepts(self, provider: FakeIssuer, answer: Any) -> None:
        """A function that forgets its `return` accepts nothing."""
        settings = self.settings(provider, lambda _: answer)

        assert "claim_foreign" == outcome(of_entra(TENANT), settings)

    def test_a_key_of_one_issuer_is_of_no_other(self, provider: FakeIssuer) -> None:
        """The set says for which issuer a key is: that of personal accounts signs for no tenant."""
        common, personal, broken = (SigningKey.generate("RS256") for _ in range(3))
        provider.publish({**common.jwk, "issuer": entra("{tenantid}")})
        provider.publish({**personal.jwk, "issuer": entra(PERSONAL)})
        provider.publish({**broken.jwk, "issuer": 5})
        provider.publish("no key")

        def said(key: SigningKey) -> list[str]:
            settings = self.settings(provider, [TENANT, PERSONAL])
            return [outcome(of_entra(tenant, key), settings) for tenant in (TENANT, PERSONAL)]

        assert {
            "common": [entra(TENANT), entra(PERSONAL)],
            "personal": ["unknown_key", entra(PERSONAL)],
            "broken": ["unknown_key", "unknown_key"],
        } == {
            name: said(key)
            for name, key in (("common", common), ("personal", personal), ("broken", broken))
        }

    def test_an_outage(self, provider: FakeIssuer) -> None:
        """503 for tenants without keys; the provider is not asked for each of them."""
        settings = self.settings(provider, [TENANT, OTHER])

        with provider.outage():
            for tenant in (TENANT, OTHER):
                token = of_entra(tenant, provider.signing_key)
                assert "keys_unavailable" == outcome(token, settings)

    def test_a_new_key(self, provider: FakeIssuer) -> None:
        """It is found at once, by asking anew; not for each token that names an unknown one."""
        settings = self.settings(provider, [TENANT])
        assert entra(TENANT) == outcome(of_entra(TENANT, provider.signing_key), settings)
        provider.rotate()

        assert entra(TENANT) == outcome(of_entra(TENANT, provider.signing_key), settings)
        unknown = [of_entra(TENANT, SigningKey.generate("RS256")) for _ in range(3)]
        said = [outcome(token, settings) for token in unknown]
        assert ["unknown_key", "keys_unavailable", "keys_unavailable"] == said
        assert 3 == len(provider.requests)

    @pytest.mark.parametrize(("status", "longest"), [(503, 7_200), (404, 3_600)])
    def test_a_withdrawn_key(self, provider: FakeIssuer, status: int, longest: int) -> None:
        """It is accepted as long as at another issuer, in an outage or not."""
        provider.cache_control = "max-age=86400"
        lookup = self.lookup(provider, [TENANT])
        settings = JWTSettings(issuers=lookup, token_cache_size=0)
        token = of_entra(TENANT, provider.signing_key)
        clock = VirtualClock(lookup._common.clock())
        lookup._common.clock = clock
        age = 0
        with asyncio.Runner() as runner, suppress(AuthError):
            while True:
                runner.run(verify_token(token, settings))
                runner.run(landed(lookup._common))
                provider.jwks = Answer(status=status)
                clock.advance(200)
                age += 200

        assert longest - 600 <= age <= longest

    def test_values_that_cannot_work(self) -> None:
        """They are refused at start."""
        with pytest.raises(ConfigurationError):
            EntraTenants("api", [TENANT], algorithm="HS256")

    @pytest.mark.parametrize(
        "tenants",
        [
            "common",
            "contoso.onmicrosoft.com",
            "",
            [],
            [TENANT, TENANT[1:]],
            f"{0:08}-0000-0000-0000-{0:012}",
        ],
    )
    def test_tenants_that_no_token_is_of(self, tenants: str | list[str]) -> None:
        """A name or a slip would refuse every token, and say nothing."""
        with pytest.raises(ConfigurationError, match="ids of tenants"):
            EntraTenants("api", tenants)

    @pytest.mark.parametrize(
        ("tenants", "claim", "refused"),
        [
            pytest.param([TENANT, OTHER], "email", True, id="mail"),
            pytest.param(lambda _: True, "upn", True, id="function"),
            pytest.param([TENANT], "email", False, id="one-tenant"),
            pytest.param([TENANT, OTHER], "oid", False, id="oid"),
            pytest.param([TENANT, OTHER], "sub", False, id="sub"),
        ],
    )
    def test_attack_a_mail_address_of_another_tenant(
        self, tenants: Any, claim: str, *, refused: bool
    ) -> None:
        """Administrators choose it, so with one prefix for all it names no user (nOAuth)."""
        reason = None
        try:
            EntraTenants("api", tenants, user_id_claim=claim, user_id_prefix="")
        except ConfigurationError as error:
            reason = error.reason

        assert ("prefix_twice" if refused else None) == reason
        EntraTenants("api", tenants, user_id_claim=claim)  # ids begin with the tenant's issuer


# Two people with one `sub`


def table(**prefixes: str | None) -> JWTSettings:
    return JWTSettings(
        issuers={
            name: settings_of(f"https://{name}", user_id_prefix=prefix)
            for name, prefix in prefixes.items()
        }
    )


def users_of(settings: JWTSettings) -> TestClient:
    app = protect(FastAPI(), settings)

    @app.get("/me")
    async def me(
        request: Request,
        user_id: Annotated[str, Depends(current_user_id)],
        user: Annotated[CurrentUser, Depends()],
    ) -> list[str | None]:
        assert user_id == user.id == request.state.user_id == request.user.identity
        return [user_id, user.issuer]

    return TestClient(app)


class TestUserIds:
    def test_one_sub_at_two_issuers(self) -> None:
        """They are two people everywhere."""
        client = users_of(table(staff=None, customers=None))

        assert {
            "staff": ["staff|boss", "https://staff"],
            "customers": ["customers|boss", "https://customers"],
        } == {
            name: client.get("/me", headers=bearer(minted(f"https://{name}", sub="boss"))).json()
            for name in ("staff", "customers")
        }

    def test_a_prefix_of_ones_own(self) -> None:
        """Also none at all, for the issuer that was there first."""
        client = users_of(table(staff="", customers="c:"))

        assert ["boss", "c:boss"] == [
            client.get("/me", headers=bearer(minted(f"https://{name}", sub="boss"))).json()[0]
            for name in ("staff", "customers")
        ]

    @pytest.mark.parametrize("sub", ["c:boss", "c:"])
    def test_attack_a_user_who_takes_the_prefix_of_another_issuer(self, sub: str) -> None:
        """A user who can choose a name at one issuer is no user of the other."""
        settings = table(staff="", customers="c:")

        assert "claim_invalid" == outcome(minted("https://staff", sub=sub), settings)
        assert "https://customers" == outcome(minted("https://customers", sub=sub), settings)

    @pytest.mark.parametrize(
        ("prefix", "sub", "status"),
        [
            pytest.param("", "https://customers|boss", 401, id="url"),
            pytest.param("", "HTTPS://customers|boss", 401, id="upper-case"),
            pytest.param("", "accounts.google.com|boss", 401, id="host"),
            pytest.param("", "kubernetes/serviceaccount|boss", 401, id="path"),
            pytest.param("", "urn:customers|boss", 401, id="urn"),
            pytest.param("", "https://customers|bo|ss", 401, id="two-marks"),
            pytest.param("https://customers", "|boss", 401, id="its-prefix-is-an-iss"),
            pytest.param("https://customers/", "a|boss", 401, id="its-prefix-begins-an-iss"),
            pytest.param("https://customers|", "boss", 401, id="its-prefix-is-anothers"),
            pytest.param("c:", "urn:customers|boss", 401, id="behind-its-own-prefix"),
            pytest.param("", "boss", 200, id="plain"),
            pytest.param("", "auth0|65f1", 200, id="auth0"),
            pytest.param("c:", "auth0|65f1", 200, id="auth0-behind-its-own-prefix"),
            pytest.param("", "https://alice.example/#me", 200, id="url-of-a-user"),
            pytest.param("c|", "https://alice.example/#me", 200, id="url-behind-its-own-prefix"),
            pytest.param(f"{CUSTOMER}|", "boss", 200, id="default-prefix-in-words"),
            pytest.param(None, "https://customers|boss", 200, id="default-prefix"),
        ],
    )
    def test_attack_a_user_who_takes_the_prefix_of_an_issuer_that_a_function_gives(
        self, prefix: str | None, sub: str, status: int
    ) -> None:
        """By default that is its `iss` and `|`, so no issuer with its own prefix has such ids."""
        lookup = Lookup(user_id_prefix=prefix)
        client = users_of(JWTSettings(issuers=lookup))

        answer = client.get("/me", headers=bearer(minted(CUSTOMER, sub=sub)))

        assert status == answer.status_code

    def test_attack_a_user_who_takes_the_prefix_of_an_issuer_with_a_bare_name(self) -> None:
        """No rule tells its name from that of a connection, but it is known once it was used."""
        client = users_of(
            JWTSettings(
                issuers=lambda it: settings_of(it, user_id_prefix="" if it == "a" else None)
            )
        )

        assert [200, 401, 200] == [
            client.get("/me", headers=bearer(minted(issuer, sub=sub))).status_code
            for issuer, sub in (("legacy", "boss"), ("a", "legacy|boss"), ("a", "auth0|boss"))
        ]

    def test_two_issuers_with_one_prefix(self) -> None:
        """They are refused at the start."""
        with pytest.raises(ConfigurationError) as refused:
            table(staff="x", customers="x")
        assert "prefix_twice" == refused.value.reason

    def test_many_issuers(self) -> None:
        """Their prefixes are compared in less time than their settings are built in."""
        began = time.process_time()
        issuers = {str(it): settings_of(f"https://{it}") for it in range(2000)}
        built = time.process_time()

        JWTSettings(issuers=issuers)

        assert time.process_time() - built < built - began

    def test_one_issuer_has_none(self) -> None:
        """Unless its settings say so."""
        plain = users_of(JWTSettings(secret_key=SECRET, audience="api"))
        with_one = users_of(JWTSettings(secret_key=SECRET, audience="api", user_id_prefix="a:"))
        headers = bearer(minted("https://a", sub="boss"))

        assert ["boss", "a:boss"] == [
            client.get("/me", headers=headers).json()[0] for client in (plain, with_one)
        ]

    def test_a_token_is_issued_for_the_id_at_the_issuer(self) -> None:
        """The prefix is put before it when it is read."""
        settings = table(staff=None)
        token = create_access_token("boss", settings=settings)

        assert "staff|boss" == users_of(settings).get("/me", headers=bearer(token)).json()[0]

    @pytest.mark.parametrize(
        ("issuers", "issuer", "user_id"),
        [
            ({"staff": settings_of(STAFF, user_id_claim="oid")}, STAFF, "staff|boss"),
            (Lookup(user_id_claim="oid"), CUSTOMER, f"{CUSTOMER}|boss"),
        ],
        ids=["table", "function"],
    )
    def test_claims_that_replace_those_of_a_token(
        self, issuers: Any, issuer: str, user_id: str
    ) -> None:
        """An override of `get_claims` names the issuer, and so the user's claim and prefix."""
        client = users_of(JWTSettings(issuers=issuers))
        app: Any = client.app
        app.dependency_overrides[get_claims] = lambda: {"oid": "boss", "iss": issuer}

        assert user_id == client.get("/me").json()[0]
