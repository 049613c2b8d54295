"""Who may call this route? Judged by what runs for it, never by what its name suggests."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi.security.base import SecurityBase

from jwt_deps.credentials import TokenDependency, get_token
from jwt_deps.dependencies import current_user_id, is_optional
from jwt_deps.guards import JWTGuard, asked_of
from jwt_deps.identities import CurrentUser
from jwt_deps.openapi import known_settings
from jwt_deps.paths import PathPatterns
from jwt_deps.routes import RouteGuard, dependants, is_marked_public
from jwt_deps.settings import JWTSettings

from .inventory import Served

__all__ = ["Judgement", "Verdict", "judge", "judge_itself"]

# What refuses an anonymous caller even where `validate=False` lets one in.
_NEVER_ANONYMOUS: tuple[Any, ...] = (current_user_id, CurrentUser)
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
    """

    verdict: Verdict
    why: str
    settings: str = ""
    scopes: tuple[str, ...] = ()


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
    needed = [scope for _, judged in doors for scope in judged.scopes]
    scopes = tuple(dict.fromkeys((*needed, *own.scopes)))
    if own.verdict is Verdict.GUARDED:
        return Judgement(Verdict.GUARDED, own.why, own.settings, scopes)
    if doors:
        door, judged = doors[-1]
        why = f"the mount {door.path!r} is guarded"
        return Judgement(Verdict.GUARDED, why, judged.settings, scopes)
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
    replaced = served.app.dependency_overrides
    validates = settings is None or settings.validate
    over_route: tuple[Any, ...] = match.guards
    scopes: list[str] = []
    proofs: list[str] = []
    for call, asked in asked_of(match, replaced):
        if call is guard and open_ is not None:
            continue
        outer = call is not guard and any(one is call for one in over_route)
        if outer:
            continue
        scopes.extend(_shown(call, asked))
        if _proves(call, asked, validates=validates):
            proofs.append("" if call is guard else call.__name__)
    if proofs:
        why = "its guard" if "" in proofs else f"its own dependency {proofs[0]}"
        needed = tuple(dict.fromkeys(scopes))
        return Judgement(Verdict.GUARDED, why, _label(over, settings), needed)
    if open_ is not None:
        return Judgement(Verdict.PUBLIC, open_)
    if guard is None:
        return _without_guard(served)
    if guard in replaced:
        return Judgement(Verdict.UNGUARDED, "dependency_overrides replaces its guard")
    return Judgement(Verdict.UNGUARDED, "its guard refuses nobody: JWT_VALIDATE is false")


def _guard_at_doors(served: Served) -> JWTGuard | None:
    """The guard under whose settings a route without one of its own is."""
    over = (guard for door in reversed(served.doors) for guard in reversed(door.match.guards))
    return next((guard for guard in over if isinstance(guard, JWTGuard)), None)


def _proves(call: TokenDependency[Any], scopes: tuple[str, ...], *, validates: bool) -> bool:
    """Whether nobody gets past a dependency without a token that verifies."""
    if scopes or call in _NEVER_ANONYMOUS:
        return True
    return validates and call is not get_token  # which only says where the token is


def _shown(call: TokenDependency[Any], scopes: tuple[str, ...]) -> tuple[str, ...]:
    if getattr(call, "any_of", False):
        others = scopes[: len(scopes) - len(call.scopes)]
        return (*others, "|".join(call.scopes))
    return scopes


def _left_out(served: Served, guard: JWTGuard, settings: JWTSettings | None) -> str | None:
    """What makes a guard leave a route out, if it does."""
    match = served.match
    if guard.leaves_out(match):
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


def _without_guard(served: Served) -> Judgement:
    match = served.match
    if match.documentation:
        return Judgement(Verdict.PUBLIC, "a page that FastAPI adds itself")
    if is_marked_public(match.endpoint):
        return Judgement(Verdict.PUBLIC, "@public")
    calls = list(_calls(match.dependant, served.app.dependency_overrides))
    if any(map(is_optional, calls)):
        return Judgement(Verdict.PUBLIC, "a token is optional")
    if get_token in calls:
        return Judgement(Verdict.UNGUARDED, "get_token does not verify what it finds")
    foreign = [call for call in calls if isinstance(call, SecurityBase)]
    foreign = [call for call in foreign if not isinstance(call, TokenDependency | RouteGuard)]
    if foreign:
        name = type(foreign[0]).__name__
        return Judgement(Verdict.UNGUARDED, f"{name} is asked, which is not of jwt-deps")
    return Judgement(Verdict.UNGUARDED, "no guard stands over it")


def _calls(dependant: Any, replaced: Container[Any]) -> Iterator[Any]:
    if dependant is not None:
        for node in dependants(dependant, replaced):
            yield node.call


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
