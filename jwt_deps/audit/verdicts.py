"""Who may call this route? Judged by what runs for it, never by what its name suggests."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from inspect import unwrap
from typing import Any

from fastapi.security.base import SecurityBase

from jwt_deps.credentials import TokenDependency, get_token
from jwt_deps.dependencies import current_user_id, is_optional
from jwt_deps.guards import JWTGuard, asked_of
from jwt_deps.identities import CurrentUser
from jwt_deps.inventory import Served
from jwt_deps.openapi import known_settings
from jwt_deps.paths import PathPatterns
from jwt_deps._fastapi import dependants
from jwt_deps.routes import Match, RouteGuard, is_marked_public
from jwt_deps.settings import JWTSettings
from jwt_deps.step_up import RequireACR

__all__ = ["Judgement", "Verdict", "asks_by_itself", "judge", "judge_itself"]

# What refuses an anonymous caller even where `validate=False` lets one in.
_NEVER_ANONYMOUS: tuple[Any, ...] = (current_user_id, unwrap(CurrentUser))
_FEW = 3


class Verdict(StrEnum):
    """Whether a route needs a token."""

    GUARDED = "guarded"
    PUBLIC = "public"
    UNGUARDED = "unguarded"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its grounds.

    Attributes:
        verdict: whether a token is needed.
        why: what makes it so.
        settings: in short, under which settings a token is checked; empty for none.
        scopes: the scopes needed, `a|b` where any of them will do.
        requires: what else is needed, `acr=phr|phrh` and `max_age=300` for a user's
            authentication (RFC 9470), `dpop=required` for a proof of the sender (RFC 9449).
    """

    verdict: Verdict
    why: str
    settings: str = ""
    scopes: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


def judge(served: Served, allowed: PathPatterns) -> Judgement:
    """Judge a route by what runs for it, and by the mounts that a request has to pass.

    Args:
        served: the route.
        allowed: the paths of routes that may be open although nothing in the code says so.
    """
    own = judge_itself(served)
    doors = [
        (door, judged)
        for door in served.doors
        if not door.decides_itself and (judged := judge_itself(door)).verdict is Verdict.GUARDED
    ]
    passed = [judged for _, judged in doors]
    scopes = _united(*(judged.scopes for judged in (*passed, own)))
    requires = _united(*(judged.requires for judged in (*passed, own)))
    if own.verdict is Verdict.GUARDED:
        return Judgement(Verdict.GUARDED, own.why, own.settings, scopes, requires)
    if doors:
        door, judged = doors[-1]
        why = f"the mount {door.path!r} is guarded"
        return Judgement(Verdict.GUARDED, why, judged.settings, scopes, requires)
    if own.verdict is Verdict.UNGUARDED and allowed.match(served.path):
        return Judgement(Verdict.PUBLIC, "allowed by name in this audit")
    return own


def judge_itself(served: Served) -> Judgement:
    """Judge a route by what runs for it alone, as its own application describes it."""
    match = served.match
    guard = next((one for one in reversed(match.guards) if isinstance(one, JWTGuard)), None)
    over = guard or _guard_at_doors(served)
    settings = known_settings(served.app, over)
    open_ = None if guard is None else _left_out(served, guard, settings)
    validates = settings is None or settings.validate
    asked = list(_asked(served, guard, open_))
    proofs = [call for call, scopes in asked if _proves(call, scopes, validates=validates)]
    if proofs:
        why = "its guard" if guard in proofs else f"its own dependency {proofs[0].__name__}"
        scopes = _united(*(_shown(*one) for one in asked))
        requires = _united(*(_required(call) for call, _ in asked), _proofs(settings))
        return Judgement(Verdict.GUARDED, why, _label(over, settings), scopes, requires)
    if open_ is not None:
        return Judgement(Verdict.PUBLIC, open_)
    if guard is None:
        return _without_guard(served)
    if all(call is not guard for call, _ in asked):
        return Judgement(Verdict.UNGUARDED, "dependency_overrides replaces its guard")
    return Judgement(Verdict.UNGUARDED, "its guard refuses nobody: JWT_VALIDATE is false")


def _asked(
    served: Served, guard: JWTGuard | None, open_: str | None
) -> Iterator[tuple[TokenDependency[Any], tuple[str, ...]]]:
    """What asks for a token, with which scopes: the guard, unless it leaves the route out."""
    match = served.match
    if match.dependant is not None:
        asked = asked_of(match, served.app.dependency_overrides)
    elif guard is not None:  # it stands around the route, where no override reaches
        asked = iter([(guard, ()), *asked_of(match)])
    else:
        return  # FastAPI runs no dependencies for it, and nothing stands around it
    guards: tuple[object, ...] = match.guards
    for call, scopes in asked:
        if not any(one is call for one in guards):
            yield call, scopes
        elif guard is not None and open_ is None and (call is guard or scopes):
            yield guard, scopes  # what an outer guard asks for, the innermost one decides


def _guard_at_doors(served: Served) -> JWTGuard | None:
    """The guard under whose settings a route without one of its own is."""
    over = (guard for door in reversed(served.doors) for guard in reversed(door.match.guards))
    return next((guard for guard in over if isinstance(guard, JWTGuard)), None)


def _proves(call: TokenDependency[Any], scopes: tuple[str, ...], *, validates: bool) -> bool:
    """Whether nobody gets past a dependency without a token that verifies."""
    if scopes or call in _NEVER_ANONYMOUS or isinstance(call, RequireACR):
        return True
    return validates and call is not get_token  # which only says where the token is


def _shown(call: TokenDependency[Any], scopes: tuple[str, ...]) -> tuple[str, ...]:
    if getattr(call, "any_of", False):
        others = scopes[: len(scopes) - len(call.scopes)]
        return (*others, "|".join(call.scopes))
    return scopes


def _required(call: TokenDependency[Any]) -> tuple[str, ...]:
    """What a dependency needs beside scopes."""
    if not isinstance(call, RequireACR):
        return ()
    acr = (f"acr={'|'.join(call.acr_values)}",) if call.acr_values else ()
    return acr if call.max_age is None else (*acr, f"max_age={call.max_age}")


def _proofs(settings: JWTSettings | None) -> tuple[str, ...]:
    """What the sender of a token has to prove."""
    policy = None if settings is None else settings.senders
    if policy is None:
        return ()
    dpop = (f"dpop={policy.dpop}",) if policy.with_dpop else ()
    return (*dpop, f"client_certificate={policy.certificate}") if policy.with_certificates else dpop


def _united(*parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for part in parts for one in part))


def _left_out(served: Served, guard: JWTGuard, settings: JWTSettings | None) -> str | None:
    """What makes a guard leave a route out, if it does."""
    match = served.match
    if guard.excludes(match):
        if match.documentation:
            return "a page that FastAPI adds itself"
        if is_marked_public(match.endpoint):
            return "@public"
        pattern = _pattern(guard.patterns, match.paths)
        return "exclude names the endpoint" if pattern is None else f"exclude {pattern!r}"
    if settings is not None:
        pattern = _pattern(settings.excluded, match.paths)
        if pattern is not None:
            return f"excluded_route_paths {pattern!r}"
    return None


def _pattern(patterns: PathPatterns, paths: tuple[str, ...]) -> str | None:
    each = (pattern for pattern in patterns.patterns)
    return next((one for one in each if any(map(PathPatterns([one]).match, paths))), None)


def asks_by_itself(served: Served) -> bool:
    """Whether a route asks for a credential beside its guards: then a lock on it is its own."""
    return any(_schemes(_calls(served)))


def _without_guard(served: Served) -> Judgement:
    match, calls = served.match, _calls(served)
    if match.documentation:
        return Judgement(Verdict.PUBLIC, "a page that FastAPI adds itself")
    if is_marked_public(match.endpoint):
        return Judgement(Verdict.PUBLIC, "@public")
    if any(map(is_optional, calls)):
        return Judgement(Verdict.PUBLIC, "a token is optional")
    return Judgement(Verdict.UNGUARDED, _why_open(match, calls))


def _why_open(match: Match, calls: list[Any]) -> str:
    if any(isinstance(unwrap(one.dependency), TokenDependency) for one in match.dependencies):
        return "FastAPI runs no dependencies for it, and a guard is needed"
    if get_token in calls:
        return "get_token does not verify what it finds"
    foreign = [call for call in _schemes(calls) if not isinstance(call, TokenDependency)]
    if foreign:
        return f"{type(foreign[0]).__name__} is asked, which is not of jwt-deps"
    return "no guard stands over it"


def _calls(served: Served) -> list[Any]:
    """What FastAPI calls before the endpoint."""
    root = served.match.dependant
    replaced = served.app.dependency_overrides
    return [] if root is None else [unwrap(node.call) for node in dependants(root, replaced)]


def _schemes(calls: list[Any]) -> list[SecurityBase]:
    schemes = (call for call in calls if isinstance(call, SecurityBase))
    return [call for call in schemes if not isinstance(call, RouteGuard)]


def _label(guard: JWTGuard | None, settings: JWTSettings | None) -> str:
    """Name settings by what distinguishes them, none of which is secret."""
    source = "JWT_*" if guard is None or guard.settings is None else "own"
    if settings is None:
        return source
    algorithms = sorted(settings.accepted_algorithms)
    told = "/".join(algorithms) if len(algorithms) <= _FEW else f"{len(algorithms)} algorithms"
    issuers = settings.issuer if settings.issuers is None else list(settings.issuers)
    named = [issuers] if isinstance(issuers, str) else list(issuers or ())
    audience = [f"for {', '.join(settings.accepted_audiences)}"] * bool(settings.accepted_audiences)
    return " ".join([f"{source}: {told}", *map(str, named), *audience])
