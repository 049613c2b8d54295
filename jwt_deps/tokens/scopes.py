"""Whether granted scopes satisfy a scope that a route needs.

A scope is divided into segments at its colons.

    needed    agents:{agent_id}:run    `{name}` as a segment is the value of a path parameter
    granted   agents:*:run             `*` as a segment is any one segment
              agents:*                 and as the last one, behind others, one or more

The value of a path parameter is one segment, whatever is in it: a colon in it divides nothing, and
a `*` in it is a `*`.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from jwt_deps.errors import ConfigurationError

# RFC 6749 §3.3: scope-token.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_PARAMETER = re.compile(r"{([^{}]+)}")
_WILDCARD = "*"


def is_scope(text: str) -> bool:
    """Whether the text can be a scope (RFC 6749 §3.3)."""
    return _SCOPE.fullmatch(text) is not None


class All:
    """What `granted` returns to a token that grants all: it contains every id."""

    __slots__ = ()

    def __contains__(self, _: object) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, All)

    def __hash__(self) -> int:
        return hash(All)

    def __repr__(self) -> str:
        return "All()"


class Grants:
    """The scopes of a token, as they are compared; `admin_scope` satisfies every needed one."""

    __slots__ = ("_has_all", "_scopes", "_wildcards")

    def __init__(self, scopes: frozenset[str], admin_scope: str | None = None) -> None:
        self._scopes = scopes
        self._has_all = admin_scope in scopes
        divided = (scope.split(":") for scope in scopes if _WILDCARD in scope)
        self._wildcards = [it for it in divided if _WILDCARD in it and len(it) > 1]

    def has(self, needed: str, values: Mapping[str, Any]) -> bool:
        """Whether a needed scope is satisfied, with these values of the path parameters."""
        if "{" not in needed:
            if needed in self._scopes or self._has_all:
                return True
            return bool(self._wildcards) and self._covers(needed.split(":"))
        segments = _filled(needed, values)
        # A value with a colon in it is in no granted scope, in which that would be two segments.
        exact = ":".join(segments) in self._scopes and not any(":" in it for it in segments)
        return exact or self._has_all or self._covers(segments)

    def _covers(self, segments: list[str]) -> bool:
        return any(_fits(granted, segments) for granted in self._wildcards)

    def ids(self, resource: str, action: str) -> "frozenset[str] | All":
        """The values of `{id}` for which `resource:{id}:action` is satisfied."""
        if self._has_all:
            return All()
        before, after, found = resource.split(":"), action.split(":"), set[str]()
        for granted in (scope.split(":") for scope in self._scopes):
            at = min(len(before), len(granted) - 1)
            if _fits(granted, [*before, granted[at], *after]):
                found.add(granted[at])
        return All() if _WILDCARD in found else frozenset(found)


def _fits(granted: list[str], segments: list[str]) -> bool:
    """Whether a granted scope is the same, or covers it by wildcards."""
    is_open = granted[-1] == _WILDCARD and len(granted) > 1
    if len(granted) > len(segments) or (len(granted) < len(segments) and not is_open):
        return False
    alike = zip(granted, segments, strict=False)
    return all(one in (_WILDCARD, other) for one, other in alike)


@lru_cache(maxsize=1024)  # scopes that routes need, and never those of a token
def _divided(scope: str) -> tuple[tuple[str, str | None], ...]:
    """The segments, each with the name of the parameter that it is; `None` for no parameter."""
    found = ((it, _PARAMETER.fullmatch(it)) for it in scope.split(":"))
    return tuple((segment, match and match[1]) for segment, match in found)


def _filled(scope: str, values: Mapping[str, Any]) -> list[str]:
    filled = []
    for segment, name in _divided(scope):
        if name is not None and name not in values:
            raise ConfigurationError(
                "scope_parameter",
                f"A scope that this route needs names the path parameter {name!r}, which the route "
                "does not have: name one of its path, or require the scope on routes that have it.",
            )
        filled.append(segment if name is None else str(values[name]))
    return filled


def parameters_of(scope: str) -> tuple[str, ...]:
    """The path parameters that a needed scope names."""
    return tuple(name for _, name in _divided(scope) if name is not None)


def are_parameters(scope: str) -> bool:
    """Whether all braces in a scope enclose the name of a path parameter, as a whole segment."""
    return all(
        name is not None and name.isidentifier()
        for segment, name in _divided(scope)
        if not {"{", "}"}.isdisjoint(segment)
    )


def filled_scopes(scopes: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """The scopes that a client can ask its issuer for, to satisfy the needed ones, each once.

    Those whose parameters have no value, or one that no granted scope can have, are left out.
    """
    asked: dict[str, None] = {}
    for scope in scopes:
        names = parameters_of(scope)
        given = [str(values[name]) for name in names if name in values]
        if len(given) == len(names) and not any(it in {"", "*"} or ":" in it for it in given):
            asked[":".join(_filled(scope, values))] = None
    return list(asked)
