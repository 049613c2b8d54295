"""Verified claims cannot be changed, and no log shows them."""

import copy
import pickle
import re
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from jwt_deps.errors import ConfigurationError
from jwt_deps.tokens import ClaimMapping, Claims

MEMBERS: dict[str, Any] = {
    "sub": "alice",
    "roles": ["reader", {"name": "writer"}],
    "user": {"id": "u1", "teams": [{"id": 7}], "none": None},
    "https://api.example.com/user": "namespaced",
    "user.id": "spelled with a dot",
}


class TestMapping:
    def test_is_one(self) -> None:
        """Claims are a mapping of the standard library's kind."""
        assert isinstance(Claims({}), Mapping)

    def test_holds_what_it_was_given(self) -> None:
        """Claims compare equal to the dict that they were made of."""
        assert Claims(MEMBERS) == MEMBERS

    def test_reads_like_a_dict(self) -> None:
        """Length, membership, iteration, `get` and `[]` are those of a dict."""
        claims = Claims(MEMBERS)

        assert (len(claims), list(claims)) == (len(MEMBERS), list(MEMBERS))
        assert ("sub" in claims, "sud" in claims) == (True, False)
        assert (claims["sub"], claims.get("sud"), claims.get("sud", 1)) == ("alice", None, 1)

    def test_absent(self) -> None:
        """`[]` raises `KeyError` for a claim that is not there."""
        with pytest.raises(KeyError, match="sud"):
            Claims(MEMBERS)["sud"]

    def test_survives_pickle_and_copy(self) -> None:
        """Claims can be sent to another process, and copied."""
        claims = Claims(MEMBERS)

        copies = [pickle.loads(pickle.dumps(claims)), copy.copy(claims), copy.deepcopy(claims)]  # noqa: S301

        assert copies == [claims, claims, claims]


class TestReadOnly:
    @pytest.mark.parametrize("cls", [ClaimMapping, Claims])
    @pytest.mark.parametrize(
        "change",
        [
            pytest.param("claims['sub'] = 'mallory'", id="set-item"),
            pytest.param("del claims['sub']", id="delete-item"),
            pytest.param("claims.update(sub='mallory')", id="update"),
            pytest.param("claims.pop('sub')", id="pop"),
            pytest.param("claims.clear()", id="clear"),
            pytest.param("claims.setdefault('admin', True)", id="set-default"),
            pytest.param("claims |= {'sub': 'mallory'}", id="union"),
            pytest.param("claims.sub = 'mallory'", id="set-attribute"),
            pytest.param("claims.anything = 'mallory'", id="new-attribute"),
        ],
    )
    def test_nothing_changes_it(self, cls: type[ClaimMapping], change: str) -> None:
        """There is no way to set, add or remove a claim."""
        claims = cls(MEMBERS)

        with pytest.raises((TypeError, AttributeError)):
            exec(change, {"claims": claims})  # noqa: S102

        assert claims == MEMBERS

    def test_what_went_in_is_not_shared(self) -> None:
        """Changing what the claims were made of does not change them."""
        members = copy.deepcopy(MEMBERS)
        claims = Claims(members)

        members["roles"].append("admin")
        members["user"]["teams"][0]["id"] = 8
        members["sub"] = "mallory"

        assert claims == MEMBERS

    def test_what_comes_out_is_not_shared(self) -> None:
        """Changing what came out, by any way of reading, does not change the claims."""
        claims = Claims({**MEMBERS, "aud": ["api"]})

        claims["roles"].append("admin")
        claims["roles"][1]["name"] = "admin"
        claims.get("user", {})["id"] = "mallory"
        dict(claims.items())["user"]["teams"].clear()
        next(value for value in claims.values() if isinstance(value, list)).clear()
        claims.at("user.teams").append({"id": 8})
        claims.at("user")["id"] = "mallory"
        audience = claims.aud
        assert isinstance(audience, list)
        audience.append("admin")

        assert claims == {**MEMBERS, "aud": ["api"]}


class TestAttributes:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("iss", "https://issuer"),
            ("sub", "alice"),
            ("aud", "api"),
            ("aud", ["api", "admin"]),
            ("exp", 1_700_000_000),
            ("nbf", 1_700_000_000.5),
            ("iat", 0),
            ("jti", "a1"),
        ],
    )
    def test_registered_claim(self, name: str, value: object) -> None:
        """Each registered claim (RFC 7519 §4.1) is an attribute."""
        assert getattr(Claims({name: value}), name) == value

    @pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"])
    def test_absent(self, name: str) -> None:
        """The attribute of a claim that is not there is `None`."""
        assert getattr(Claims({}), name) is None


class TestAt:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            pytest.param("sub", "alice", id="claim"),
            pytest.param("roles", MEMBERS["roles"], id="list"),
            pytest.param("user.teams", [{"id": 7}], id="nested"),
            pytest.param("https://api.example.com/user", "namespaced", id="dots-in-the-name"),
            pytest.param("user.id", "spelled with a dot", id="own-name-comes-first"),
            pytest.param("user.none", None, id="null"),
            pytest.param("sud", None, id="absent"),
            pytest.param("user.sud", None, id="absent-inside"),
            pytest.param("user.teams.id", None, id="not-into-lists"),
            pytest.param("user.teams.0", None, id="no-indices"),
            pytest.param("sub.upper", None, id="not-into-strings"),
            pytest.param("user.none.x", None, id="not-into-null"),
            pytest.param("", None, id="empty"),
            pytest.param(".", None, id="dot"),
            pytest.param("user.", None, id="dot-behind"),
            pytest.param(".user", None, id="dot-ahead"),
        ],
    )
    def test_path(self, path: str, value: object) -> None:
        """A dotted path reaches into objects; a claim of that very name comes first."""
        assert Claims(MEMBERS).at(path) == value

    def test_empty_names_are_names(self) -> None:
        """A claim or member may be called by the empty string."""
        assert Claims({"": {"": 1}}).at(".") == 1


class TestShown:
    @pytest.mark.parametrize(
        ("claims", "shown"),
        [
            pytest.param(
                Claims({"sub": "alice", "exp": 1}), "<Claims with exp, sub, X>", id="claims"
            ),
            pytest.param(Claims({}), "<Claims with nothing, X>", id="empty"),
            pytest.param(ClaimMapping({"a": 1}), "<ClaimMapping with a, X>", id="mapping"),
            pytest.param(Claims({"sub": "\ud800"}), "<Claims with sub, X>", id="surrogate"),
            pytest.param(Claims({"own": {1, 2}}), "<Claims with own, X>", id="no-json"),
            pytest.param(
                Claims({"a": {1: 2, "b": 3}, 1: 2, None: 3}),  # type: ignore[dict-item]
                "<Claims with 1, None, a, X>",
                id="no-names",
            ),
        ],
    )
    def test_repr(self, claims: ClaimMapping, shown: str) -> None:
        """`repr` and `str` show names and a digest, and no values."""
        hidden = {re.sub("[0-9a-f]{16}", "X", text) for text in (repr(claims), f"{claims}")}

        assert {shown} == hidden
        assert repr(claims) == str(claims)

    def test_attack_one_repr_for_two_users(self) -> None:
        """A cache whose key is the `repr` of arguments would mix them up."""
        users: list[dict[str, Any]] = [
            {"sub": "alice"},
            {"sub": "bob"},
            {"sub": "alice", "n": [1]},
            {"sub": "1"},
            {"sub": 1},
        ]

        assert len({repr(Claims(members)) for members in users}) == len(users)
        assert repr(Claims({"a": 1, "b": 2})) == repr(Claims({"b": 2, "a": 1}))


class TestPydantic:
    @pytest.mark.parametrize("cls", [ClaimMapping, Claims])
    def test_cannot_be_read_from_a_request(self, cls: type[ClaimMapping]) -> None:
        """No parameter or body can have this type: it comes from a verified token only."""
        with pytest.raises(ConfigurationError, match=r"Claims, Depends\(get_claims\)\]"):
            TypeAdapter(cls)

    def test_is_written_as_an_object(self) -> None:
        """Claims that an endpoint returns are written as the JSON object that they are."""
        assert to_jsonable_python(Claims(MEMBERS)) == MEMBERS


@pytest.mark.parametrize("value", ["a", 1, None, ["a"], {"a": ["b"]}], ids=repr)
def test_equal_claims_have_one_hash(value: Any) -> None:
    """Whatever their values are."""
    assert hash(Claims({"x": value})) == hash(Claims({"x": value}))


@pytest.mark.parametrize("values", [(1, 2), ("a", "b")], ids=repr)
def test_claims_with_the_same_names_have_hashes_of_their_own(values: tuple[object, object]) -> None:
    """Most tokens of an issuer have the same names."""
    one, other = (hash(Claims({"x": it})) for it in values)

    assert one != other
