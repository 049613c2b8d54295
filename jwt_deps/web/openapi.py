"""Corrects what an OpenAPI document says of tokens: a lock where one is needed, and nowhere else.

FastAPI shows the lock of every dependency that can ask for a token. It cannot know which routes a
guard excludes, what an optional dependency does, or that a callback is another server's operation.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import unwrap
from itertools import count, product
from math import prod
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase

from jwt_deps.keys import origin_of_url, well_known_urls
from jwt_deps.possession import DPoPMode
from jwt_deps.settings import JWTSettings, TokenSource

from . import _fastapi
from ._fastapi import dependants, scopes_at
from .dependencies import is_optional
from .guard import token_dependencies_of
from .known_settings import can_be_out_of_reach, counts_proofs, known_settings
from .request_principal import TokenDependency
from .requirements import Requirement
from .responses import add_refusals, documented_refusals
from .routing import RouteGuard, match_of_route

#: Of the scopes that a route needs; beyond, one list has them all, which is too strict.
_MOST_ALTERNATIVES = 16
#: The name under which FastAPI itself lists the dependencies of this package.
_NATIVE = "JWT"

# More discovered issuers than these are described by plain bearer alone: each would be a scheme in
# every operation, and a public document would list the customers of a service.
_MOST_ISSUERS = 4

# What the name of a component cannot have (OpenAPI 3.1 §4.8.7).
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")

_Scheme = dict[str, Any]


def _plain_bearer() -> _Scheme:
    """The scheme that FastAPI makes of the dependencies of this package."""
    return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def _schemes_of(settings: JWTSettings | None) -> Iterator[tuple[str, _Scheme]]:
    """The schemes of which a request needs one, with the names that they would like to have.

    Args:
        settings: `None` if they are not known without a request: plain bearer.
    """
    if settings is None:
        yield from _of_authorization(None)
        return
    if settings.token_getter is not None:
        # OpenAPI has no scheme for a place that only code knows.
        said = "This service looks for the token in a place of its own"
        yield f"{_NATIVE}-custom", {**_plain_bearer(), "description": said}
        return
    source, header = settings.token_source, settings.token_header_key
    if source is not TokenSource.COOKIE:
        if header.lower() == "authorization":
            yield from _of_authorization(settings)
        else:
            yield (
                f"{_NATIVE}-header-{_as_name(header)}",
                {
                    "type": "apiKey",
                    "in": "header",
                    "name": header,
                    "description": _form(settings),
                },
            )
    for credential in settings.server.credentials:
        scheme = getattr(credential, "scheme", None)
        if scheme is not None:
            yield (
                f"{_NATIVE}-{_as_name(scheme.get('name') or scheme.get('scheme', 'other'))}",
                scheme,
            )
    if source is not TokenSource.HEADER:
        cookie = settings.cookie_name
        scheme = {"type": "apiKey", "in": "cookie", "name": cookie}
        yield f"{_NATIVE}-cookie-{_as_name(cookie)}", scheme


def _form(settings: JWTSettings) -> str:
    if not settings.token_header_scheme:
        return "The token, without `Bearer`"
    return "`Bearer <token>`, the word included"


def _of_authorization(settings: JWTSettings | None) -> Iterator[tuple[str, _Scheme]]:
    policy = None if settings is None else settings.server.sender_policy
    mode = DPoPMode.OFF if policy is None else policy.dpop
    if mode is not DPoPMode.REQUIRED:
        yield _NATIVE, _plain_bearer()
        if settings is not None:
            yield from _of_discovery(settings)
    if mode is not DPoPMode.OFF:
        yield (
            f"{_NATIVE}-DPoP",
            {
                "type": "http",
                "scheme": "dpop",
                "description": "`DPoP <token>`, with a proof in the header `DPoP` (RFC 9449)",
            },
        )


def _of_discovery(settings: JWTSettings) -> Iterator[tuple[str, _Scheme]]:
    """Where people get a token, of issuers that publish it (OpenAPI 3.1 §4.8.27).

    The browser reads the document, not this process: a schema never waits for an issuer, is the
    same whether it is up or down, and where it is down Swagger UI offers only plain bearer.
    """
    issuers = settings.server.accepted.settings
    discovered = [one for one in issuers if one.discovery or one.discovery_url is not None]
    if len(discovered) > _MOST_ISSUERS:
        return
    for one in discovered:
        (issuer,) = one.accepted_issuers
        name = _as_name(issuer.partition("://")[2].strip("/"))
        url = well_known_urls(issuer)[-1]
        place = one.discovery_url or url
        # Elsewhere it may be in this service's own network, and a query may hold an API key.
        if origin_of_url(place) == origin_of_url(issuer) and "?" not in place:
            url = place
        yield f"{_NATIVE}-openid-{name}", {"type": "openIdConnect", "openIdConnectUrl": url}


def _as_name(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text)


def _proofs_of(settings: JWTSettings | None) -> dict[str, str]:
    """What the sender of a token has to prove (RFC 9449, RFC 8705)."""
    policy = None if settings is None else settings.server.sender_policy
    if policy is None:
        return {}
    dpop = {"dpop": policy.dpop.value} if policy.with_dpop else {}
    return {**dpop, **({"client_certificate": "allowed"} if policy.with_certificates else {})}


def _candidates(wanted: str) -> Iterator[str]:
    """The names that a scheme may have: the one wanted, and others where that is taken."""
    yield wanted
    base = wanted
    if wanted == _NATIVE:
        base = f"{_NATIVE}-bearer"
        yield base
    yield from (f"{base}-{number}" for number in count(2))


_Security = dict[str, list[str]]


def _without(found: Iterable[_Security], own: Collection[str]) -> list[_Security]:
    """Requirements without the schemes of this package."""
    pairs = [(one, {name: one[name] for name in one if name not in own}) for one in found]
    return [rest for one, rest in pairs if rest or not one]


def _joined(
    found: Iterable[_Security],
    own: Collection[str],
    wanted: Iterable[_Security],
) -> Iterator[_Security]:
    """Other people's requirements, and those that name theirs and a token together."""
    for one in found:
        rest = {name: one[name] for name in one if name not in own}
        if len(rest) == len(one):
            yield one
        elif rest:
            yield from ({**rest, **token} for token in wanted)


def _with_token(
    found: Iterable[_Security], own: set[str], wanted: list[_Security]
) -> list[_Security]:
    """The requirements of an operation that needs a token."""
    kept = [one for one in _joined(found, own, wanted) if one]  # `{}`: nothing is needed
    together = any(not own.isdisjoint(one) for one in kept)
    return _without_duplicates(kept if together else [*kept, *wanted])


def _with_optional_token(
    found: Iterable[_Security],
    own: set[str],
    wanted: list[_Security],
    inherited: list[_Security],
) -> list[_Security]:
    """The requirements of an operation that takes a token and needs none."""
    others = _without(found, own)
    others = (others if any(others) else inherited) or [{}]
    together = [one for one in _joined(found, own, wanted) if not own.isdisjoint(one)]
    return _without_duplicates([*others, *(together or wanted)])


def _without_duplicates(requirements: Iterable[_Security]) -> list[_Security]:
    different: list[_Security] = []
    for one in requirements:
        if one not in different:
            different.append(one)
    return different


def _without_native(found: Iterable[_Security], scopes: Collection[str] | None) -> list[_Security]:
    """Requirements without what FastAPI wrote of this package under another library's name.

    Args:
        found: the requirements.
        scopes: those asked of the other library's scheme; `None` if the operation does not use it.
    """
    kept: list[_Security] = []
    theirs: _Security = {_NATIVE: []}
    for one in found:
        if one.keys() != {_NATIVE}:
            kept.append(one)
        elif scopes is not None:
            # Up to FastAPI 0.122 each dependency is written as a requirement of its own.
            is_there = any(theirs is known for known in kept)
            kept += [] if is_there else [theirs]
            asked = [scope for scope in one[_NATIVE] if scope in scopes]
            theirs[_NATIVE] += [scope for scope in asked if scope not in theirs[_NATIVE]]
    return kept


def _references(schema: Mapping[str, Any]) -> set[str]:
    """The names of all security schemes that a document refers to."""
    components = schema.get("components", {})
    named = {name for one in schema.get("security", ()) for name in one}
    # Extensions (`x-...`) and references stand beside the path items, and are none.
    several = [schema.get("paths"), schema.get("webhooks"), components.get("pathItems")]
    several += _members(components.get("callbacks"))
    while several:
        for item in _members(several.pop()):
            for operation in filter(_members, _members(item)):
                named.update(name for one in operation.get("security", ()) for name in one)
                several += _members(operation.get("callbacks"))
    return named


def _members(value: Any) -> list[Any]:
    return [*value.values()] if isinstance(value, dict) else []


# The extension of an operation that asks for more than scopes: OpenAPI itself knows nothing of it.
_FURTHER = "x-jwt-requires"
_KINDS = {"acr": "acr_values", "role": "roles", "claim": "claims", "check": "checks"}


def describe(app: FastAPI, schema: dict[str, Any]) -> None:
    """Correct a document that FastAPI made of an application's routes, in place.

    What the application added to it stays. Correcting it again changes nothing.
    """
    _Correction(app, schema).run()


@dataclass(slots=True)
class _Shown:
    """What the dependencies of a route make FastAPI show.

    Attributes:
        ours: whether one of this package is among them.
        foreign: the scopes asked of other people's schemes, by the scheme's name.
        optional: the scopes asked by each `optional(...)`, which FastAPI does not show.
    """

    ours: bool = False
    foreign: dict[str, set[str]] = field(default_factory=dict)
    optional: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Needs:
    """What an operation asks of its tokens.

    Attributes:
        tokens: of each the settings under which it is checked, `None` if they are not known, and
            the scopes needed, one of several lists: one token, and one more for each guard that is
            the endpoint's parameter.
        required: whether a request without a token is refused.
        refuses: whether any request is.
        further: what is needed beside scopes.
    """

    tokens: list[tuple[JWTSettings | None, list[list[str]]]]
    required: bool
    refuses: bool
    further: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation of the document and what its route shows; it needs no token without `needs`."""

    document: dict[str, Any]
    shown: _Shown
    needs: _Needs | None


@dataclass(slots=True)
class _Correction:
    """One correction of one document."""

    app: FastAPI
    schema: dict[str, Any]
    # By identity: where two routes have the same path and method, the last one is documented.
    operations: dict[int, _Operation] = field(default_factory=dict)
    foreign: dict[str, SecurityBase] = field(default_factory=dict)
    # This package's schemes by name, each of which has one definition and none another library's.
    own_schemes: dict[str, _Scheme] = field(default_factory=dict)
    ours: bool = False
    # What `get_settings` answers, asked once: an override of it can be any code.
    overall: list[JWTSettings | None] = field(default_factory=list)
    tokens: dict[int, tuple[list[str], dict[str, bool]]] = field(default_factory=dict)
    refusals: dict[str, dict[str, Any]] = field(default_factory=documented_refusals)

    def run(self) -> None:
        """Read all operations, then correct them: names depend on those of other people's."""
        for route in _documented(self.app.router):
            item = self.schema.get("paths", {}).get(route.path_format, {})
            self._add(item, route, is_served=True)
        for route in _documented(self.app.webhooks):
            item = self.schema.get("webhooks", {}).get(route.path_format, {})
            self._add(item, route, is_served=False)
        for operation in self.operations.values():
            if operation.needs is not None:
                for settings, _ in operation.needs.tokens:
                    self._name(settings)
        for operation in self.operations.values():
            self._correct(operation)
        self._define()

    def _add(self, item: Mapping[str, Any], route: Any, *, is_served: bool) -> None:
        shown = self._shown(route)
        for method in route.methods:
            document = item.get(method.lower())
            if document is None:
                continue
            # Webhooks and callbacks are requests that this application sends: no token of its own
            # is in them.
            needs = self._needs(route, shown, method) if is_served else None
            self.operations[id(document)] = _Operation(document, shown, needs)
            for callback in route.callbacks or ():
                if isinstance(callback, APIRoute):
                    called = document.get("callbacks", {}).get(callback.name, {})
                    self._add(called.get(callback.path, {}), callback, is_served=False)

    def _shown(self, route: Any) -> _Shown:
        shown = _Shown()
        for node in dependants(route.dependant):
            scheme = _unwrapped(node.call)
            if isinstance(scheme, TokenDependency):
                shown.ours = self.ours = True
            elif isinstance(scheme, SecurityBase):
                self.foreign[scheme.scheme_name] = scheme
                shown.foreign.setdefault(scheme.scheme_name, set()).update(scopes_at(node))
            elif is_optional(node.call):
                self.ours = True
                shown.optional.append(scopes_at(node))
        return shown

    def _needs(self, route: Any, shown: _Shown, method: str) -> _Needs | None:
        match = match_of_route(route)
        asked = list(token_dependencies_of(match, methods=(method,)))
        if not (asked or shown.optional):
            return None
        guard: Any = match.guards[-1] if match.guards else None
        settings = self._settings(guard)
        open_ = guard is None or guard.opens(match, settings)
        applied: tuple[Any, ...] = match.guards
        # Of the guards over a route only the innermost asks for a token, and outer ones for their
        # scopes. A guard that is a parameter of its endpoint always asks.
        asking = [
            (call, scopes)
            for call, scopes in asked
            if call not in applied or (not open_ if call is guard else scopes)
        ]
        if not (asking or shown.optional):
            return None
        own: list[Any] = [
            it for it in asking if isinstance(it[0], RouteGuard) and it[0] not in applied
        ]
        if guard is None and own:  # the first one decides about all that follows
            settings = self._settings(own.pop(0)[0])
        validates = settings is None or settings.validate
        # Scopes asked of an optional dependency are asked of requests without a token too.
        required = any(shown.optional) or any(
            validates or scopes or call.refuses_anonymous for call, scopes in asking
        )
        several = [_scopes_of(*one) for one in asking if one not in own]
        every = [
            scope for scopes in (*(it for it, _ in several), *shown.optional) for scope in scopes
        ]
        groups = [group for _, group in several if group]
        if prod(map(len, groups)) > _MOST_ALTERNATIVES:
            every += [scope for group in groups for scope in group]
            groups = []
        return _Needs(
            [
                (settings, [[*dict.fromkeys((*every, *chosen))] for chosen in product(*groups)]),
                *((self._settings(call), [[*scopes]]) for call, scopes in own),
            ],
            required=required,
            refuses=required or validates,
            further={**_further(call for call, _ in asking), **_proofs_of(settings)},
        )

    def _settings(self, guard: RouteGuard | None) -> JWTSettings | None:
        if guard is not None and guard.settings is not None:
            return guard.settings
        if not self.overall:
            self.overall.append(known_settings(self.app, None))
        return self.overall[0]

    def _name(self, settings: JWTSettings | None) -> None:
        if id(settings) not in self.tokens:
            schemes = [self._name_of(*one) for one in _schemes_of(settings)]
            self.tokens[id(settings)] = (
                schemes,
                {
                    "outage": can_be_out_of_reach(settings),
                    "limited": counts_proofs(settings),
                },
            )

    def _name_of(self, wanted: str, scheme: _Scheme) -> str:
        """Define a scheme, and return its name: the one wanted, or the next one that is free."""
        return next(
            name
            for name in _candidates(wanted)
            if name not in self.foreign and self.own_schemes.setdefault(name, scheme) == scheme
        )

    def _correct(self, operation: _Operation) -> None:
        document, shown, needs = operation.document, operation.shown, operation.needs
        found: list[_Security] = document.get("security", [])
        own = set(self.own_schemes)
        if _NATIVE not in self.foreign:
            own.add(_NATIVE)
        elif shown.ours and not any(own.intersection(one) for one in found):
            # Not corrected yet: FastAPI wrote both under the one name.
            found = _without_native(found, shown.foreign.get(_NATIVE))
        everywhere: list[_Security] = self.schema.get("security", [])
        inherited = _without(everywhere, own)
        if needs is not None:
            rare, wanted = self.tokens[id(needs.tokens[0][0])][1], self._wanted(needs)
            if needs.required:
                document["security"] = _with_token(found, own, wanted)
            else:
                document["security"] = _with_optional_token(found, own, wanted, inherited)
            if needs.further:
                document[_FURTHER] = needs.further
            if needs.refuses:
                add_refusals(document.setdefault("responses", {}), self.refusals, **rare)
            return
        if shown.ours and document.get("security"):
            del document["security"]
            if kept := _without(found, own):
                document["security"] = kept
        if inherited != everywhere:
            # What holds for the whole document would be a lock here, where no token is needed.
            document.setdefault("security", inherited)

    def _wanted(self, needs: _Needs) -> list[_Security]:
        """The requirements of which a request has to meet one."""
        wanted: list[_Security] = [{}]
        for settings, asked in needs.tokens:
            schemes = self.tokens[id(settings)][0]
            wanted = [
                {**it, one: [*it.get(one, ()), *scopes]}
                for it in wanted
                for one in schemes
                for scopes in asked
            ]
        return wanted

    def _define(self) -> None:
        """Define the schemes that are used, and no others of this package."""
        if not self.ours:
            return
        components = self.schema.get("components", {})
        defined = dict(components.get("securitySchemes", {}))
        self._define_foreign(defined)
        if _NATIVE not in {*self.foreign, *self.own_schemes}:
            if _NATIVE in _references(self.schema):  # by hand, over the whole document for one
                defined.setdefault(_NATIVE, _plain_bearer())
            elif defined.get(_NATIVE) == _plain_bearer():
                del defined[_NATIVE]
        # What is there is the same, or how the application itself describes the tokens.
        defined = {**self.own_schemes, **defined}
        if defined:
            self.schema.setdefault("components", {})["securitySchemes"] = defined
        elif "securitySchemes" in components:
            del components["securitySchemes"]
            if not components:
                del self.schema["components"]

    def _define_foreign(self, defined: dict[str, Any]) -> None:
        """Define other people's schemes that FastAPI did not, or not as they are.

        It defines nothing that only a callback refers to, and has one definition for each name,
        which can be that of this package.
        """
        for operation in self.operations.values():
            for name in operation.shown.foreign:
                lost = name not in defined or (name == _NATIVE and defined[name] == _plain_bearer())
                if lost and any(name in one for one in operation.document.get("security", ())):
                    model = self.foreign[name].model
                    defined[name] = jsonable_encoder(model, by_alias=True, exclude_none=True)


def _documented(router: APIRouter) -> Iterator[Any]:
    for added, served in _fastapi.served_routes(router):
        if isinstance(added, APIRoute) and served.include_in_schema:
            yield served


def _unwrapped(call: Any) -> Any:
    """What FastAPI takes for the scheme of a dependency."""
    while isinstance(call, partial):
        call = call.func
    return unwrap(call)


def _scopes_of(
    call: TokenDependency[Any], scopes: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The scopes asked with a dependency: those that are all needed, and those of which one is."""
    if not (isinstance(call, Requirement) and call.any_of):
        return scopes, ()
    return scopes[: -len(call.scopes)], call.scopes


def _further(calls: Iterable[TokenDependency[Any]]) -> dict[str, Any]:
    """What an operation needs beside scopes: roles, claims, and authentication (RFC 9470).

    Each kind is a list of alternatives, or several such lists, each of which must be met.
    """
    groups: dict[str, list[list[str]]] = {}
    for call in calls:
        for kind, several in call.needs.items() if isinstance(call, Requirement) else ():
            known = groups.setdefault(kind, [])
            known += [list(group) for group in several if list(group) not in known]
    ages = [int(age) for (age,) in groups.pop("max_age", [])]
    named = {
        _KINDS[kind]: several[0] if len(several) == 1 else several
        for kind, several in groups.items()
    }
    return {**named, **({"max_age": min(ages)} if ages else {})}
