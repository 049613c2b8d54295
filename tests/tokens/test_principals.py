"""Who is calling, and with what: the settings' names applied to verified claims."""

from collections.abc import Callable
from typing import Any

import pytest

from jwt_deps.errors import ClaimError, Reason
from jwt_deps.settings import JWTSettings, UserPrefix
from jwt_deps.tokens import ClaimMapping, Claims, Principal
from jwt_deps.tokens.principal import scopes_of, user_id_of
from tests.minting import SECRET

Members = dict[str, Any]


def state_of(principal: Principal) -> dict[str, Any]:
    """Return what `request.state` has of a principal."""
    state: dict[str, Any] = {}
    principal.write_state(state)
    return state


def _settings(**values: Any) -> JWTSettings:
    return JWTSettings(secret_key=SECRET, **values)


MISSING, INVALID = Reason.CLAIM_MISSING, Reason.CLAIM_INVALID
USER_IDS: dict[str, tuple[object, object]] = {
    "string": ("alice", "alice"),
    "integer": (42, "42"),
    "zero": (0, "0"),
    "negative": (-1, "-1"),
    "large": (10**40, "1" + "0" * 40),
    "absent": (..., MISSING),
    "null": (None, MISSING),
    "empty": ("", MISSING),
    "blank": (" \n", MISSING),
    "true": (True, INVALID),
    "false": (False, INVALID),
    "fraction": (1.0, INVALID),
    "list": (["alice"], INVALID),
    "empty-list": ([], INVALID),
    "object": ({"id": "alice"}, INVALID),
}


def _session_id(claims: Claims, settings: JWTSettings) -> str | None:
    return Principal(claims, settings).session_id


def _roles(claims: Claims, settings: JWTSettings) -> frozenset[str]:
    return Principal(claims, settings).roles


def _dependencies(claims: Claims, settings: JWTSettings) -> ClaimMapping:
    return Principal(claims, settings).dependencies


def _session_state(claims: Claims, settings: JWTSettings) -> ClaimMapping:
    return Principal(claims, settings).session_state


def _found(read: Callable[[Claims, JWTSettings], object], name: str, value: object) -> object:
    """What is read from a claim with that value, or why it is refused."""
    try:
        return read(Claims({} if value is ... else {name: value}), _settings())
    except ClaimError as error:
        refused = (error.claim, error.reason)
    assert refused[0] == name
    return refused[1]


class TestUserId:
    @pytest.mark.parametrize(("value", "found"), USER_IDS.values(), ids=USER_IDS)
    def test_found(self, value: object, found: object) -> None:
        """A string, or an integer's text; a token that names no user, or a list, is refused."""
        assert found == _found(user_id_of, "sub", value)

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

    def test_the_error_names_the_claim_of_the_settings(self) -> None:
        """The error has the configured name, and no value."""
        with pytest.raises(ClaimError, match=r"its user\.id is not an identifier") as refused:
            user_id_of(Claims({"user": {"id": ["alice"]}}), _settings(user_id_claim="user.id"))

        assert refused.value.claim == "user.id"


class TestSessionId:
    @pytest.mark.parametrize(
        ("value", "found"),
        [
            *(("s1", "s1"), (7, "7"), (..., None), (None, None), ("", None)),
            *((value, INVALID) for value in (True, 1.5, ["s1"], {"id": "s1"})),
        ],
        ids=repr,
    )
    def test_found(self, value: object, found: object) -> None:
        """A string, or `None` where the token names none; anything else is refused."""
        assert found == _found(_session_id, "session_id", value)

    def test_claim(self) -> None:
        """The settings name the claim, which may be nested."""
        claims = Claims({"session": {"id": "s1"}})

        assert _session_id(claims, _settings(session_id_claim="session.id")) == "s1"


SCOPES: dict[str, tuple[Members, set[str]]] = {
    "one": ({"scope": "read"}, {"read"}),
    "two": ({"scope": "read write"}, {"read", "write"}),
    "spaces": ({"scope": "  read   write "}, {"read", "write"}),
    "twice": ({"scope": "read read"}, {"read"}),
    "empty": ({"scope": ""}, set()),
    "a-comma-divides-nothing": ({"scope": "read,write"}, {"read,write"}),
    "list": ({"scope": ["read", "write"]}, {"read", "write"}),
    "empty-list": ({"scope": []}, set()),
    "a-space-in-a-list-divides-nothing": ({"scope": ["a b"]}, {"a b"}),
    "mixed-list": ({"scope": ["read", 1]}, set()),
    "nested-list": ({"scope": [["read"]]}, set()),
    "object": ({"scope": {"read": True}}, set()),
    "number": ({"scope": 1}, set()),
    "true": ({"scope": True}, set()),
    "null": ({"scope": None}, set()),
    "absent": ({}, set()),
    "an-empty-scope-does-not-fall-back": ({"scope": "", "scp": "admin"}, set()),
}


class TestScopes:
    @pytest.mark.parametrize(("members", "scopes"), SCOPES.values(), ids=SCOPES)
    def test_shapes(self, members: Members, scopes: set[str]) -> None:
        """A string divided by spaces, or a list of strings, grants; no other shape does."""
        assert scopes_of(Claims(members), _settings()) == scopes

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

        for read, setting in ((scopes_of, "scopes_claim"), (_roles, "roles_claim")):
            assert {"read", "write", "admin", "editors", "staff", "owner"} == read(
                Claims(members), _settings(**{setting: names})
            )

    def test_an_absent_claim_does_not_fall_back(self) -> None:
        """Where the settings name another claim, `scope` grants nothing."""
        assert scopes_of(Claims({"scope": "admin"}), _settings(scopes_claim="scp")) == frozenset()


@pytest.mark.parametrize(
    ("select", "parameter"),
    [
        pytest.param(_dependencies, "dependencies_claims", id="dependencies"),
        pytest.param(_session_state, "session_state_claims", id="session-state"),
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
        scopes_claim="scope", dependencies_claims=["tenant", "plan"], session_state_claims=["cart"]
    )

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

        state = state_of(Principal(claims, self.SETTINGS, prefix=UserPrefix("staff|", ())))

        assert {
            "claims": claims,
            "authenticated": True,
            **dict.fromkeys(["token", "user_id", "session_id", "audience"]),
            "scopes": [],
            "dependencies": {},
            "session_state": {},
        } == state

    @pytest.mark.parametrize("audience", [["a"], {"a": ["b"]}], ids=["list", "object"])
    def test_an_audience_of_any_form_is_the_requests_own(self, audience: Any) -> None:
        """Where it is not checked, an issuer may write an object there."""
        principal = Principal(Claims({"aud": audience}), self.SETTINGS, token="t")

        state_of(principal)["audience"].clear()

        assert audience == state_of(principal)["audience"] == principal.claims["aud"]

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
