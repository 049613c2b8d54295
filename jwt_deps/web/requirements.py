"""What a route requires of the principal: scopes, roles, claims, checks of its own, step-up.

Each `require_...` makes a `Requirement`: the dependency, which also says what it needs, for the
challenge, OpenAPI, the audit and debug hints.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache
from inspect import Parameter, Signature, isawaitable, signature
from typing import Annotated, Any, get_origin

from fastapi import BackgroundTasks, Depends, Request, Response, WebSocket, params
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes

from jwt_deps.errors import (
    AuthError,
    ConfigurationError,
    InsufficientAuthenticationError,
    InsufficientPermissionsError,
    Reason,
)
from jwt_deps.jose import check_claim_path, is_numeric_date
from jwt_deps.tokens import All, Claims, Principal, are_parameters, is_scope

from .factories import dependency_factory, identity_of
from .request_principal import (
    TokenDependency,
    lacking_scopes,
    principal_dependency,
    principal_of,
    refused,
    require_granted,
    scopes_of_route,
)
from .request_state import state_of


class Requirement(TokenDependency[None], ABC):
    """A dependency that refuses a principal without what it needs.

    Attributes:
        scopes: the scopes that it needs, for the challenge and OpenAPI.
        any_of: whether one of the scopes is enough.
        needs: what else it needs, by kind: groups of alternatives, one of each group.
    """

    refuses_anonymous = True
    any_of: bool = False
    needs: Mapping[str, tuple[tuple[str, ...], ...]] = {}

    def __init__(self, name: str) -> None:
        super().__init__(self._refuse_unmet)
        self.__name__ = name

    async def _refuse_unmet(self, connection: HTTPConnection) -> None:
        principal = (await principal_of(connection)).require_authenticated()
        if (error := self.unmet(principal, connection)) is not None:
            raise error

    @abstractmethod
    def unmet(self, principal: Principal, connection: HTTPConnection) -> AuthError | None:
        """The error for an authenticated principal without what is needed; `None` if it has it."""

    def _lacking(
        self, reason: Reason, description: str, connection: HTTPConnection
    ) -> InsufficientPermissionsError:
        scopes = scopes_of_route(connection.scope)
        return InsufficientPermissionsError(reason, description, scopes, self.needed)

    @property
    def needed(self) -> tuple[str, ...]:
        """`needs` as the audit shows it: `role=admin`, `acr=phr|phrh`."""
        groups = ((kind, group) for kind, several in self.needs.items() for group in several)
        return tuple(f"{kind}={'|'.join(group)}" for kind, group in groups)


def _texts(values: tuple[Any, ...]) -> tuple[str, ...]:
    """The values, members of a `class Scope(str, Enum)` as the texts that they are.

    Whatever is no text becomes an empty one, which is refused.
    """
    return tuple(str.__str__(it) if isinstance(it, str) else "" for it in values)


class _Scopes(Requirement):
    def __init__(self, scopes: tuple[str, ...], *, any_of: bool) -> None:
        wrong = [scope for scope in scopes if not (is_scope(scope) and are_parameters(scope))]
        if wrong or not scopes:
            raise ConfigurationError(
                "scope_names",
                "require_scopes and require_any_scope take one or more scopes, each without "
                "spaces, quotes or backslashes (RFC 6749 §3.3), each as an argument of its own; a "
                "path parameter is a whole segment: 'agents:{agent_id}:run'.",
            )
        super().__init__("require_any_scope" if any_of else "require_scopes")
        self.scopes, self.any_of = scopes, any_of

    def unmet(self, principal: Principal, connection: HTTPConnection) -> AuthError | None:
        return lacking_scopes(principal, connection.scope, self.scopes, any_of=self.any_of)


_scopes_required = cache(_Scopes)


@dependency_factory
def require_scopes(*scopes: str) -> TokenDependency[None]:
    """Make the dependency that refuses a token which lacks one of the scopes.

        @app.delete("/users/{name}", dependencies=[Depends(require_scopes("users:write"))])

    Args:
        *scopes: the scopes, all of which are needed; each without spaces (RFC 6749 §3.3). A
            segment can be a path parameter, `"agents:{agent_id}:run"`. It is satisfied by that
            scope, by one with `*` (`agents:*:run`, `agents:*`), and by `admin_scope`.

    Returns:
        A dependency that refuses with 403 `insufficient_scope`, whose challenge names every scope
        that the route needs (RFC 6750 §3.1). The same scopes give the same callable.

    Raises:
        ConfigurationError: no scope, or a text that cannot be one.
    """
    return _scopes_required(_texts(scopes), any_of=False)


@dependency_factory
def require_any_scope(*scopes: str) -> TokenDependency[None]:
    """Make the dependency that refuses a token which has none of the scopes.

    Args:
        *scopes: the scopes, one of which is needed; each without spaces (RFC 6749 §3.3).

    Returns:
        A dependency that refuses with 403 `insufficient_scope`, as `require_scopes`. The same
        scopes give the same callable.

    Raises:
        ConfigurationError: no scope, or a text that cannot be one.
    """
    return _scopes_required(_texts(scopes), any_of=True)


@cache
def _granted_ids(resource: str, action: str) -> TokenDependency[frozenset[str] | All]:
    @principal_dependency
    def granted_ids(principal: Principal) -> frozenset[str] | All:
        """The ids for which the token grants an action."""
        return principal.require_authenticated().grants.ids(resource, action)

    granted_ids.refuses_anonymous = True
    return granted_ids


@dependency_factory
def granted(resource: str, action: str) -> TokenDependency[frozenset[str] | All]:
    """Make the dependency that returns the ids for which the token grants an action.

        ids: Annotated[frozenset[str] | All, Depends(granted("agents", "read"))]
        [agent for agent in agents if agent.id in ids]

    Args:
        resource: the first segments of a scope: `agents`.
        action: the last ones: `read`.

    Returns:
        A dependency that returns the ids for which `require_scopes("agents:{id}:read")` passes, or
        `All()`, which contains every id. A request without a token is refused with 401. The same
        arguments give the same callable.

    Raises:
        ConfigurationError: a text that cannot be part of a scope, or has braces or `*`.
    """
    for part in (resource, action):
        if not is_scope(part) or not {"{", "}", "*"}.isdisjoint(part):
            raise ConfigurationError(
                "scope_names",
                'granted takes the segments before and after an id: granted("agents", "read").',
            )
    return _granted_ids(resource, action)


class _Roles(Requirement):
    def __init__(self, roles: tuple[str, ...], *, any_of: bool) -> None:
        if not roles or not all(roles):
            raise ConfigurationError(
                "role_names",
                "require_roles and require_any_role take one or more roles, each a text, each as "
                "an argument of its own.",
            )
        super().__init__("require_any_role" if any_of else "require_roles")
        self._roles, self._any_role = frozenset(roles), any_of
        self.needs = {"role": (roles,) if any_of else tuple((role,) for role in roles)}

    def unmet(self, principal: Principal, connection: HTTPConnection) -> AuthError | None:
        granted = principal.roles
        if granted & self._roles if self._any_role else granted >= self._roles:
            return None
        # Found with the principal. A route may have been added since the start.
        settings: Any = state_of(connection.scope).settings
        if not settings.server.has_roles:
            raise no_roles_claim()
        description = "the access token lacks a role that this needs"
        return self._lacking(Reason.ROLE, description, connection)


def no_roles_claim() -> ConfigurationError:
    """The error for settings in which no issuer says which claim holds the roles."""
    return ConfigurationError(
        "no_roles_claim",
        "A route requires roles, and JWT_ROLES_CLAIM (roles_claim) is not set: let it name "
        "the claim that holds them.",
    )


_roles_required = cache(_Roles)


@dependency_factory
def require_roles(*roles: str) -> TokenDependency[None]:
    """Make the dependency that refuses a token which lacks one of the roles.

        @app.delete("/users/{name}", dependencies=[Depends(require_roles("admin"))])

    Args:
        *roles: the roles, all of which are needed, as the claim that `roles_claim` names has them.

    Returns:
        A dependency that refuses with 403 `insufficient_scope` (RFC 6750 §3.1). The same roles
        give the same callable.

    Raises:
        ConfigurationError: no role, or an empty one. If `roles_claim` is not set, a guarded
            application does not start; without a lifespan, and without a guard, the first request
            that is refused raises it.
    """
    return _roles_required(_texts(roles), any_of=False)


@dependency_factory
def require_any_role(*roles: str) -> TokenDependency[None]:
    """Make the dependency that refuses a token which has none of the roles.

    Args:
        *roles: the roles, one of which is needed.

    Returns:
        A dependency, as `require_roles`.

    Raises:
        ConfigurationError: as `require_roles`.
    """
    return _roles_required(_texts(roles), any_of=True)


class _Claim(Requirement):
    def __init__(self, name: str, values: tuple[tuple[bool, Any], ...]) -> None:
        super().__init__("require_claim")
        self._name, self._values = name, frozenset(values)
        wanted = "|".join(_as_text(value) for _, value in values)
        self.needs = {"claim": ((f"{name}={wanted}" if values else name,),)}

    def unmet(self, principal: Principal, connection: HTTPConnection) -> AuthError | None:
        found = principal.claims.at(self._name)
        several = found if isinstance(found, list) else [found]
        if self._values:
            met = not self._values.isdisjoint(map(_key_of, filter(_is_comparable, several)))
        else:
            met = found is not None
        if met:
            return None
        description = f"the access token lacks a claim that this needs: {self._name}"
        return self._lacking(Reason.CLAIM, description, connection)


def _is_comparable(value: Any) -> bool:
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def _key_of(value: Any) -> tuple[bool, Any]:
    """A value that equal JSON values share, and no others: in Python, `True == 1`."""
    return isinstance(value, bool), value


def _as_text(value: str | float) -> str:
    if isinstance(value, str):
        return str.__str__(value)
    return str(value).lower()  # as in JSON, `true`


_claim_required = cache(_Claim)


@dependency_factory
def require_claim(name: str, *values: str | float) -> TokenDependency[None]:
    """Make the dependency that refuses a token without a claim, or with another value of it.

        @app.get("/beta", dependencies=[Depends(require_claim("plan", "team", "enterprise"))])

    Args:
        name: the claim's name, or a dotted path into nested claims.
        *values: the values, one of which is needed: texts, numbers or booleans, compared as JSON
            does (`True` is not `1`). A claim that is a list has to contain one. Without values
            the claim has to be there, and not `null`.

    Returns:
        A dependency that refuses with 403 `insufficient_scope` (RFC 6750 §3.1). The same arguments
        give the same callable.

    Raises:
        ConfigurationError: no name, or a value of another type.
    """
    given: Any = name
    with suppress(ValueError):
        if isinstance(given, str) and check_claim_path(given) and all(map(_is_comparable, values)):
            return _claim_required(name, tuple(map(_key_of, values)))
    raise ConfigurationError(
        "claim_values",
        "require_claim takes the name of one claim, and values that are texts, numbers or "
        "booleans, each as an argument of its own.",
    )


# What FastAPI passes by the type of a parameter, and nothing that a client could send in its place.
_PASSED_BY_TYPE = (HTTPConnection, Request, WebSocket, Response, BackgroundTasks, SecurityScopes)
_DECLARED = (params.Depends, params.Param, params.Body)


class _Check(Requirement):
    def __init__(self, check: Callable[..., Any], description: str | None) -> None:
        super().__init__("require")
        name = getattr(check, "__qualname__", type(check).__qualname__)
        self._check, self._description = check, description or f"the check {name} refuses this"
        self.needs = {"check": ((description or name,),)}
        self._takes_claims, own = _parameters(check)
        # FastAPI finds them one level below, where their names collide with none of ours.
        extra = [Parameter("own", Parameter.KEYWORD_ONLY, annotation=_gathering(own))] * bool(own)
        connection_and_scopes = list(self.__signature__.parameters.values())[:2]
        self.__signature__ = Signature([*connection_and_scopes, *extra])

    async def __call__(
        self,
        connection: HTTPConnection,
        security_scopes: SecurityScopes,
        own: Mapping[str, Any] | None = None,
    ) -> None:
        """Call the check with what its own dependencies returned.

        Raises:
            HTTPException: the refusal.
        """
        try:
            if security_scopes.scopes:
                await require_granted(connection, security_scopes.scopes)
            principal = (await principal_of(connection)).require_authenticated()
            claims = [principal.claims] if self._takes_claims else []
            allowed = self._check(*claims, **(own or {}))
            if isawaitable(allowed):
                allowed = await allowed
            if allowed is False:
                raise self.unmet(principal, connection)
        except AuthError as error:
            raise await refused(error, connection) from error
        if allowed is not True:
            raise ConfigurationError(
                "check_answer", "What is given to require() has to return True or False."
            )

    def unmet(self, principal: Principal, connection: HTTPConnection) -> AuthError:  # noqa: ARG002
        return self._lacking(Reason.CHECK, self._description, connection)


def _parameters(check: Callable[..., Any]) -> tuple[bool, list[Parameter]]:
    """Whether a check takes the claims, as its first parameter, and what else it takes.

    Raises:
        ConfigurationError: a parameter that FastAPI would read from the query or the body.
    """
    try:
        found = list(signature(check, eval_str=True).parameters.values())
    except (TypeError, ValueError, NameError) as error:
        raise _wrong_check() from error
    takes_claims = bool(found) and not _is_passed(found[0])
    own = found[takes_claims:]
    if (takes_claims and not _is_for_claims(found[0])) or not all(map(_is_passed, own)):
        raise _wrong_check()
    return takes_claims, own


def _is_passed(parameter: Parameter) -> bool:
    """Whether FastAPI knows where a parameter comes from without taking it for client input."""
    kind = parameter.annotation
    declared = parameter.default, *getattr(kind, "__metadata__", ())
    return any(isinstance(one, _DECLARED) for one in declared) or kind in _PASSED_BY_TYPE


def _is_for_claims(parameter: Parameter) -> bool:
    kind = parameter.annotation
    return parameter.kind is not Parameter.KEYWORD_ONLY and (
        kind in (Parameter.empty, Any, Claims, Mapping) or get_origin(kind) is Mapping
    )


def _wrong_check() -> ConfigurationError:
    return ConfigurationError(
        "check_parameters",
        "A check for require() takes the Claims as its first parameter. Declare each other one as "
        "Annotated[str, Path()], Annotated[..., Depends(...)] or by type (Request): FastAPI may "
        "read a plain one from the query, which any client can set.",
    )


def _gathering(own: list[Parameter]) -> Any:
    async def gathered(**values: Any) -> Mapping[str, Any]:
        """What the dependencies of a check returned."""
        return values

    gathered.__signature__ = Signature(own)  # type: ignore[attr-defined]
    return Annotated[Any, Depends(gathered)]


_checks: dict[tuple[Any, ...], _Check] = {}


@dependency_factory
def require(
    check: Callable[..., bool] | Callable[..., Awaitable[bool]], *, description: str | None = None
) -> TokenDependency[None]:
    """Make the dependency that refuses a request for which a check returns `False`.

        def same_tenant(claims: Claims, tenant: Annotated[str, Path()]) -> bool:
            return claims.get("tenant") == tenant

        @app.get("/{tenant}", dependencies=[Depends(require(same_tenant))])

    Args:
        check: takes the verified `Claims` as its first parameter, and dependencies of its own:
            `Depends(...)`, `Path(...)`, the `Request`. A plain function runs in the event loop and
            must not wait for anything.
        description: a sentence for the answer, the audit and OpenAPI; by default it has the name
            of the check.

    Returns:
        A dependency that refuses with 403 `insufficient_scope` (RFC 6750 §3.1). The same arguments
        give the same callable.

    Raises:
        ConfigurationError: a parameter that a client could send; with a request, if the check
            returns something other than `True` or `False`.
    """
    key = (*identity_of(check), description)  # none of these is ever dropped
    if key not in _checks:
        _checks[key] = _Check(check, description)
    return _checks[key]


def insufficiency(
    claims: Claims, acr_values: tuple[str, ...], max_age: int | None, leeway: float, now: float
) -> Reason | None:
    """Why an authentication does not suffice (RFC 9470 §3, §6.1); `None` if it does.

    Args:
        claims: what the token says; `acr` and `auth_time` are looked at.
        acr_values: any of these will do; none if it does not matter.
        max_age: how many seconds ago the user may have authenticated, at most.
        leeway: the clock difference that is tolerated.
        now: seconds since the epoch.
    """
    if acr_values and claims.get("acr") not in acr_values:
        return Reason.ACR
    if max_age is None:
        return None
    since: Any = claims.get("auth_time")
    if not is_numeric_date(since) or not -leeway <= now - since <= max_age + leeway:
        return Reason.AUTH_TIME
    return None


class _Authentication(Requirement):
    def __init__(self, acr_values: tuple[str, ...], max_age: int | None) -> None:
        whole = max_age is None or (type(max_age) is int and max_age >= 0)
        nothing = not acr_values and max_age is None
        if nothing or not whole or not all(map(is_scope, acr_values)):
            raise ConfigurationError(
                "acr_values",
                "require_acr takes one or more acr values, each without spaces, quotes or "
                "backslashes, each as an argument of its own, or max_age in whole seconds, or "
                "both.",
            )
        super().__init__("require_acr")
        self._acr_values, self._max_age = acr_values, max_age
        acr = {"acr": (acr_values,)} if acr_values else {}
        self.needs = acr if max_age is None else {**acr, "max_age": ((str(max_age),),)}

    def unmet(self, principal: Principal, connection: HTTPConnection) -> AuthError | None:
        now, leeway, needed = time.time(), principal.settings.leeway, self._acr_values
        reason = insufficiency(principal.claims, needed, self._max_age, leeway, now)
        if reason is None:
            return None
        scopes = scopes_of_route(connection.scope)
        return InsufficientAuthenticationError(reason, needed, self._max_age, scopes)


_acr_required = cache(_Authentication)


@dependency_factory
def require_acr(*acr_values: str, max_age: int | None = None) -> TokenDependency[None]:
    """Make the dependency that asks for a stronger or more recent authentication (RFC 9470).

    The token's `acr` must be one of the values, and with `max_age` its `auth_time` no longer ago
    than that many seconds, `leeway` added.

    Args:
        *acr_values: authentication context classes, any of which will do.
        max_age: the largest age of the authentication, in whole seconds; `None` for any.

    Returns:
        A dependency that refuses with 401 `insufficient_user_authentication` (RFC 9470 §3), with
        which a client sends its user to the issuer again. The same arguments give the same
        callable.

    Raises:
        ConfigurationError: there is no argument, or one that a challenge cannot contain.
    """
    return _acr_required(_texts(acr_values), max_age)
