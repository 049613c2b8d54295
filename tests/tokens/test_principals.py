"""Who is calling, and with what: the settings' names applied to verified claims."""

from collections.abc import Callable
from typing import Any

import pytest

from jwt_deps.errors import ClaimError, Reason
from jwt_deps.settings import JWTSettings
from jwt_deps.tokens import ClaimMapping, Claims, Principal, dependencies_of, session_state_of
from jwt_deps.tokens.principal import roles_of, scopes_of, session_id_of, state_of, user_id_of
from tests.minting import SECRET

Members = dict[str, Any]


def _settings(**values: Any) -> JWTSettings:
    return JWTSettings(secret_key=SECRET, **values)


class TestUserId:
    @pytest.mark.parametrize(
        ("members", "user_id"),
        [
            pytest.param({"sub": "alice"}, "alice", id="string"),
            pytest.param({"sub": 42}, "42", id="integer"),
            pytest.param({"sub": 0}, "0", id="zero"),
            pytest.param({"sub": -1}, "-1", id="negative"),
            pytest.param({"sub": 10**40}, "1" + "0" * 40, id="large"),
        ],
    )
    def test_found(self, members: Members, user_id: str) -> None:
        """The id is a string; an integer claim becomes one."""
        assert user_id_of(Claims(members), _settings()) == user_id

    @pytest.mark.parametrize(
        ("name", "members"),
        [
            pytest.param("uid", {"sub": "bob", "uid": "alice"}, id="another-claim"),
            pytest.param("user.id", {"user": {"id": "alice"}}, id="path"),
            pytest.param("https://x.example/uid", {"https://x.example/uid": "alice"}, id="url"),
            pytest.param("user.id", {"user.id": "alice", "user": {"id": "bob"}}, id="name-first"),
        ],
    )
    def test_claim(self, name: str, members: Members) -> None:
        """The settings name the claim, which may be nested."""
        assert user_id_of(Claims(members), _settings(user_id_claim=name)) == "alice"

    @pytest.mark.parametrize(
        ("reason", "members"),
        [
            pytest.param(Reason.CLAIM_MISSING, {}, id="absent"),
            pytest.param(Reason.CLAIM_MISSING, {"sub": None}, id="null"),
            pytest.param(Reason.CLAIM_MISSING, {"sub": ""}, id="empty"),
            pytest.param(Reason.CLAIM_MISSING, {"sub": " \n"}, id="blank"),
            pytest.param(Reason.CLAIM_INVALID, {"sub": True}, id="true"),
            pytest.param(Reason.CLAIM_INVALID, {"sub": False}, id="false"),
            pytest.param(Reason.CLAIM_INVALID, {"sub": 1.0}, id="fraction"),
            pytest.param(Reason.CLAIM_INVALID, {"sub": ["alice"]}, id="list"),
            pytest.param(Reason.CLAIM_INVALID, {"sub": []}, id="empty-list"),
            pytest.param(Reason.CLAIM_INVALID, {"sub": {"id": "alice"}}, id="object"),
        ],
    )
    def test_refused(self, reason: Reason, members: Members) -> None:
        """A token that names no user, or by something that is no identifier, is refused."""
        with pytest.raises(ClaimError) as refused:
            user_id_of(Claims(members), _settings())

        assert (refused.value.reason, refused.value.claim) == (reason, "sub")

    def test_the_error_names_the_claim_of_the_settings(self) -> None:
        """The error has the configured name, and no value."""
        with pytest.raises(ClaimError, match=r"its user\.id is not an identifier") as refused:
            user_id_of(Claims({"user": {"id": ["alice"]}}), _settings(user_id_claim="user.id"))

        assert refused.value.claim == "user.id"


class TestSessionId:
    @pytest.mark.parametrize(
        ("members", "session_id"),
        [
            pytest.param({"session_id": "s1"}, "s1", id="string"),
            pytest.param({"session_id": 7}, "7", id="integer"),
            pytest.param({}, None, id="absent"),
            pytest.param({"session_id": None}, None, id="null"),
            pytest.param({"session_id": ""}, None, id="empty"),
        ],
    )
    def test_found(self, members: Members, session_id: str | None) -> None:
        """The id is a string, or `None` where the token names none."""
        assert session_id_of(Claims(members), _settings()) == session_id

    def test_claim(self) -> None:
        """The settings name the claim, which may be nested."""
        claims = Claims({"session": {"id": "s1"}})

        assert session_id_of(claims, _settings(session_id_claim="session.id")) == "s1"

    @pytest.mark.parametrize("value", [True, 1.5, ["s1"], {"id": "s1"}], ids=repr)
    def test_refused(self, value: object) -> None:
        """Anything else is refused, never passed on."""
        with pytest.raises(ClaimError) as refused:
            session_id_of(Claims({"session_id": value}), _settings())

        assert (refused.value.reason, refused.value.claim) == (Reason.CLAIM_INVALID, "session_id")


class TestScopes:
    @pytest.mark.parametrize(
        ("value", "scopes"),
        [
            pytest.param("read", {"read"}, id="one"),
            pytest.param("read write", {"read", "write"}, id="two"),
            pytest.param("  read   write ", {"read", "write"}, id="spaces"),
            pytest.param("read read", {"read"}, id="twice"),
            pytest.param("", set(), id="empty"),
            pytest.param("read,write", {"read,write"}, id="a-comma-divides-nothing"),
            pytest.param(["read", "write"], {"read", "write"}, id="list"),
            pytest.param([], set(), id="empty-list"),
            pytest.param(["a b"], {"a b"}, id="a-space-in-a-list-divides-nothing"),
            pytest.param(["read", 1], set(), id="mixed-list"),
            pytest.param([["read"]], set(), id="nested-list"),
            pytest.param({"read": True}, set(), id="object"),
            pytest.param(1, set(), id="number"),
            pytest.param(True, set(), id="true"),
            pytest.param(None, set(), id="null"),
        ],
    )
    def test_shapes(self, value: object, scopes: set[str]) -> None:
        """A string divided by spaces, or a list of strings, grants; no other shape does."""
        assert scopes_of(Claims({"scope": value}), _settings()) == scopes

    def test_absent(self) -> None:
        """A token without the claim grants nothing."""
        assert scopes_of(Claims({}), _settings()) == frozenset()

    @pytest.mark.parametrize(
        ("name", "members"),
        [
            pytest.param("scp", {"scp": "read", "scope": "admin"}, id="another-claim"),
            pytest.param("realm.roles", {"realm": {"roles": ["read"]}}, id="path"),
            pytest.param("scope", {"scope": "read"}, id="the-registered-one-by-name"),
            pytest.param(None, {"scope": "read", "scp": "admin"}, id="unset-means-scope"),
            pytest.param(None, {"scp": ["read"]}, id="unset-and-without-scope-means-scp"),
            pytest.param(
                'api."com.example".roles',
                {"api": {"com.example": {"roles": ["read"]}}},
                id="quoted",
            ),
        ],
    )
    def test_claim(self, name: str | None, members: Members) -> None:
        """The settings name the claim; without a name it is the registered `scope`."""
        assert scopes_of(Claims(members), _settings(scopes_claim=name)) == {"read"}

    def test_several_claims_are_united(self) -> None:
        """Each in its own form; one that is absent, or of another form, adds nothing."""
        members = {
            "scp": "read write",
            "roles": ["admin"],
            "groups": [{"value": "editors", "display": "Editors"}, {"name": "staff"}],
            "org": {"roles": {"name": "owner"}},
            "odd": ["x", 7],
        }
        names = ["scp", "roles", "groups", "org.roles", "odd", "absent"]

        for read, setting in ((scopes_of, "scopes_claim"), (roles_of, "roles_claim")):
            assert {"read", "write", "admin", "editors", "staff", "owner"} == read(
                Claims(members), _settings(**{setting: names})
            )

    def test_an_empty_scope_does_not_fall_back(self) -> None:
        """The claim is there, and grants nothing: `scp` is not read."""
        assert scopes_of(Claims({"scope": "", "scp": "admin"}), _settings()) == frozenset()

    def test_an_absent_claim_does_not_fall_back(self) -> None:
        """Where the settings name another claim, `scope` grants nothing."""
        assert scopes_of(Claims({"scope": "admin"}), _settings(scopes_claim="scp")) == frozenset()


@pytest.mark.parametrize(
    ("select", "parameter"),
    [
        pytest.param(dependencies_of, "dependencies_claims", id="dependencies"),
        pytest.param(session_state_of, "session_state_claims", id="session-state"),
    ],
)
class TestSelections:
    CLAIMS = Claims({"a": 1, "b": [{"x": 1}], "c": {"d": False}, "n": None, "e": "", "sub": "s"})

    @pytest.mark.parametrize(
        ("names", "selected"),
        [
            pytest.param([], {}, id="none-named"),
            pytest.param(["a"], {"a": 1}, id="one"),
            pytest.param(["b", "a"], {"b": [{"x": 1}], "a": 1}, id="several"),
            pytest.param(["a", "z"], {"a": 1}, id="as-far-as-there"),
            pytest.param(["n"], {}, id="null-is-nothing"),
            pytest.param(["e", "c.d"], {"e": "", "c.d": False}, id="empty-and-false-are-something"),
            pytest.param(["c.d"], {"c.d": False}, id="path-keeps-its-name"),
        ],
    )
    def test_are_those_named(
        self,
        select: Callable[[Claims, JWTSettings], ClaimMapping],
        parameter: str,
        names: list[str],
        selected: Members,
    ) -> None:
        """The claims that the settings name are selected, as far as the token has them."""
        assert select(self.CLAIMS, _settings(**{parameter: names})) == selected

    def test_are_read_only(
        self, select: Callable[[Claims, JWTSettings], ClaimMapping], parameter: str
    ) -> None:
        """Changing what came out changes neither the selection nor the claims."""
        selection = select(self.CLAIMS, _settings(**{parameter: ["b"]}))

        selection["b"].append(2)

        assert (selection["b"], self.CLAIMS["b"]) == ([{"x": 1}], [{"x": 1}])


class TestState:
    """What the middleware puts on `request.state`, under its names and in its shapes."""

    SETTINGS = _settings(
        scopes_claim="scope",
        dependencies_claims=["tenant", "plan"],
        session_state_claims=["cart"],
    )

    def test_everything(self) -> None:
        """User, session, scopes, dependencies and session state are there under those names."""
        claims = Claims(
            {
                "sub": "alice",
                "session_id": 7,
                "scope": "b a",
                "tenant": "t",
                "cart": [1],
                "aud": ["x", "y"],
            }
        )

        assert state_of(Principal(claims, self.SETTINGS, token="t")) == {
            "claims": claims,
            "authenticated": True,
            "token": "t",
            "audience": ["x", "y"],
            "user_id": "alice",
            "session_id": "7",
            "scopes": ["a", "b"],
            "dependencies": {"tenant": "t"},
            "session_state": {"cart": [1]},
        }

    @pytest.mark.parametrize(
        "members",
        [
            pytest.param({}, id="nothing-claimed"),
            pytest.param(dict.fromkeys(["sub", "session_id", "scope", "tenant"]), id="nulls"),
            pytest.param({"sub": "", "session_id": "", "scope": ""}, id="empty"),
            pytest.param({"sub": [], "session_id": {}, "scope": 1}, id="of-other-types"),
        ],
    )
    def test_what_the_token_has_not_is_there_and_empty(self, members: Members) -> None:
        """A good token that names no user leaves a request authenticated, and without a user."""
        claims = Claims(members)

        state = state_of(Principal(claims, self.SETTINGS))

        assert {
            "claims": claims,
            "authenticated": True,
            **dict.fromkeys(["token", "user_id", "session_id", "audience"]),
            "scopes": [],
            "dependencies": {},
            "session_state": {},
        } == state

    def test_a_list_of_audiences_is_the_requests_own(self) -> None:
        """As any list."""
        principal = Principal(Claims({"aud": ["a"]}), self.SETTINGS, token="t")

        state_of(principal)["audience"].append("b")

        assert ["a"] == state_of(principal)["audience"]

    def test_a_session_that_is_asked_for_often_is_found_once(self) -> None:
        """One token comes many times."""
        principal = Principal(Claims({"session_id": "s"}), self.SETTINGS)

        assert ["s", "s"] == [principal.session_id for _ in range(2)]

    def test_without_names_of_claims_nothing_is_chosen(self) -> None:
        """Empty mappings, and what the lifespan put there stays."""
        state = {"dependencies": "own"}

        Principal(Claims({"tenant": "t"}), _settings(), token="t").write_state(state)

        assert {"dependencies": "own", "session_state": {}} == {
            name: state[name] for name in ("dependencies", "session_state")
        }

    def test_what_the_lifespan_put_there_stays(self) -> None:
        """Unless the token has such claims; only the token says which scopes there are."""
        state = {"dependencies": "own", "session_state": "own", "scopes": ["own"], "more": 1}

        Principal(Claims({"tenant": "t"}), self.SETTINGS, token="t").write_state(state)

        assert [{"tenant": "t"}, "own", [], 1] == [
            state[name] for name in ("dependencies", "session_state", "scopes", "more")
        ]

    def test_scopes_are_those_that_are_granted(self) -> None:
        """In the registered claim, where no setting names another."""
        assert ["read"] == state_of(Principal(Claims({"scope": "read"}), _settings()))["scopes"]
