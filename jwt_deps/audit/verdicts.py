"""Determine whether a route needs a token, from the dependencies that run for it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi.security.base import SecurityBase

from jwt_deps.settings import PREFIX, IssuerSettings, JWTSettings, PathPatterns
from jwt_deps.web import (
    MatchedRoute,
    Requirement,
    RouteGuard,
    Served,
    TokenDependency,
    dependants,
    get_token,
    is_marked_public,
    is_optional,
    token_dependency,
)

_MAX_NAMED = 3  # algorithms that are listed by name
# Which tokens are accepted, and what they grant.
_OF_AN_ISSUER = (
    *("profile", "verify_audience", "audience_claim", "leeway", "require_exp", "required_claims"),
    *("max_token_age", "token_types", "allow_numeric_sub", "allow_missing_kid", "scopes_claim"),
    *("roles_claim", "admin_scope", "user_id_claim", "user_id_prefix"),
)
_OF_A_SERVICE = (
    *("token_source", "token_header_key", "token_header_scheme", "token_getter"),
    *("cookie_name", "cookie_requests"),
)


class Verdict(StrEnum):
    """Whether a route needs a token."""

    GUARDED = "guarded"
    """A request without a valid token is refused."""
    PUBLIC = "public"
    """It needs no token, and the code or the audit's `allow` says so."""
    UNGUARDED = "unguarded"
    """It needs no token, and nothing declares it public."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reasons.

    Attributes:
        verdict: whether a token is needed.
        why: the reason for the verdict.
        settings: a summary of the settings that check the token; empty without any.
        scopes: the required scopes; `a|b` where one of them is enough.
        requires: further requirements: `role=admin|editor`, `claim=plan=team`, `check=...`,
            `acr=phr|phrh` and `max_age=300` (RFC 9470), `dpop=required` (RFC 9449),
            `client_certificate=required` (RFC 8705).
    """

    verdict: Verdict
    why: str
    settings: str = ""
    scopes: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


def judge(served: Served, allowed: PathPatterns) -> Judgement:
    """Determine the verdict of a route from its own dependencies and those of the mounts above.

    Requirements add up: those of a mount apply to everything below it.

    Args:
        served: the route.
        allowed: the paths of routes that may be unguarded.
    """
    own = judge_itself(served)
    judged = [(mount, judge_itself(mount)) for mount in served.mounts]
    passed = [(mount, one) for mount, one in judged if one.verdict is Verdict.GUARDED]
    scopes = _united(*(one.scopes for _, one in passed), own.scopes)
    requires = _united(*(one.requires for _, one in passed), own.requires)
    if own.verdict is Verdict.GUARDED:
        return Judgement(Verdict.GUARDED, own.why, own.settings, scopes, requires)
    if passed:
        mount, one = passed[-1]
        why = f"the mount {mount.path!r} is guarded"
        return Judgement(Verdict.GUARDED, why, one.settings, scopes, requires)
    if own.verdict is Verdict.UNGUARDED and allowed.match(served.path):
        return Judgement(Verdict.PUBLIC, "allowed by name in this audit")
    return own


def judge_itself(served: Served) -> Judgement:
    """Determine the verdict of a route from its own dependencies, without mounts above."""
    guard, settings = served.guard, served.settings
    public = None if guard is None else _excluded_by(served, guard, settings)
    validates = settings is None or settings.validate
    asked: list[tuple[Any, tuple[str, ...]]] = list(served.asked(is_public=public is not None))
    proofs = [call for call, scopes in asked if _proves(call, scopes, validates=validates)]
    if proofs:
        why = _why_guarded(served, proofs)
        scopes = _united(*(_shown(*one) for one in asked))
        requires = _united(*(_required(call) for call, _ in asked), _proofs(settings))
        return Judgement(Verdict.GUARDED, why, _label(served, asked), scopes, requires)
    if public is not None:
        return Judgement(Verdict.PUBLIC, public)
    if guard in {call for call, _ in asked}:
        prefix = PREFIX if settings is None else settings.env_prefix
        why = f"its guard refuses no request: {prefix}VALIDATE is false"
        return Judgement(Verdict.UNGUARDED, why)
    if served.match.guards:
        return Judgement(Verdict.UNGUARDED, "dependency_overrides replaces its guard")
    return _without_guard(served)


def _why_guarded(served: Served, proofs: list[Any]) -> str:
    if served.guard in proofs:
        return "its guard"
    if proofs[0] in served.match.guards:
        return "the scopes that an outer guard requires"
    return f"its own dependency {proofs[0].__name__}"


def _proves(call: TokenDependency[Any], scopes: tuple[str, ...], *, validates: bool) -> bool:
    """Whether a dependency refuses every request without a token that verifies."""
    if call is get_token:  # which only finds the token
        return bool(scopes)
    return validates or bool(scopes) or call.refuses_anonymous


def _shown(call: TokenDependency[Any], scopes: tuple[str, ...]) -> tuple[str, ...]:
    if getattr(call, "any_of", False):
        others = scopes[: len(scopes) - len(call.scopes)]
        return (*others, "|".join(call.scopes))
    return scopes


def _required(call: TokenDependency[Any]) -> tuple[str, ...]:
    """Return what a dependency requires besides scopes."""
    return call.needed if isinstance(call, Requirement) else ()


def _proofs(settings: JWTSettings | None) -> tuple[str, ...]:
    """Return the sender constraints of the settings."""
    policy = None if settings is None else settings.server.sender_policy
    if policy is None:
        return ()
    dpop = (f"dpop={policy.dpop}",) if policy.with_dpop else ()
    return (*dpop, f"client_certificate={policy.certificate}") if policy.with_certificates else dpop


def _united(*parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for part in parts for one in part))


def _excluded_by(served: Served, guard: RouteGuard, settings: JWTSettings | None) -> str | None:
    """Return the reason for which a guard excludes a route; `None` if it does not."""
    match = served.match
    if guard.excludes(match):
        if match.documentation:
            return "a page that FastAPI adds itself"
        if is_marked_public(match.endpoint):
            return "@public"
        pattern = _pattern(guard.patterns, match.paths)
        return "exclude names the endpoint" if pattern is None else f"exclude {pattern!r}"
    if settings is not None:
        pattern = _pattern(settings.server.excluded, match.paths)
        if pattern is not None:
            return f"excluded_route_paths {pattern!r}"
    return None


def _pattern(patterns: PathPatterns, paths: tuple[str, ...]) -> str | None:
    each = (pattern for pattern in patterns.patterns)
    return next((one for one in each if any(map(PathPatterns([one]).match, paths))), None)


def asks_by_itself(served: Served) -> bool:
    """Whether a route has security schemes besides its guards, which OpenAPI shows as a lock."""
    return any(_schemes(_calls(served)))


def takes_tokens(served: Served) -> bool:
    """Whether a dependency of this package runs for a route, one that needs no token included."""
    return any(isinstance(it, TokenDependency) or is_optional(it) for it in _calls(served))


def _without_guard(served: Served) -> Judgement:
    match, calls = served.match, _calls(served)
    if match.documentation:
        return Judgement(Verdict.PUBLIC, "a page that FastAPI adds itself")
    if is_marked_public(match.endpoint):
        return Judgement(Verdict.PUBLIC, "@public")
    if any(map(is_optional, calls)):
        return Judgement(Verdict.PUBLIC, "a token is optional")
    return Judgement(Verdict.UNGUARDED, served.open_because or _why_open(match, calls))


def _why_open(match: MatchedRoute, calls: list[Any]) -> str:
    ours = (one.dependency for one in match.dependencies if one.dependency is not None)
    if any(token_dependency(call) is not None for call in ours):
        return "FastAPI runs no dependencies for it, so it needs a guard"
    if get_token in calls:
        return "get_token does not verify what it finds"
    foreign = [call for call in _schemes(calls) if not isinstance(call, TokenDependency)]
    if foreign:
        return f"{type(foreign[0]).__name__} is used, which is not part of jwt-deps"
    return "no guard applies to it"


def _calls(served: Served) -> list[Any]:
    """Return the callables of the route's dependencies."""
    root = served.match.dependant
    replaced = served.app.dependency_overrides
    nodes = () if root is None else dependants(root, replaced)
    return [token_dependency(node.call) or node.call for node in nodes]


def _schemes(calls: list[Any]) -> list[SecurityBase]:
    schemes = (call for call in calls if isinstance(call, SecurityBase))
    return [call for call in schemes if not isinstance(call, RouteGuard)]


def name_of(call: Any) -> str:
    """Return module and name of a function, or of an object's class; empty for `None`."""
    if call is None:
        return ""
    named = call if hasattr(call, "__qualname__") else type(call)
    return f"{named.__module__}.{named.__qualname__}"


def _label(served: Served, asked: Iterable[tuple[Any, tuple[str, ...]]]) -> str:
    """Summarize the settings of a route, and of guards that its endpoint has as parameters."""
    guard, _ = served.settings_from
    known = (guard, *served.match.guards)
    besides = [it for it, _ in asked if isinstance(it, RouteGuard) and it not in known]
    return " and ".join([
        _summary(guard, served.settings),
        *(_summary(it, it.settings) for it in besides),
    ])  # fmt: skip


def _summary(guard: RouteGuard | None, settings: JWTSettings | None) -> str:
    """Summarize settings; nothing of keys."""
    source = "JWT_*" if guard is None or guard.settings is None else "own"
    if settings is None:
        return source
    algorithms = sorted(settings.server.accepted.algorithms)
    summary = (
        "/".join(algorithms) if len(algorithms) <= _MAX_NAMED else f"{len(algorithms)} algorithms"
    )
    several = settings.server.accepted.named
    issuers = settings.issuer if several is None else list(several)
    if settings.server.accepted.tenants is not None:
        issuers = f"issuers of {name_of(settings.issuers)}"
    named = [issuers] if isinstance(issuers, str) else list(issuers or ())
    audience = [f"for {', '.join(settings.accepted_audiences)}"] * bool(settings.accepted_audiences)
    of_issuers = {"": settings} if several is None else {f"{it}.": several[it] for it in several}
    changed = [one for it in of_issuers for one in _changed(_OF_AN_ISSUER, of_issuers[it], it)]
    others = [f"or {_shown_credential(one)}" for one in settings.server.credentials]
    return " ".join(
        [
            f"{source}: {summary}",
            *map(str, named),
            *audience,
            *changed,
            *_changed(_OF_A_SERVICE, settings),
            *others,
        ]
    )


def _changed(names: Iterable[str], settings: IssuerSettings, of: str = "") -> Iterator[str]:
    """Yield the settings that do not have their defaults."""
    fields = type(settings).model_fields
    for name in names:
        value = getattr(settings, name)
        if value != fields[name].get_default(call_default_factory=True):
            yield f"{of}{name}={_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    if callable(value):
        return name_of(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown_credential(credential: Any) -> str:
    # The repr of another one may have an address, which is never the same twice.
    is_ours = any(it.__module__.partition(".")[0] == "jwt_deps" for it in type(credential).__mro__)
    return repr(credential) if is_ours else name_of(credential)
