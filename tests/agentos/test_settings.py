"""Every setting has its effect on a real AgentOS, over HTTP."""

import re
import time

import pytest

from tests.minting import OTHER_SECRET, SECRET, Key, pair

from .clients import (
    DAY,
    EXPIRED,
    MISSING,
    NOBODY,
    AgentOSClient,
    bearer,
    good,
    invalid,
    name,
    refused,
    token,
)
from .configurations import AUDIENCE, ISSUER, WEAK_SECRET
from .conftest import Logs, Serving

READ = "Insufficient permissions. Required scope(s): agents:read"
RUN = "Insufficient permissions. Required scope(s): agents:run"
UNVERIFIED = invalid("signature verification failed")


@pytest.fixture
def cookie(serving: Serving) -> AgentOSClient:
    return serving("cookie")


@pytest.fixture
def both(serving: Serving) -> AgentOSClient:
    return serving("both")


@pytest.fixture
def pem(serving: Serving) -> AgentOSClient:
    return serving("pem")


@pytest.fixture
def jwks(serving: Serving) -> AgentOSClient:
    return serving("jwks")


@pytest.fixture
def rotation(serving: Serving) -> AgentOSClient:
    return serving("rotation")


@pytest.fixture
def anonymous(serving: Serving) -> AgentOSClient:
    return serving("anonymous")


def in_cookie(encoded: str, cookie_name: str = "agents_token") -> dict[str, str]:
    return {"Cookie": f"{cookie_name}={encoded}"}


class TestTokenSourceCookie:
    """`token_source`, `cookie_name`, `excluded_route_paths`, `leeway` of none."""

    def test_token_in_the_cookie(self, cookie: AgentOSClient) -> None:
        """The cookie is enough, to read and to run."""
        user = name("user")
        headers = in_cookie(token(sub=user, session_id="here"))

        assert cookie.answer(headers)["user_id"] == user
        assert cookie.sessions(headers) == ["here"]

    def test_header_is_not_read(self, cookie: AgentOSClient) -> None:
        """A good token in the header is as good as none."""
        expected = (401, "JWT cookie 'agents_token' missing", 'Bearer realm="api"')

        assert refused(cookie.run(good())) == expected
        assert refused(cookie.run(in_cookie(token(), "access_token"))) == expected

    @pytest.mark.parametrize(
        ("browser", "status"),
        [
            pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="own-page"),
            pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="other-site"),
            pytest.param({"Origin": "https://evil.example"}, 403, id="other-origin"),
        ],
    )
    def test_other_sites_cannot_use_the_cookie(
        self, cookie: AgentOSClient, browser: dict[str, str], status: int
    ) -> None:
        """A run changes something, so only the user's own page may start it."""
        assert cookie.run(in_cookie(token()) | browser).status_code == status

    @pytest.mark.parametrize("headers", [{}, in_cookie("nonsense")], ids=["nothing", "nonsense"])
    def test_excluded_route_paths(self, cookie: AgentOSClient, headers: dict[str, str]) -> None:
        """What the environment names is open beside what the application names."""
        for path in ("/agents", "/teams", "/health"):
            assert cookie.http.get(path, headers=headers).status_code == 200
        for path in ("/agents/assistant/runs", "/workflows", "/sessions"):
            assert cookie.http.get(path, headers=headers).status_code == 401

    def test_excluded_route_asks_for_no_scope(self, cookie: AgentOSClient) -> None:
        """As with agno's middleware, nothing is known of the request."""
        assert cookie.http.get("/agents/assistant").status_code == 200

    def test_no_leeway(self, cookie: AgentOSClient) -> None:
        """A token that expired a moment ago has expired."""
        assert refused(cookie.run(in_cookie(token(exp=time.time() - 1)))) == EXPIRED


class TestTokenSourceBoth:
    """`token_source`, `token_header_key`, `require_exp`, `max_token_size`, `leeway`."""

    HEADER = "X-Agents-Token"
    COOKIE = "access_token"
    MISSING = (
        401,
        "JWT token missing from both X-Agents-Token header and 'access_token' cookie",
        'Bearer realm="api"',
    )

    def test_header_of_another_name(self, both: AgentOSClient) -> None:
        """In `Bearer <token>` form whatever its name."""
        assert both.answer({self.HEADER: f"Bearer {token(sub='ann')}"})["user_id"] == "ann"
        status, detail, _ = refused(both.run({self.HEADER: token()}))
        assert (401, f"Invalid token: the {self.HEADER} header has no Bearer token") == (
            status,
            detail,
        )

    def test_cookie_when_the_header_is_absent(self, both: AgentOSClient) -> None:
        """An `Authorization` header is none here."""
        headers = in_cookie(token(sub="ann"), self.COOKIE)

        assert both.answer(headers)["user_id"] == "ann"
        assert both.answer(headers | good(sub="bob"))["user_id"] == "ann"

    def test_header_wins(self, both: AgentOSClient) -> None:
        """Even if it is bad and the cookie is good."""
        headers = in_cookie(token(sub="ann"), self.COOKIE)

        assert (
            both.answer(headers | {self.HEADER: f"Bearer {token(sub='bob')}"})["user_id"] == "bob"
        )
        bad = headers | {self.HEADER: f"Bearer {token(OTHER_SECRET)}"}
        assert refused(both.run(bad)) == UNVERIFIED

    def test_neither(self, both: AgentOSClient) -> None:
        """Both places are named."""
        assert refused(both.run(good())) == self.MISSING

    def test_expiry_is_not_required(self, both: AgentOSClient) -> None:
        """A token without one is good; one that has one is bound by it."""
        assert both.run(in_cookie(token(exp=None), self.COOKIE)).status_code == 200
        late = in_cookie(token(exp=time.time() - DAY), self.COOKIE)
        assert refused(both.run(late)) == EXPIRED

    def test_leeway(self, both: AgentOSClient) -> None:
        """Two minutes here, ten seconds by default, for both ends."""
        now = time.time()

        for late_or_early in (token(exp=now - 60), token(nbf=now + 60)):
            assert both.run(in_cookie(late_or_early, self.COOKIE)).status_code == 200

    def test_default_leeway(self, agents: AgentOSClient) -> None:
        """Ten seconds."""
        assert agents.run(bearer(token(exp=time.time() - 5))).status_code == 200
        assert refused(agents.run(bearer(token(exp=time.time() - 60)))) == EXPIRED

    def test_max_token_size(self, both: AgentOSClient, agents: AgentOSClient) -> None:
        """What is longer is not looked at, and would be good elsewhere."""
        long = token(padding="x" * 800)

        expected = invalid("it is longer than this service reads")
        assert refused(both.run(in_cookie(long, self.COOKIE))) == expected
        assert agents.run(bearer(long)).status_code == 200


class TestPublicKeyInPem:
    """`secret_key` as PEM, `algorithm`, `issuer`, `audience`, both id claims."""

    @staticmethod
    def signed(key: Key | None = None, algorithm: str = "RS256", /, **members: object) -> str:
        stated = {"iss": ISSUER, "aud": AUDIENCE, "account": {"id": "ann"}, **members}
        return token(key or pair("RSA"), algorithm, **stated)

    def test_user_and_session_from_other_claims(self, pem: AgentOSClient) -> None:
        """A dotted path reaches into a claim, and an integer is an identifier too."""
        user = int(time.time_ns())
        headers = bearer(self.signed(account={"id": user}, sid="sid-1", session_id="not-this"))

        seen = pem.answer(headers, user_id="evil", session_id="evil")

        assert (seen["user_id"], seen["session_id"]) == (str(user), "sid-1")
        assert pem.sessions(headers) == ["sid-1"]

    def test_subject_is_not_the_user_here(self, pem: AgentOSClient) -> None:
        """Without the claim that the settings name there is no user."""
        assert refused(pem.run(bearer(self.signed(account=None)))) == NOBODY

    def test_reserved_user_in_another_claim(self, pem: AgentOSClient) -> None:
        """Whatever claim names the user, AgentOS's own names are refused."""
        response = pem.run(bearer(self.signed(account={"id": "sa:deploy"})))

        assert (response.status_code, response.json()["detail"]) == (401, "Invalid token subject")

    @pytest.mark.parametrize("audience", [[AUDIENCE, "other"], "https://more.example"])
    def test_one_audience_of_several(self, pem: AgentOSClient, audience: str | list[str]) -> None:
        """One that is accepted is enough, on either side."""
        assert pem.run(bearer(self.signed(aud=audience, sid=name("s")))).status_code == 200

    @pytest.mark.parametrize(
        ("members", "description"),
        [
            pytest.param({"iss": None}, "it names no issuer", id="no-issuer"),
            pytest.param({"iss": f"{ISSUER}/"}, "its issuer is not accepted", id="issuer"),
            pytest.param({"aud": None}, "it names no audience", id="no-audience"),
            pytest.param({"aud": "x"}, "it is meant for another service", id="audience"),
        ],
    )
    def test_issuer_and_audience(
        self, pem: AgentOSClient, members: dict[str, object], description: str
    ) -> None:
        """Required as soon as they are configured, and compared exactly."""
        assert refused(pem.run(bearer(self.signed(**members)))) == invalid(description)

    def test_other_key(self, pem: AgentOSClient) -> None:
        """The key of another issuer is none."""
        assert refused(pem.run(bearer(self.signed(pair("RSA", "other"))))) == UNVERIFIED

    def test_public_key_as_secret(self, pem: AgentOSClient) -> None:
        """The public key is public, so nothing signed with it is valid."""
        forged = self.signed(pair("RSA").public_pem, "HS256")

        assert refused(pem.run(bearer(forged))) == invalid("its algorithm is not accepted")


class TestJWKSet:
    """`jwks_file`, several `algorithm`s, `scopes_claim`."""

    @staticmethod
    def signed(
        kid: str | None, kind: str = "RSA", algorithm: str = "RS256", /, **members: object
    ) -> str:
        return token(pair(kind), algorithm, kid, **members)

    @pytest.mark.parametrize(
        ("kid", "kind", "algorithm"),
        [
            pytest.param("rsa", "RSA", "RS256", id="RS256"),
            pytest.param("ec", "P-256", "ES256", id="ES256"),
            pytest.param(None, "P-256", "ES256", id="no-kid"),
        ],
    )
    def test_key_is_chosen_by_kid_and_algorithm(
        self, jwks: AgentOSClient, kid: str | None, kind: str, algorithm: str
    ) -> None:
        """Two kinds of keys serve side by side."""
        headers = bearer(self.signed(kid, kind, algorithm, session_id=name("s")))

        assert jwks.answer(headers)["user_id"] == "alice"

    @pytest.mark.parametrize(
        ("kid", "kind", "algorithm", "description"),
        [
            pytest.param("new", "RSA", "RS256", "no key is configured for it", id="unknown"),
            pytest.param("ec", "RSA", "RS256", "no key is configured for it", id="other-kind"),
            pytest.param("rsa", "RSA", "RS512", "its algorithm is not accepted", id="algorithm"),
        ],
    )
    def test_key_that_is_not_there(
        self, jwks: AgentOSClient, kid: str, kind: str, algorithm: str, description: str
    ) -> None:
        """Where a `kid` names a key no other key is tried."""
        assert refused(jwks.run(bearer(self.signed(kid, kind, algorithm)))) == invalid(description)

    @pytest.mark.parametrize(
        "permissions", [["agent_os:admin"], "agents:read agent_os:admin"], ids=["list", "string"]
    )
    def test_scopes_claim_makes_an_administrator(
        self, jwks: AgentOSClient, permissions: str | list[str]
    ) -> None:
        """The scope that AgentOS knows administrators by lets them see all sessions."""
        session = name("session")
        jwks.answer(bearer(self.signed("rsa", sub=name("user"), session_id=session)))
        administrator = bearer(self.signed("rsa", sub="root", permissions=permissions))

        assert session in jwks.sessions(administrator, limit="1000")

    def test_other_scopes_do_not(self, jwks: AgentOSClient) -> None:
        """Neither a lesser scope nor the right one in another claim."""
        session = name("session")
        jwks.answer(bearer(self.signed("rsa", sub=name("user"), session_id=session)))

        for members in ({"permissions": ["sessions:read"]}, {"scope": "agent_os:admin"}):
            user = bearer(self.signed("rsa", sub=name("user"), **members))
            assert jwks.sessions(user) == []

    def test_scopes_are_in_the_claim_of_the_middleware(self, agents: AgentOSClient) -> None:
        """By default in `scopes`, and in no other."""
        session = name("session")
        agents.answer(good(sub=name("user"), session_id=session))

        assert agents.sessions(good(sub=name("root"), scope="agent_os:admin")) == []
        assert session in agents.sessions(good(scopes=["agent_os:admin"]), limit="1000")


class TestRotation:
    """`verification_keys`, several `algorithm`s, and what AgentOS's middleware left behind."""

    @pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET], ids=["old", "new"])
    @pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
    def test_old_and_new_key(self, rotation: AgentOSClient, secret: str, algorithm: str) -> None:
        """Both are good, with every algorithm that is accepted."""
        headers = bearer(token(secret, algorithm, session_id=name("session")))

        assert rotation.answer(headers)["user_id"] == "alice"

    def test_third_key(self, rotation: AgentOSClient) -> None:
        """A key that is not listed is none, nor is the middleware's."""
        for secret in ("x" * 64, "left-over-from-the-middleware"):
            assert refused(rotation.run(bearer(token(secret)))) == UNVERIFIED

    def test_algorithm_that_is_not_listed(self, rotation: AgentOSClient) -> None:
        """The same secret with another hash."""
        response = rotation.run(bearer(token(SECRET, "HS384")))

        assert refused(response) == invalid("its algorithm is not accepted")

    def test_security_key_of_agentos_opens_nothing(self, rotation: AgentOSClient) -> None:
        """`OS_SECURITY_KEY` in the environment neither lets in nor keeps out."""
        assert rotation.run(bearer("left-over-too")).status_code == 401
        assert refused(rotation.http.get("/agents")) == MISSING


class TestValidateIsFalse:
    """`validate`: no request is refused for its token, and no unverified claim is used."""

    UNPROVEN = (
        pytest.param({}, id="nothing"),
        pytest.param(bearer("nonsense"), id="nonsense"),
        pytest.param(bearer(token(exp=1)), id="expired"),
        pytest.param(bearer(token(OTHER_SECRET)), id="other-key"),
    )

    def test_good_token_is_injected(self, anonymous: AgentOSClient) -> None:
        """As if nothing had been switched off."""
        user, session = name("user"), name("session")
        headers = good(sub=user, session_id=session)

        assert anonymous.answer(headers)["user_id"] == user
        assert anonymous.sessions(headers) == [session]

    @pytest.mark.parametrize("headers", UNPROVEN)
    def test_other_requests_go_on_anonymous(
        self, anonymous: AgentOSClient, headers: dict[str, str]
    ) -> None:
        """They have no scopes, so that AgentOS refuses all that needs one."""
        assert anonymous.http.get("/agents", headers=headers).json()["detail"] == READ
        assert anonymous.run(headers).json()["detail"] == RUN

    @pytest.mark.parametrize("headers", UNPROVEN)
    def test_others_cannot_say_who_they_are(
        self, anonymous: AgentOSClient, headers: dict[str, str]
    ) -> None:
        """Neither by a form field nor by the query."""
        user, session = name("user"), name("session")
        anonymous.answer(good(sub=user, session_id=session))

        assert anonymous.run(headers, user_id=user, session_id=session).status_code == 403
        assert anonymous.session(headers, session, user_id=user).status_code == 403
        assert anonymous.session(headers, session, "DELETE", user_id=user).status_code == 403
        assert anonymous.sessions(good(sub=user)) == [session]

    def test_warning(self, log_of: Logs) -> None:
        """The start logs a warning."""
        assert log_of("anonymous", re.compile("JWT_VALIDATE is false"))


class TestConfigurationThatCannotWork:
    """A server that does not start says what to set, and no secret."""

    def test_weak_secret(self, log_of: Logs) -> None:
        """An HMAC secret shorter than its hash."""
        log = log_of("weak", re.compile(r"ConfigurationError: .*JWT_SECRET_KEY"))

        assert WEAK_SECRET not in log
        assert "Uvicorn running" not in log

    def test_exclusion_of_nothing(self, log_of: Logs) -> None:
        """An exclusion names a route that does not exist."""
        log = log_of("misspelt", re.compile("Application startup failed"))

        assert re.search("ConfigurationError: .*'/helth'", log)
        assert "Uvicorn running" not in log
