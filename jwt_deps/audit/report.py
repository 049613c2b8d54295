"""The audit of an application: its routes with their verdicts, and other problems."""

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI

from jwt_deps.errors import ConfigurationError
from jwt_deps.settings import PathPatterns, get_settings
from jwt_deps.tokens import parameters_of
from jwt_deps.web import (
    ANY_METADATA,
    Installation,
    Inventory,
    Reached,
    Served,
    dependants,
    dependency_tree,
    get_claims,
    get_token,
    guards_in,
    reasons_not_to_serve,
    route_problems,
    settings_problem,
    token_dependency,
    unchanged,
)

from .verdicts import Judgement, Verdict, asks_by_itself, judge, judge_itself, name_of, takes_tokens

_PARAMETER = re.compile(r"{([^{}]+)}")


@dataclass(frozen=True, slots=True)
class AuditedRoute:
    """A route and its verdict.

    Attributes:
        path: the whole template, with mounts and prefixes.
        methods: the HTTP methods; `WEBSOCKET`; `*` for a mounted application.
        endpoint: module and name of the endpoint.
        verdict: whether it needs a token.
        why: the reason for the verdict.
        settings: a summary of the settings that check the token; empty without any.
        scopes: the required scopes; `a|b` where one of them is enough.
        requires: further requirements, for example `acr=phr|phrh`.
        answer: the answer to a request without a token; `None` if none was sent.
    """

    path: str
    methods: tuple[str, ...]
    endpoint: str
    verdict: Verdict
    why: str
    settings: str = ""
    scopes: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit.

        assert found.ok, str(found)

    Attributes:
        routes: all routes, in the order in which FastAPI matches them.
        problems: sentences about what is wrong besides unguarded routes.
        notes: sentences about what may be intended; they do not affect `ok`.
    """

    routes: tuple[AuditedRoute, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def unguarded(self) -> tuple[AuditedRoute, ...]:
        """The routes that are neither guarded nor declared public."""
        return tuple(route for route in self.routes if route.verdict is Verdict.UNGUARDED)

    @property
    def ok(self) -> bool:
        """Whether there are no unguarded routes and no problems."""
        return not self.unguarded and not self.problems

    def __str__(self) -> str:
        """Unguarded routes and problems, one per line, as the message of a failing test."""
        unguarded = (
            f"{' '.join(route.methods)} {route.path} is unguarded: {route.why}"
            for route in self.unguarded
        )
        return "\n".join((*unguarded, *self.problems)) or "every route is guarded or public"


def audit(app: FastAPI, *, allow: Iterable[str] = ()) -> Audit:
    """Determine for every route of an application whether it needs a token, and why.

        found = audit(app, allow=["/static/*"])
        assert found.ok, str(found)

    The application is not changed and gets no request. Routes that its lifespan adds are included
    only while the lifespan runs.

    Args:
        app: the application.
        allow: path patterns of routes that may be unguarded, for example a mount of static files;
            `*` stands for any characters.

    Returns:
        The audit.
    """
    inventory = Inventory.of(app)
    allowed = PathPatterns(allow)
    with unchanged(inventory.routers):
        judged = [(served, judge(served, allowed)) for served in inventory.routes]
        problems = [
            *(problem for one in inventory.applications for problem in _problems(one, app)),
            *(
                f"The allowed path {pattern!r} matches no route."
                for pattern in allowed.unmatched(served.path for served in inventory.routes)
            ),
            *(
                problem
                for one in inventory.applications
                for problem in _disagreements(one.app, inventory.routes)
            ),
            *_unusable_settings(inventory),
            *_unknown_parameters(inventory),
            *_agents_for_all(inventory),
        ]
        notes = tuple(dict.fromkeys((*_mounts_of_documents(inventory), *_notes(inventory))))
    routes = tuple(_audited(served, judgement) for served, judgement in judged)
    return Audit(routes, tuple(dict.fromkeys(problems)), notes)


def _audited(served: Served, judgement: Judgement) -> AuditedRoute:
    return AuditedRoute(
        served.path,
        served.methods,
        name_of(served.match.endpoint),
        judgement.verdict,
        judgement.why,
        judgement.settings,
        judgement.scopes,
        judgement.requires,
    )


def _problems(reached: Reached, outermost: FastAPI) -> Iterator[str]:
    app = reached.app
    yield from reasons_not_to_serve(reached)
    try:
        yield from (problem.message for problem in route_problems(app, outermost))
    except ConfigurationError as error:
        yield _no_settings(error)
    unknown = settings_problem(app)
    if unknown is not None:
        yield unknown
    if get_claims in app.dependency_overrides:
        yield "dependency_overrides replaces get_claims: no token is checked."
    if get_token in app.dependency_overrides:
        yield (
            "dependency_overrides replaces get_token: the token that is checked may not be the "
            "request's."
        )
    for replaced, by in app.dependency_overrides.items():
        if _asks_for_token(by):
            yield (
                f"dependency_overrides replaces {name_of(replaced)} by what asks for a token: what "
                "its routes need is more than is shown."
            )


def _asks_for_token(dependency: Any) -> bool:
    try:
        tree = dependency_tree([Depends(dependency)])
    except (ConfigurationError, ValueError):
        # A class of settings, which takes nothing of a request; or no signature, and FastAPI cannot
        # call it.
        return False
    return any(token_dependency(node.call) is not None for node in dependants(tree))


def _notes(inventory: Inventory) -> Iterator[str]:
    """Yield a note where challenges name a metadata document (RFC 9728 §5.1) without a route."""
    paths = {served.path for served in inventory.routes}
    for served in inventory.routes:
        asking = (one for one in (served, *reversed(served.mounts)))
        first = next((one for one in asking if any(one.asked(is_public=False))), None)
        settings = None if first is None else first.settings
        if settings is None or settings.resource is None:
            continue
        if paths.isdisjoint((settings.metadata_path, ANY_METADATA)):
            yield (
                f"Challenges name {settings.metadata_path}, but no route here serves it: call "
                "mount_resource_metadata(app), unless another server has it."
            )


def _mounts_of_documents(inventory: Inventory) -> Iterator[str]:
    """Yield a note where an OpenAPI document says nothing of the mount that asks for a token."""
    for served in inventory.routes:
        is_documented = served.schema_path is not None and served.app.openapi_url is not None
        if is_documented and _is_guarded_by_mount_alone(served):
            yield (
                f"The mount at {served.mounts[-1].path!r} asks for a token, and the OpenAPI "
                "document of the application there does not say so: protect that application too, "
                "or give it openapi_url=None."
            )


def _agents_for_all(inventory: Inventory) -> Iterator[str]:
    """Yield a problem where routes of an AgentOS need a token, and no scope of agno's."""
    for served in inventory.routes:
        match = served.match
        module: str = getattr(match.endpoint, "__module__", None) or ""
        if not (module.startswith("agno.os.") and served.guard and match.dependant):
            continue
        if served.guard.excludes(match) or any(
            getattr(node.call, "asks_agno_scopes", False) for node in dependants(match.dependant)
        ):
            continue
        yield (
            f"{served.path} is a route of an AgentOS, and asks for a token but for no scope of "
            "agno's, so that every token can use it: use protect_agent_os of jwt_deps.agentos, "
            "with authorization on."
        )
        return


def _unusable_settings(inventory: Inventory) -> Iterator[str]:
    """Yield a problem where a route needs the settings of the environment, and there are none."""
    for served in inventory.routes:
        for one in (served, *served.mounts):
            _, app = one.settings_from
            known = one.settings is not None or get_settings in app.dependency_overrides
            if not known and takes_tokens(one):
                try:
                    get_settings()
                except ConfigurationError as error:
                    yield _no_settings(error)


def _no_settings(error: ConfigurationError) -> str:
    return f"There are no usable settings: {error}"


def _unknown_parameters(inventory: Inventory) -> Iterator[str]:
    """Yield a problem for each scope with a path parameter that its route does not have."""
    for served in inventory.routes:
        for one in (*served.mounts, served):
            known = {name.partition(":")[0] for name in _PARAMETER.findall(one.path)}
            for scope in judge_itself(one).scopes:
                for name in parameters_of(scope.replace("|", ":")):
                    if name not in known:
                        yield (
                            f"{one.path} needs the scope {scope!r} and has no path parameter "
                            f"{name!r}: every request to it fails."
                        )


def _disagreements(app: FastAPI, routes: list[Served]) -> Iterator[str]:
    """Yield a problem where the OpenAPI document differs from what the application requires."""
    if app.openapi_url is None:
        return
    schema, is_ours = _schema(app), any(guards_in(app))
    for served in routes:
        if served.app is not app or served.schema_path is None:
            continue
        item = schema.get("paths", {}).get(served.schema_path, {})
        for method in served.methods:
            operation = item.get(method.lower())
            if operation is not None:
                security = operation.get("security", schema.get("security", []))
                judgement = judge_itself(served)
                if _is_guarded_by_mount_alone(served):
                    continue  # by a mount, of which the document of what is mounted says nothing
                yield from _disagreement(
                    f"{method} {served.path}",
                    security,
                    judgement,
                    own_lock=asks_by_itself(served),
                    # Without a guard FastAPI writes it, which lists those of `Security` alone.
                    lists_scopes=is_ours,
                )


def _is_guarded_by_mount_alone(served: Served) -> bool:
    *mounts, itself = (
        judge_itself(it).verdict is Verdict.GUARDED for it in (*served.mounts, served)
    )
    return any(mounts) and not itself


def _is_lock(security: list[dict[str, list[str]]]) -> bool:
    return bool(security) and all(security)


def _schema(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document as `/openapi.json` serves it, without caching it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about duplicate operation ids; the application warns too
        return Installation.document_of(app)


def _disagreement(
    route: str,
    security: list[dict[str, list[str]]],
    judgement: Judgement,
    *,
    own_lock: bool,
    lists_scopes: bool,
) -> Iterator[str]:
    locked = _is_lock(security)
    if judgement.verdict is Verdict.GUARDED and not locked:
        yield f"OpenAPI says that {route} needs no token, but it does."
    elif judgement.verdict is Verdict.PUBLIC and locked and not own_lock:
        yield f"OpenAPI says that {route} needs a token, but it does not."
    elif judgement.verdict is Verdict.GUARDED:
        listed = {
            scope for requirement in security for named in requirement.values() for scope in named
        }
        needed = {scope for it in judgement.scopes for scope in (it, *it.split("|"))}
        # `a|b` is one scope, or two of which one is enough.
        met = all(it in listed or listed.issuperset(it.split("|")) for it in judgement.scopes)
        if not met and (lists_scopes or not listed <= needed):
            yield f"OpenAPI lists other scopes for {route} than it needs."
