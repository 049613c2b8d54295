"""Verified claims: read-only, and without values in `repr`."""

import hmac
import secrets
from collections.abc import Iterator, Mapping
from inspect import Parameter, Signature
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, Self

from pydantic_core import SchemaSerializer, core_schema

from jwt_deps.errors import ConfigurationError
from jwt_deps.jose import value_at

_DIGEST_KEY = secrets.token_bytes(32)


def digest_of(value: object) -> str:
    """A digest for `repr`: other values have another one, and it says nothing about them.

    Caches of functions (fastapi-cache2, aiocache) take the `repr` of arguments for their key: if
    it were the same for all users, one would get what was cached for another. The key of the digest
    is this process's own.
    """
    return hmac.digest(_DIGEST_KEY, ascii(value).encode(), "sha256").hex()[:16]


class ClaimMapping(Mapping[str, Any]):
    """A read-only mapping of claim names to JSON values.

    Arrays and objects are copied whenever they are read, so one request cannot change what
    another one sees. `repr()` shows names and a digest, and no values.
    """

    __slots__ = ("_members",)

    #: How FastAPI writes one that an endpoint returns.
    __pydantic_serializer__: ClassVar = SchemaSerializer(
        core_schema.any_schema(serialization=core_schema.plain_serializer_function_ser_schema(dict))
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: object) -> NoReturn:
        """Refuse to be a parameter or a body: what a token says must never come from the client."""
        raise ConfigurationError(
            "claims_as_input",
            "Claims come from a verified token, never from the request: write "
            "Annotated[Claims, Depends(get_claims)], and annotate an endpoint that returns them "
            "with Mapping[str, Any].",
        )

    def __init__(self, members: Mapping[str, Any], /) -> None:
        self._members = {name: _copy(value) for name, value in members.items()}

    def __getitem__(self, name: str) -> Any:
        return _copy(self._members[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __repr__(self) -> str:
        # Names that are no texts are in no token, and may be in claims of another credential.
        names = ", ".join(sorted(map(str, self._members))) or "nothing"
        digest = digest_of(sorted(map(repr, self._members.items())))
        return f"<{type(self).__name__} with {names}, {digest}>"

    def __hash__(self) -> int:
        # Equal mappings have equal names, and equal values where those are no containers.
        containers = (dict, list)
        return hash(
            frozenset(
                (name, None if isinstance(value, containers) else value)
                for name, value in self._members.items()
            )
        )

    def view(self) -> Mapping[str, Any]:
        """The claims without a copy, for checks: arrays and objects in it are the cache's own."""
        return MappingProxyType(self._members)

    def at(self, path: str) -> Any:
        """The value of a claim, or of a member of one by a dotted path; `None` when absent.

        A claim whose own name has dots in it (`https://api.example.com/user`) comes first.
        """
        found = value_at(self._members, path)
        return found if type(found) is str else _copy(found)


# `Depends(Claims)`, for `Depends(get_claims)`, would read them from the request: with this
# signature FastAPI meets the refusal above when the route is registered.
ClaimMapping.__signature__ = Signature(  # type: ignore[attr-defined]
    [Parameter("members", Parameter.POSITIONAL_ONLY, annotation=ClaimMapping)]
)


class Claims(ClaimMapping):
    """The claims of a verified token; the registered ones (RFC 7519 §4.1) are attributes too.

    `Claims({"sub": "alice"})` builds one for a test.
    """

    __slots__ = ("_max_age",)

    _max_age: float | None

    def __init__(self, members: Mapping[str, Any], /) -> None:
        super().__init__(members)
        self._max_age = None

    @classmethod
    def of(cls, members: dict[str, Any], max_age: float | None = None) -> Self:
        """Make them of a dict without a copy; the caller keeps no reference to the dict.

        `max_age` is `max_token_age`, by which `iat` has been checked.
        """
        made = cls.__new__(cls)
        made._members, made._max_age = members, max_age  # noqa: SLF001 - its own
        return made

    @property
    def expires_at(self) -> float | None:
        """When the token expires, in seconds since the epoch, without `leeway`.

        It is `exp`, or `max_token_age` after `iat` where that is earlier; `None` without either.
        """
        times = [self.exp, None if self._max_age is None else self._members["iat"] + self._max_age]
        return min((it for it in times if it is not None), default=None)

    @property
    def iss(self) -> str | None:
        """Issuer."""
        return self._members.get("iss")

    @property
    def sub(self) -> str | None:
        """Subject."""
        return self._members.get("sub")

    @property
    def aud(self) -> str | list[str] | None:
        """Audience."""
        audience: str | list[str] | None = _copy(self._members.get("aud"))
        return audience

    @property
    def exp(self) -> float | None:
        """Expiry, in seconds since the epoch."""
        return self._members.get("exp")

    @property
    def nbf(self) -> float | None:
        """Beginning of validity, in seconds since the epoch."""
        return self._members.get("nbf")

    @property
    def iat(self) -> float | None:
        """Time of issue, in seconds since the epoch."""
        return self._members.get("iat")

    @property
    def jti(self) -> str | None:
        """Identifier of the token."""
        return self._members.get("jti")


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
